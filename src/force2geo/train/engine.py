"""The training loop: Lightning around a model, an objective and a data set."""

from __future__ import annotations

import logging
import math
import signal
import sys
import time
import warnings
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, TQDMProgressBar
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from force2geo.errors import UserError
from force2geo.train import lightning_state, unfinished
from force2geo.train.ahead import Ahead, with_pairs
from force2geo.train.average import MovingAverage
from force2geo.train.finiteness import Watch, stop
from force2geo.train.history import LineAMinute
from force2geo.train.judging import judge
from force2geo.train.loader import BatchLoader, Dataset
from force2geo.train.optimiser import adopt, heed, optimiser
from force2geo.train.patience import epochs_since_best, is_over
from force2geo.train.processes import accelerator, gathered, processes
from force2geo.train.schedule import Schedule
from force2geo.train.seeds import MODEL, OBJECTIVE, seed_of, seed_torch
from force2geo.train.sums import Sums
from force2geo.train.unfinished import BEST, LAST, MIDDLE

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from force2geo.potentials.batch import Batch
    from force2geo.train.objective import Objective, ParameterGroup


_ASK_EVERY = 50  # batches between questions that a device or other processes are waited for with


def answers_late(device: torch.device) -> bool:
    """Say whether the host gets ahead of a device, and waits for all it has begun to ask it."""
    return device.type != "cpu"


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
        self._groups: list[ParameterGroup] = objective.parameter_groups(model)
        learning = {id(p) for group in self._groups for p in group.parameters}
        self._weights = list(model.parameters())  # found once: looking through modules takes long
        for parameter in self._weights:
            if id(parameter) not in learning:
                parameter.requires_grad_(False)
        self.settings = settings
        self.sets = {"train": train, "val": validation}
        decay = settings["ema"]
        self.average = MovingAverage(model, decay) if decay else None
        self.history: list[dict[str, float]] = []
        self.scratch: Path | None = None
        self.keep_every = float("inf")
        self._schedule: Schedule
        self._schedule_state: dict[str, Any] | None = None
        self._progress: dict[str, Any] = {"done": 0, "sums": [], "seconds": 0.0}
        self._epoch_start: dict[str, Any] = {}
        self._saving_middle = False
        self._saved = time.monotonic()
        self._loader: BatchLoader
        self._loss = torch.zeros(())  # of the batch being learnt from
        self._watch = Watch(self._loss.device, 0)
        self._sums: Sums
        self._started = 0.0

    @property
    def judged(self) -> nn.Module:
        """The network that is validated and kept: the moving average where there is one."""
        return self.average.module if self.average is not None else self.model

    def train_dataloader(self) -> BatchLoader | Ahead:
        """Return this epoch's batches, made ahead and prepared where the device is waited for."""
        self._loader = BatchLoader(
            self.sets["train"],
            self.settings["batch_size"],
            self.settings["seed"],
            self.current_epoch,
            shuffle=True,
            skip=self._progress["done"],
            batch_atoms=self.settings.get("batch_atoms"),
            share=(self.global_rank, self.trainer.world_size),
            passes=self.settings.get("passes", 1),
        )
        if not answers_late(self.device):
            return self._loader
        return Ahead(
            self._loader,
            lambda batch, number: with_pairs(self._prepared(batch, number), self.model),
            self.device,
        )

    def val_dataloader(self) -> list[int]:
        """Return a single dummy batch: validation walks its own set (see `validation_step`)."""
        return [0]

    def transfer_batch_to_device(
        self, batch: Batch | int, device: torch.device, dataloader_idx: int
    ) -> Batch | int:
        """Move a batch; one that is there stays as it is, with all that is known of its pairs."""
        if isinstance(batch, int) or batch.positions.device == device:
            return batch
        return batch.to(device)

    def on_train_epoch_start(self) -> None:
        """Start the clock and the sums of the epoch, or go on with those of a killed run."""
        self._sums = Sums(self._own_sums(), self.device)
        self._watch = Watch(self.device, self._progress["done"])
        if answers_late(self.device):
            heed(self.trainer.optimizers[0], self._watch.skip)
        self._started = time.perf_counter() - self._progress["seconds"]
        self._epoch_start = lightning_state.beginning_of_epoch(self.trainer)

    def _own_sums(self) -> dict[str, float]:
        """Return this process's sums of the batches done; those of another number, shared out."""
        kept: list[dict[str, float]] = self._progress["sums"]
        if len(kept) == self.trainer.world_size:
            return dict(kept[self.global_rank])
        return {key: sum(sums[key] for sums in kept) / len(kept) for key in kept[0]} if kept else {}

    def training_step(self, batch: Batch, index: int) -> torch.Tensor:
        """Return the loss of a batch; all that is random is of the batch's own seeds."""
        number = self._progress["done"]
        seed_torch(seed_of(MODEL, *self._where(number)))
        if not answers_late(self.device):
            batch = self._prepared(batch, number)
        parts = self.objective.loss(self.model, batch)
        self._sums.add(parts, len(self._loader.batches[number]))  # molecules of all processes
        self._loss = parts["loss"].detach()
        return parts["loss"]

    def _where(self, number: int) -> tuple[int, int, int, int]:
        """Return what decides all that is random about a batch of this epoch."""
        return (self.settings["seed"], self.current_epoch, number, self.global_rank)

    def _prepared(self, batch: Batch, number: int) -> Batch:
        """Return a batch as the objective wants to learn from it."""
        seed = seed_of(OBJECTIVE, *self._where(number))
        chance = torch.Generator(batch.positions.device).manual_seed(seed)
        return self.objective.prepare(batch, chance)

    def backward(self, loss: torch.Tensor, *_: Any, **__: Any) -> None:
        """Differentiate by the weights alone: forces make positions leaves of the graph, too."""
        loss.backward(inputs=[weight for weight in self._weights if weight.requires_grad])

    def configure_gradient_clipping(
        self, optimizer: torch.optim.Optimizer, gradient_clip_val: Any = None, **_: Any
    ) -> None:
        """Clip the gradient's norm where the settings say so, and see whether it is a number."""
        norm = get_total_norm([w.grad for w in self._weights if w.grad is not None])
        if gradient_clip_val:
            clip_grads_with_norm_(self._weights, gradient_clip_val, norm)
        self._watch.see(self._loss, norm)
        if not answers_late(self.device):
            # Before the step. Others are not asked: they take none when told so later.
            self._ask(together=False)

    def _ask(self, together: bool = True) -> None:
        """Stop where a loss or a gradient was no number; the device is waited for."""
        bad = self._watch.first_bad(together)
        if bad is not None:
            assert self.scratch is not None
            stop(bad, self.current_epoch, self._batch_again, self.model, self.scratch)

    def _batch_again(self, number: int) -> Batch:
        """Return a batch of this epoch as it was learnt from."""
        seed_torch(seed_of(MODEL, *self._where(number)))
        return self._prepared(self._loader.batch(number).to(self.device), number)

    def on_train_batch_end(self, *_: Any) -> None:
        """Update the schedule and the moving average; from time to time ask, and keep the state."""
        self._schedule.after_batch()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self._progress["done"] += 1
        done, keep = self._progress["done"], self._time_to_save()
        last = done == len(self._loader.batches)
        # No state is kept, and no network judged, before all that made it was numbers.
        if answers_late(self.device) and (keep or last or done % _ASK_EVERY == 0):
            self._ask()
        if keep:
            self._keep_state()

    def _time_to_save(self) -> bool:
        """Say whether the state is to be kept now; all processes say the same."""
        if self._progress["done"] == len(self._loader.batches):
            return False  # the epoch's end, after its validation, is kept
        if not self._epoch_start:
            return False
        due = time.monotonic() - self._saved >= self.keep_every
        if self.trainer.world_size == 1:
            return due
        if self._progress["done"] % _ASK_EVERY:
            return False
        return bool(self.trainer.strategy.broadcast(due))

    def _keep_state(self) -> None:
        """Write a checkpoint in the middle of an epoch."""
        seconds = time.perf_counter() - self._started
        self._progress |= {"sums": gathered(self._sums.told()), "seconds": seconds}
        self._saving_middle = True
        self._write(MIDDLE)
        self._saving_middle = False

    def _write(self, name: str) -> None:
        """Write a checkpoint, whole or not at all."""
        assert self.scratch is not None
        part = self.scratch / f".{name}.part"
        try:
            self.trainer.save_checkpoint(part)
            if self.trainer.is_global_zero:
                part.replace(self.scratch / name)
        except OSError as error:
            raise UserError(
                f"{self.scratch}: {error.strerror or error}: the training's state cannot be kept; "
                "make room and call again, it goes on from the state before"
            ) from error
        self._saved = time.monotonic()

    def on_train_epoch_end(self) -> None:
        """Keep the state, and the network if it is the best so far; stop where none will come."""
        assert self.scratch is not None
        self._progress = {"done": 0, "sums": [], "seconds": 0.0}
        if epochs_since_best(self.history, self.objective.monitor) == 0:
            self._write(BEST)
        self._write(LAST)
        if self.trainer.is_global_zero:
            (self.scratch / MIDDLE).unlink(missing_ok=True)
        if is_over(self.history, self.objective.monitor, self.settings):
            self.trainer.should_stop = True

    def validation_step(self, _: int, index: int) -> None:
        """Judge the network on the whole validation set."""
        seconds = time.perf_counter() - self._started
        metrics = judge(self.judged.eval(), self.objective, self.sets["val"], self.settings)
        if not self.history and not math.isfinite(metrics[self.objective.monitor]):
            raise UserError(
                f"{self.objective.monitor} of the validation set is not finite: look for a wrong "
                "structure or a target that is no number in it"
            )
        row = {"epoch": float(self.current_epoch), "seconds": seconds}
        every = gathered(self._sums.told())
        weight = 1 / (len(every) * len(self.sets["train"]))
        row |= {f"train_{key}": weight * sum(sums[key] for sums in every) for key in every[0]}
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
            lightning_state.put_in_place(self._epoch_start, checkpoint)
            checkpoint["progress"] = self._progress

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take history and schedule up again."""
        self.history = checkpoint["history"]
        self._schedule_state = checkpoint["schedule"]
        self._progress = checkpoint.get("progress", self._progress)
        for state in checkpoint["optimizer_states"]:
            adopt(state)

    def configure_optimizers(self) -> Any:
        """Return the optimiser of the settings and make its schedule.

        The schedule is stepped here and not by Lightning, which would save a checkpoint before
        the step that the epoch's result asks for, so that a resumed run would miss it.
        """
        optimizer = optimiser(self._groups, self.settings["optimizer"])
        # Every epoch has as many batches.
        loader = BatchLoader(
            self.sets["train"],
            self.settings["batch_size"],
            batch_atoms=self.settings.get("batch_atoms"),
            passes=self.settings.get("passes", 1),
        )
        total = self.settings["epochs"] * len(loader)
        self._schedule = Schedule(optimizer, self.settings["schedule"], total)
        return optimizer

    def on_train_start(self) -> None:
        """Take the schedule of a checkpoint up again, now that its optimiser is restored."""
        if self._schedule_state is not None:
            self._schedule.load_state_dict(self._schedule_state)
            self._schedule_state = None


def _fit(trainer: L.Trainer, run: Training, start: Path | None) -> None:
    """Let Lightning train; Ctrl-C, of which it makes an end without a word, says what is kept."""
    before = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(run, ckpt_path=start, weights_only=True)
    except SystemExit as end:
        if not isinstance(end.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, before)  # Lightning lets it be ignored from then on
        done = f"{len(run.history)} of {run.settings['epochs']} epochs are done"
        raise KeyboardInterrupt(f"{done}; the same call goes on from there") from None


def fit(
    model: nn.Module,
    objective: Objective,
    train: Dataset,
    validation: Dataset,
    settings: dict[str, Any],
    scratch: Path,
    callbacks: list[Callback] | None = None,
    keep_every: float = 600.0,
    inputs: dict[str, str] | None = None,
) -> tuple[nn.Module, list[dict[str, float]]]:
    """Train and return the best network by the objective's monitor, and the history.

    `scratch` keeps the state of an unfinished run, after every epoch and every `keep_every`
    seconds: called again after a kill, training goes on from there and gives the same weights
    (on a CPU, to the last bit), and after its end it gives them at once. With other `settings` or
    `inputs` (names and hashes) it starts anew. The caller removes it (`unfinished.discard`) once
    the network is safe.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
    torch.manual_seed(settings["seed"])
    run = Training(model, objective, settings, train, validation)
    deciding = {key: value for key, value in settings.items() if key != "tracking"}
    folder = unfinished.claim(scratch, {"settings": deciding, "inputs": inputs or {}})
    run.scratch, run.keep_every = folder, keep_every
    start = unfinished.newest(folder)
    epochs = settings["epochs"]
    if start is not None:
        history = unfinished.read(start)["history"]
        if history and is_over(history, objective.monitor, settings):
            epochs = len(history)
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
        max_epochs=epochs,
        callbacks=[watcher, *(callbacks or [])],
        logger=False,
        default_root_dir=folder,
        gradient_clip_val=settings["gradient_clip"] or None,
        inference_mode=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        enable_checkpointing=False,
        enable_progress_bar=watched,
        enable_model_summary=False,
    )
    _fit(trainer, run, start)
    trainer.strategy.barrier()
    run.load_state_dict(unfinished.read(folder / BEST)["state_dict"])
    return deepcopy(run.judged).to("cpu").requires_grad_(True).eval(), run.history
