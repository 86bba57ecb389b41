"""MLflow: parameters, metrics per epoch and artifacts, in a local SQLite file by default."""

from __future__ import annotations

import os
import platform
import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch.callbacks import Callback

from force2geo.train.background import Background
from force2geo.train.history import history_of

if TYPE_CHECKING:
    from collections.abc import Callable

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


class Client:
    """What is said to MLflow about one run; every method may raise whatever MLflow does."""

    def __init__(self, uri: str, experiment: str, name: str, settings: dict[str, Any]) -> None:
        self.uri, self.experiment = uri, experiment
        self.name, self.settings = name, settings
        self.run_id: str | None = None
        self.described = self.opened = False
        self._client: Any = None
        self._number = ""  # of the experiment

    def _connect(self) -> None:
        """Find or make the database and the experiment."""
        # A server that is away is known at once, not after MLflow's own quarters of an hour.
        for key, value in (("TIMEOUT", "10"), ("MAX_RETRIES", "1")):
            os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{key}", value)
        from filelock import FileLock
        from mlflow.tracking import MlflowClient

        if not self.uri.startswith("sqlite:///"):
            self._client = MlflowClient(self.uri)
            self._number = self._experiment(None)
            return
        path = Path(self.uri.removeprefix("sqlite:///")).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two processes must not create the tables of one database at once.
        with FileLock(f"{path}.lock", timeout=60):
            self._client = MlflowClient(self.uri)
            self._number = self._experiment((path.parent / "mlruns").as_uri())

    def _experiment(self, artifacts: str | None) -> str:
        found = self._client.get_experiment_by_name(self.experiment)
        number = found.experiment_id if found else None
        return str(number or self._client.create_experiment(self.experiment, artifacts))

    def open(self) -> None:
        """Go on with the run there is, or make one with its parameters."""
        from mlflow.entities import Param
        from mlflow.exceptions import MlflowException

        from force2geo.files import code_version

        if self._client is None:
            self._connect()
        if self.run_id is not None:
            try:
                self._client.update_run(self.run_id, "RUNNING")
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                self.run_id, self.described = None, False  # of another database, say
        if self.run_id is None:
            tags = {"mlflow.runName": self.name, "force2geo.code": code_version(), **_environment()}
            self.run_id = self._client.create_run(self._number, tags=tags).info.run_id
        if not self.described:
            parameters = [Param(key, value[:500]) for key, value in _flat(self.settings).items()]
            self._client.log_batch(self.run_id, params=parameters)
            self.described = True
        self.opened = True

    def row(self, values: dict[str, float], milliseconds: int) -> None:
        """Log the metrics of an epoch."""
        from mlflow.entities import Metric

        step = int(values["epoch"])
        metrics = [Metric(key, value, milliseconds, step) for key, value in values.items()]
        self._client.log_batch(self.run_id, metrics=metrics)

    def attach(self, path: Path) -> None:
        """Copy a file into the run."""
        self._client.log_artifact(self.run_id, str(path))

    def end(self, status: str) -> None:
        """Close the run as `FINISHED` or `FAILED`."""
        self._client.set_terminated(self.run_id, status)


class MLflowTracking(Callback):
    """Sends each epoch's metrics to one MLflow run; a resumed training goes on in its run.

    A thread sends them. What goes wrong there is one warning and never ends a training; it is
    sent again when the tracker answers. Training waits `patience` seconds at most for an answer,
    and not at all once there was none.
    """

    patience = 30.0

    def __init__(self, uri: str, experiment: str, name: str, settings: dict[str, Any]) -> None:
        self.client = Client(uri, experiment, name, settings)
        self.sender = Background(self._warn)
        self.warned = self.asked = False

    def _warn(self, error: Exception) -> None:
        if not self.warned:
            reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            text = f"warning: tracking at {self.client.uri}: {reason}; "
            text += "training does not depend on it, metrics stand in metrics.csv"
            print(text, file=sys.stderr, flush=True)
        self.warned = True

    def _send(self, task: Callable[[], None], again: bool = True) -> None:
        self.sender.add(task, again)
        if self.sender.answering and not self.sender.wait(self.patience):
            self._warn(TimeoutError(f"no answer in {self.patience:g} s"))

    def state_dict(self) -> dict[str, Any]:
        """Return the run's id, kept in training checkpoints."""
        return {"run_id": self.client.run_id}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the run of a checkpoint."""
        self.client.run_id = state_dict["run_id"]
        self.client.described = self.client.run_id is not None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the run and log its parameters."""
        self.asked = True
        self._send(self.client.open)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the newest row of the history."""
        row, now = dict(history_of(pl_module)[-1]), int(time.time() * 1000)
        self._send(partial(self.client.row, row, now))

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Mark the run as failed; a killed one stays open and is gone on with."""
        if isinstance(exception, Exception) and self.client.opened:
            self._send(partial(self.client.end, "FAILED"))

    def finish(self, artifacts: list[Path]) -> None:
        """Attach files and end the run."""
        if not self.asked:
            self._send(self.client.open)  # training was at its end already
        for path in artifacts:
            self._send(partial(self.client.attach, path), again=False)
        self._send(partial(self.client.end, "FINISHED"))
        end = time.monotonic() + self.patience
        while not self.sender.wait(max(0.0, end - time.monotonic())):
            if time.monotonic() > end:
                self._warn(TimeoutError(f"no answer in {self.patience:g} s"))
                break
            time.sleep(self.patience / 30)
