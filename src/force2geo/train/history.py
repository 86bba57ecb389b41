"""What a person sees of a training while it runs: lines in a log, a table in a file."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from lightning.pytorch.callbacks import Callback

from force2geo.files import write_table

if TYPE_CHECKING:
    from pathlib import Path

    import lightning as L


def history_of(module: L.LightningModule) -> list[dict[str, float]]:
    """Return the rows of a run's epochs so far."""
    rows: list[dict[str, float]] = module.history
    return rows


class LineAMinute(Callback):
    """Writes progress as a line at most once a minute, for logs nobody watches live."""

    def __init__(self) -> None:
        self.last = 0.0

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the newest row of the history."""
        final = trainer.current_epoch + 1 == trainer.max_epochs
        if not trainer.is_global_zero or (time.monotonic() - self.last < 60 and not final):
            return
        self.last = time.monotonic()
        row = history_of(pl_module)[-1]
        values = " ".join(f"{k}={v:.4g}" for k, v in row.items() if k != "epoch")
        print(f"epoch {int(row['epoch']) + 1}/{trainer.max_epochs} {values}", flush=True)


class EpochTable(Callback):
    """Keeps the epochs so far in a CSV file, also where no tracker answers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.warned = False

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the history."""
        if trainer.is_global_zero:
            self.write(history_of(pl_module))

    def write(self, history: list[dict[str, float]]) -> None:
        """Write the rows; a disk that is full is a warning."""
        columns = dict.fromkeys(key for row in history for key in row)
        try:
            write_table(self.path, columns, history)
        except OSError as error:
            if not self.warned:
                print(f"warning: {self.path}: {error.strerror}", file=sys.stderr, flush=True)
            self.warned = True
