"""MLflow: parameters, metrics per epoch and artifacts, in a local SQLite file by default."""

from __future__ import annotations

import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback

from force2geo.train.engine import Training

if TYPE_CHECKING:
    import lightning as L


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def _environment() -> dict[str, str]:
    """Return what the run runs on."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor()
    packages = {
        f"version.{name}": version(name) for name in ("torch", "numpy", "lightning", "h5py")
    }
    machine = {"python": platform.python_version(), "host": platform.node(), "device": device}
    return {f"force2geo.{key}": value or "unknown" for key, value in (machine | packages).items()}


class MLflowTracking(Callback):
    """Sends each epoch's metrics to one MLflow run; a resumed training goes on in its run."""

    def __init__(self, uri: str, experiment: str, name: str, settings: dict[str, Any]) -> None:
        from filelock import FileLock
        from mlflow.tracking import MlflowClient

        self.run_id: str | None = None
        self.name, self.settings = name, settings
        if uri.startswith("sqlite:///"):
            # Two processes must not create the tables of one database at once.
            with FileLock(uri.removeprefix("sqlite:///") + ".lock"):
                self.client = MlflowClient(uri)
                artifacts = Path(uri.removeprefix("sqlite:///")).resolve().parent / "mlruns"
                self.experiment = self._experiment(experiment, artifacts.as_uri())
        else:
            self.client = MlflowClient(uri)
            self.experiment = self._experiment(experiment)

    def _experiment(self, name: str, artifacts: str | None = None) -> str:
        found = self.client.get_experiment_by_name(name)
        return found.experiment_id if found else self.client.create_experiment(name, artifacts)

    def state_dict(self) -> dict[str, Any]:
        """Return the run's id, kept in training checkpoints."""
        return {"run_id": self.run_id}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the run of a checkpoint."""
        self.run_id = state_dict["run_id"]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the run and log its parameters."""
        if self.run_id is not None:
            self.client.update_run(self.run_id, "RUNNING")
            return
        from mlflow.entities import Param

        from force2geo.files import code_version

        tags = {"mlflow.runName": self.name, "force2geo.code": code_version(), **_environment()}
        self.run_id = self.client.create_run(self.experiment, tags=tags).info.run_id
        parameters = [Param(key, value[:500]) for key, value in _flat(self.settings).items()]
        self.client.log_batch(self.run_id, params=parameters)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the newest row of the history."""
        from mlflow.entities import Metric

        assert isinstance(pl_module, Training) and self.run_id is not None
        row = pl_module.history[-1]
        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, int(row["epoch"])) for key, value in row.items()]
        self.client.log_batch(self.run_id, metrics=metrics)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Mark the run as failed; a killed one stays open and is gone on with."""
        if self.run_id is not None and isinstance(exception, Exception):
            self.client.set_terminated(self.run_id, "FAILED")

    def finish(self, artifacts: list[Path]) -> None:
        """Attach files and end the run."""
        if self.run_id is None:
            return
        for path in artifacts:
            self.client.log_artifact(self.run_id, str(path))
        self.client.set_terminated(self.run_id)
