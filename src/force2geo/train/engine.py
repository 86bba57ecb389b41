"""The training loop: Lightning around a model, an objective and a data set."""

from __future__ import annotations

import logging
import shutil
import sys
import time
import warnings
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, TQDMProgressBar
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from force2geo.train.loader import BatchLoader, Dataset
from force2geo.train.schedule import Schedule

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from force2geo.potentials.batch import Batch
    from force2geo.train.objectives import Objective


MIDDLE = "middle.ckpt"


class Training(L.LightningModule):
    """One run: optimiser, schedule, moving average and history of metrics."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        settings: dict[str, Any],
        train: Dataset,
        validation: Dataset,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective
        self.settings = settings
        self.sets = {"train": train, "val": validation}
        decay = settings["ema"]
        self.average = (
            AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
            if decay
            else None
        )
        self.history: list[dict[str, float]] = []
        self.scratch: Path | None = None
        self.keep_every = float("inf")
        self._schedule: Schedule
        self._schedule_state: dict[str, Any] | None = None
        self._progress: dict[str, Any] = {"done": 0, "sums": {}, "seconds": 0.0}
        self._epoch_start: dict[str, Any] = {}
        self._saving_middle = False
        self._saved = time.monotonic()
        self._sums: dict[str, float] = {}
        self._started = 0.0

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept: the moving average where there is one."""
        return self.average.module if self.average is not None else self.model

    def train_dataloader(self) -> BatchLoader:
        """Return this epoch's batches."""
        return BatchLoader(
            self.sets["train"],
            self.settings["batch_size"],
            self.settings["seed"],
            self.current_epoch,
            shuffle=True,
            skip=self._progress["done"],
        )

    def val_dataloader(self) -> list[int]:
        """Return a single dummy batch: validation walks its own set (see `validation_step`)."""
        return [0]

    def transfer_batch_to_device(
        self, batch: Batch | int, device: torch.device, dataloader_idx: int
    ) -> Batch | int:
        """Move a batch."""
        return batch if isinstance(batch, int) else batch.to(device)

    def on_train_epoch_start(self) -> None:
        """Start the clock and the sums of the epoch, or go on with those of a killed run."""
        self._sums = dict(self._progress["sums"])
        self._started = time.perf_counter() - self._progress["seconds"]
        self._epoch_start = deepcopy(self.trainer.fit_loop.state_dict())
        # Still those of the epoch before, which Lightning would take for this one's.
        batches = self._epoch_start["epoch_loop.batch_progress"]
        batches["is_last_batch"] = False
        batches["current"] = dict.fromkeys(batches["current"], 0)

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """Return the loss of a batch."""
        parts = self.objective.loss(self.model, batch)
        if not torch.isfinite(parts["loss"]):
            raise FloatingPointError(
                f"loss is not finite at epoch {self.current_epoch}, batch {index}: "
                "lower optimizer.learning_rate or set gradient_clip"
            )
        for key, value in parts.items():
            self._sums[key] = self._sums.get(key, 0.0) + float(value.detach()) * batch.size
        return parts["loss"]

    def backward(self, loss: torch.Tensor, *_: Any, **__: Any) -> None:
        """Differentiate by the weights alone: forces make positions leaves of the graph, too."""
        loss.backward(inputs=[p for p in self.model.parameters() if p.requires_grad])

    def on_train_batch_end(self, *_: Any) -> None:
        """Update the schedule and the moving average; from time to time keep the state."""
        self._schedule.after_batch()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self._progress["done"] += 1
        if time.monotonic() - self._saved >= self.keep_every:
            self._keep_state()

    def _keep_state(self) -> None:
        """Write a checkpoint in the middle of an epoch, whole or not at all."""
        assert self.scratch is not None
        part = self.scratch / ".middle.part"
        seconds = time.perf_counter() - self._started
        self._progress |= {"sums": dict(self._sums), "seconds": seconds}
        self._saving_middle = True
        self.trainer.save_checkpoint(part)
        self._saving_middle = False
        part.replace(self.scratch / MIDDLE)
        self._saved = time.monotonic()

    def on_train_epoch_end(self) -> None:
        """Begin the next epoch at its first batch."""
        self._progress = {"done": 0, "sums": {}, "seconds": 0.0}

    def validation_step(self, _: int, index: int) -> None:
        """Judge the network on the whole validation set."""
        seconds = time.perf_counter() - self._started
        loader = BatchLoader(self.sets["val"], 2 * self.settings["batch_size"])
        batches = (batch.to(self.device) for batch in loader)
        metrics = self.objective.metrics(self.objective.predict(self.judged.eval(), batches))
        self.log(self.objective.monitor, metrics[self.objective.monitor], batch_size=1)
        row = {"epoch": float(self.current_epoch), "seconds": seconds}
        row |= {f"train_{k}": v / len(self.sets["train"]) for k, v in self._sums.items()}
        row |= {f"val_{key}": value for key, value in metrics.items()}
        row["learning_rate"] = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.history.append(row)
        self._schedule.after_epoch(metrics[self.objective.monitor])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep history and schedule with the weights."""
        checkpoint["history"] = self.history
        checkpoint["schedule"] = self._schedule.state_dict()
        if self._saving_middle:
            # To Lightning the epoch has just begun; its loader leaves out the batches done.
            checkpoint["loops"]["fit_loop"] = self._epoch_start
            checkpoint["progress"] = self._progress

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take history and schedule up again."""
        self.history = checkpoint["history"]
        self._schedule_state = checkpoint["schedule"]
        self._progress = checkpoint.get("progress", self._progress)

    def configure_optimizers(self) -> Any:
        """Return the optimiser of the settings and make its schedule.

        The schedule is stepped here and not by Lightning, which would save a checkpoint before
        the step that the epoch's result asks for, so that a resumed run would miss it.
        """
        options = self.settings["optimizer"]
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        optimizer = kinds[options["name"]](
            self.model.parameters(),
            lr=options["learning_rate"],
            betas=tuple(options["betas"]),
            weight_decay=options["weight_decay"],
        )
        steps = -(-len(self.sets["train"]) // self.settings["batch_size"])
        total = self.settings["epochs"] * steps
        self._schedule = Schedule(optimizer, self.settings["schedule"], total)
        return optimizer

    def on_train_start(self) -> None:
        """Take the schedule of a checkpoint up again, now that its optimiser is restored."""
        if self._schedule_state is not None:
            self._schedule.load_state_dict(self._schedule_state)
            self._schedule_state = None


class LineAMinute(Callback):
    """Writes progress as a line at most once a minute, for logs nobody watches live."""

    def __init__(self) -> None:
        self.last = 0.0

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the newest row of the history."""
        assert isinstance(pl_module, Training)
        final = trainer.current_epoch + 1 == trainer.max_epochs
        if time.monotonic() - self.last < 60 and not final:
            return
        self.last = time.monotonic()
        row = pl_module.history[-1]
        values = " ".join(f"{k}={v:.4g}" for k, v in row.items() if k != "epoch")
        print(f"epoch {int(row['epoch']) + 1}/{trainer.max_epochs} {values}", flush=True)


def accelerator() -> str:
    """Return `cuda` where a GPU is visible, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def fit(
    model: nn.Module,
    objective: Objective,
    train: Dataset,
    validation: Dataset,
    settings: dict[str, Any],
    scratch: Path,
    callbacks: list[Callback] | None = None,
    keep_every: float = 600.0,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train and return the best network by the objective's monitor, and the history.

    `scratch` keeps the state of an unfinished run, after every epoch and every `keep_every`
    seconds: called again after a kill, training goes on from there and gives the same weights
    (on a CPU, to the last bit). It is removed on success.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    torch.manual_seed(settings["seed"])
    run = Training(model, objective, settings, train, validation)
    run.scratch, run.keep_every = scratch, keep_every
    keeper = ModelCheckpoint(
        dirpath=scratch,
        filename="best",
        monitor=objective.monitor,
        save_last=True,
        enable_version_counter=False,
    )
    watched = sys.stderr.isatty()
    watcher: Callback = TQDMProgressBar() if watched else LineAMinute()
    trainer = L.Trainer(
        accelerator=accelerator(),
        devices=1,
        max_epochs=settings["epochs"],
        callbacks=[keeper, watcher, *(callbacks or [])],
        logger=False,
        default_root_dir=scratch,
        gradient_clip_val=settings["gradient_clip"] or None,
        inference_mode=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        enable_progress_bar=watched,
        enable_model_summary=False,
    )
    kept = [path for path in (scratch / "last.ckpt", scratch / MIDDLE) if path.exists()]
    newest = max(kept, key=lambda path: path.stat().st_mtime_ns, default=None)
    trainer.fit(run, ckpt_path=newest, weights_only=True)
    best = torch.load(scratch / "best.ckpt", map_location="cpu", weights_only=True)
    run.load_state_dict(best["state_dict"])
    shutil.rmtree(scratch, ignore_errors=True)
    return deepcopy(run.judged).to("cpu").eval(), run.history
