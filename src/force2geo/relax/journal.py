"""Finished relaxations kept on disk as they come, so that a killed run loses at most a minute.

A folder beside the output holds chunks of finished molecules, each whole or absent; called again,
a run takes them up and relaxes the others. The folder goes when the output is written.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.files import atomic_path, hash_value
from force2geo.relax.relaxation import Relaxation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Journal:
    """The finished relaxations of a run; those with other settings or starts are dropped."""

    def __init__(
        self,
        output: Path,
        settings: dict[str, Any],
        atomic_numbers: Sequence[np.ndarray],
        positions: Sequence[np.ndarray],
        seconds: float = 60.0,
    ) -> None:
        self.folder = output.with_name(f".{output.name}.unfinished")
        self.seconds = seconds
        self._starts = [
            hash_value([np.asarray(z).tolist(), np.asarray(x).tolist()])
            for z, x in zip(atomic_numbers, positions, strict=True)
        ]
        self._run = hash_value([settings, self._starts])
        self._fresh: list[tuple[int, Relaxation]] = []
        self._kept = time.monotonic()
        self.done: dict[int, Relaxation] = {}
        for path in sorted(self.folder.glob("*.npz")):
            with np.load(path, allow_pickle=False) as chunk:
                rows = json.loads(str(chunk["rows"]))
                if rows["run"] != self._run:
                    path.unlink()
                    continue
                for index, row in rows["molecules"].items():
                    row["atomic_numbers"] = chunk[f"{index}/atomic_numbers"]
                    row["positions"] = chunk[f"{index}/frames"][-1]
                    row["frames"] = list(chunk[f"{index}/frames"])
                    row["forces"] = list(chunk[f"{index}/forces"])
                    self.done[int(index)] = Relaxation(**row)

    def add(self, index: int, run: Relaxation) -> None:
        """Take a finished molecule down; it is on disk within `seconds`, or with the next one."""
        self._fresh.append((index, run))
        if time.monotonic() - self._kept > self.seconds:
            self.flush()

    def flush(self) -> None:
        """Write what has not been written."""
        if not self._fresh:
            return
        arrays: dict[str, Any] = {}
        molecules = {}
        for index, run in self._fresh:
            row = asdict(run)
            arrays[f"{index}/atomic_numbers"] = row.pop("atomic_numbers")
            for name in ("frames", "forces"):
                arrays[f"{index}/{name}"] = np.array(row.pop(name))
            del row["positions"]
            molecules[index] = row
        rows = json.dumps({"run": self._run, "molecules": molecules})
        path = self.folder / f"{self._fresh[0][0]:09d}.npz"
        with atomic_path(path) as part, part.open("wb") as handle:
            np.savez(handle, rows=np.array(rows), **arrays)
        self._fresh, self._kept = [], time.monotonic()

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
