"""The training loop: Lightning around a model, an objective and a data set."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
import warnings
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from force2geo.errors import UserError
from force2geo.train.loader import BatchLoader, Dataset
from force2geo.train.schedule import Schedule

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from force2geo.potentials.batch import Batch
    from force2geo.train.objectives import Objective


MIDDLE = "middle.ckpt"
_INTERACTIVE = ("bash", "interactive")  # names of Slurm jobs that are a person's shell
_ASK_EVERY = 20  # batches between questions whether to save, where there are several processes


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
        self._batch: Batch | None = None
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
            batch_atoms=self.settings.get("batch_atoms"),
            share=(self.global_rank, self.trainer.world_size),
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
        self._batch = batch
        parts = self.objective.loss(self.model, batch)
        if not torch.isfinite(parts["loss"]):
            self._stop_at("loss")
        for key, value in parts.items():
            self._sums[key] = self._sums.get(key, 0.0) + float(value.detach()) * batch.size
        return parts["loss"]

    def backward(self, loss: torch.Tensor, *_: Any, **__: Any) -> None:
        """Differentiate by the weights alone: forces make positions leaves of the graph, too."""
        loss.backward(inputs=[p for p in self.model.parameters() if p.requires_grad])

    def configure_gradient_clipping(
        self, optimizer: torch.optim.Optimizer, gradient_clip_val: Any = None, **_: Any
    ) -> None:
        """Clip the gradient's norm where the settings say so, and stop where it is no number."""
        most = gradient_clip_val or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), most)
        if not torch.isfinite(norm):
            self._stop_at("gradient")

    def _stop_at(self, what: str) -> None:
        """Keep the batch and the weights that gave no number, and raise `UserError`."""
        assert self.scratch is not None and self._batch is not None
        path = self.scratch / "bad_batch.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {key: value for key, value in vars(self._batch).items() if value is not None}
        weights = self.model.state_dict()
        torch.save({"batch": columns, "weights": weights, "epoch": self.current_epoch}, path)
        raise UserError(
            f"{what} is not finite in epoch {self.current_epoch + 1}; batch and weights are in "
            f"{path}: look for a wrong structure, lower the learning_rate or set gradient_clip"
        )

    def on_train_batch_end(self, *_: Any) -> None:
        """Update the schedule and the moving average; from time to time keep the state."""
        self._schedule.after_batch()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self._progress["done"] += 1
        if self._time_to_save():
            self._keep_state()

    def _time_to_save(self) -> bool:
        """Say whether the state is to be kept now; all processes say the same."""
        due = time.monotonic() - self._saved >= self.keep_every
        if self.trainer.world_size == 1:
            return due
        if self._progress["done"] % _ASK_EVERY:
            return False
        return bool(self.trainer.strategy.broadcast(due))

    def _keep_state(self) -> None:
        """Write a checkpoint in the middle of an epoch, whole or not at all."""
        assert self.scratch is not None
        part = self.scratch / ".middle.part"
        seconds = time.perf_counter() - self._started
        self._progress |= {"sums": dict(self._sums), "seconds": seconds}
        self._saving_middle = True
        self.trainer.save_checkpoint(part)
        self._saving_middle = False
        if self.trainer.is_global_zero:
            part.replace(self.scratch / MIDDLE)
        self._saved = time.monotonic()

    def on_train_epoch_end(self) -> None:
        """Begin the next epoch at its first batch."""
        self._progress = {"done": 0, "sums": {}, "seconds": 0.0}

    def validation_step(self, _: int, index: int) -> None:
        """Judge the network on the whole validation set."""
        seconds = time.perf_counter() - self._started
        found = predict_all(self.judged.eval(), self.objective, self.sets["val"], self.settings)
        metrics = self.objective.metrics(found)
        self.log(self.objective.monitor, metrics[self.objective.monitor], batch_size=1)
        row = {"epoch": float(self.current_epoch), "seconds": seconds}
        # Sums of one process are of its part of the batches.
        sums = self.trainer.strategy.reduce(
            torch.tensor(list(self._sums.values()), device=self.device), reduce_op="sum"
        )
        means = (sums / len(self.sets["train"])).tolist()
        row |= {f"train_{key}": mean for key, mean in zip(self._sums, means, strict=True)}
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
        # Every epoch has as many batches.
        loader = BatchLoader(
            self.sets["train"],
            self.settings["batch_size"],
            batch_atoms=self.settings.get("batch_atoms"),
        )
        total = self.settings["epochs"] * len(loader)
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


def processes() -> tuple[int, int]:
    """Return processes on this node and nodes, as torchrun or Slurm started them; else (1, 1)."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        return local, world // local
    if "SLURM_PROCID" in os.environ and os.environ.get("SLURM_JOB_NAME") not in _INTERACTIVE:
        tasks, nodes = int(os.environ.get("SLURM_NTASKS", 1)), int(os.environ["SLURM_NNODES"])
        return tasks // nodes, nodes
    return 1, 1


def is_first_process() -> bool:
    """Say whether this process writes what all of them made."""
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def predict_all(
    model: nn.Module, objective: Objective, data: Dataset, settings: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Return the objective's predictions of a data set, made by all processes together.

    With one process they are in the order of the data.
    """
    device = next(model.parameters()).device
    loader = BatchLoader(data, 2 * settings["batch_size"])
    if not (dist.is_available() and dist.is_initialized()):
        return objective.predict(model, (batch.to(device) for batch in loader))
    loader.batches = loader.batches[dist.get_rank() :: dist.get_world_size()]
    parts: list[Any] = [None] * dist.get_world_size()
    mine = objective.predict(model, (batch.to(device) for batch in loader)) if len(loader) else {}
    dist.all_gather_object(parts, mine)
    parts = [part for part in parts if part]
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


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
    if settings.get("early_stop") is not None:
        # After that many epochs without an improvement.
        stopper = EarlyStopping(objective.monitor, patience=settings["early_stop"])
        callbacks = [*(callbacks or []), stopper]
    torch.set_float32_matmul_precision(settings.get("matmul_precision", "highest"))
    local, nodes = processes()
    watched = sys.stderr.isatty()
    watcher: Callback = TQDMProgressBar() if watched else LineAMinute()
    trainer = L.Trainer(
        accelerator=accelerator(),
        devices=local,
        num_nodes=nodes,
        # What an energy does not depend on, the last layer's vectors, has no gradient.
        strategy="ddp_find_unused_parameters_true" if local * nodes > 1 else "auto",
        use_distributed_sampler=False,
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
    trainer.strategy.barrier()
    if trainer.is_global_zero:
        shutil.rmtree(scratch, ignore_errors=True)
    return deepcopy(run.judged).to("cpu").eval(), run.history
