"""Relaxations kept on disk as they proceed, so that memory stays flat and a kill loses a minute.

A folder beside the output holds, for each run by its hash, relaxation files as `result` writes
them, molecules numbered in place of CIDs: finished ones, in parts, and in `moving.h5` the paths so
far of those that move. Each file is whole or absent. Called again, a run takes up where they end.
Another run with the same output has a folder of its own there: nobody's work is dropped. The folder
goes when the output is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from collections import Counter, defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from force2geo.files import atomic_path, hash_value
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import read_runs, write_relaxed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# Numbers of finished paths that memory holds: an eighth of a gigabyte.
_HELD = 1 << 24


class Journal:
    """The relaxations of a run, taken up where an earlier call ended.

    `starts` are the molecules as they begin; `settings` is all else that a result depends on.
    `finished` and `moving` are the callbacks of `relax_runs`, `whole_paths` as there, `seconds` how
    often what moves is written, or less often where writing would take more than a twentieth of the
    time.
    """

    def __init__(
        self,
        output: Path,
        settings: dict[str, Any],
        starts: Sequence[Relaxation],
        whole_paths: bool = True,
        seconds: float = 60.0,
    ) -> None:
        self.starts = starts
        digest = hashlib.sha256()
        for one in starts:
            state = np.array([one.charge, one.multiplicity])
            parts = one.atomic_numbers, one.positions, state, one.fixed, one.bonds
            for array in (np.zeros(0) if part is None else part for part in parts):
                digest.update(str(array.shape).encode())
                digest.update(np.asarray(array, dtype=float).tobytes())
        run = hash_value([settings, digest.hexdigest()])
        # Who asks for paths cannot take up ends alone.
        folder = output.with_name(f".{output.name}.unfinished")
        self._own = [folder / run, folder / f"{run}.ends"]
        self.folder = self._own[0 if whole_paths else 1]
        # Where each finished molecule is: part and row; and what became of it: status and steps.
        self.ended: dict[int, tuple[str, int]] = {}
        self._reasons: dict[int, str] = {}
        self._where: dict[int, tuple[Path, int]] = {}
        self._finished: list[Relaxation] = []
        self._moving: dict[int, Relaxation] = {}
        self._held, self._pause, self._seconds = 0, seconds, seconds
        self._written = time.monotonic()
        self._take_up()

    @property
    def reasons(self) -> Counter[str]:
        """Why molecules were refused or exploded, and how many."""
        failed = [place for place, (status, _) in self.ended.items()
                  if status in ("refused", "exploded")]  # fmt: skip
        return Counter(self._reasons[place] for place in failed)

    @property
    def others(self) -> list[Path]:
        """Folders with unfinished work of other runs that had the same output."""
        return [path for path in sorted(self.folder.parent.glob("*")) if path not in self._own]

    def _take_up(self) -> None:
        for path in sorted(self.folder.glob("*.h5")):
            if path.stem == "moving":
                continue
            with h5py.File(path) as file:
                columns = [file[name][:] for name in ("cid", "status", "steps", "reason")]
            for row, (place, status, steps, reason) in enumerate(zip(*columns, strict=True)):
                self.ended[int(place)] = status.decode(), int(steps)
                self._reasons[int(place)] = reason.decode(errors="ignore")
                self._where[int(place)] = path, row
        moving = self.folder / "moving.h5"
        if not moving.exists():
            return
        with h5py.File(moving) as file:
            places = [int(place) for place in file["cid"]]
        for place, run in zip(places, read_runs(moving), strict=True):
            if place not in self.ended:
                # Its last frame comes again: forces there are needed to go on.
                run.place, run.positions, run.steps = place, run.frames[-1], run.steps - 1
                run.fixed, run.bonds = self.starts[place].fixed, self.starts[place].bonds
                for own in run.paths:
                    own.pop()
                self._moving[place] = run

    def left(self) -> list[Relaxation]:
        """Return the relaxations to go on with or to begin."""
        return [
            self._moving.get(place) or _fresh(start, place)
            for place, start in enumerate(self.starts)
            if place not in self.ended
        ]

    def finished(self, run: Relaxation) -> None:
        """Take a finished molecule down."""
        self._moving.pop(run.place, None)
        self.ended[run.place] = run.status, run.steps
        self._reasons[run.place] = run.reason
        self._finished.append(run)
        self._held += 6 * len(run.frames) * len(run.positions)
        if self._held > _HELD:
            self._write_finished()
        self._write_in_time()

    def moving(self, runs: Sequence[Relaxation]) -> None:
        """Take down which molecules move."""
        self._moving.update((run.place, run) for run in runs)
        self._write_in_time()

    def _write_in_time(self) -> None:
        begun = time.monotonic()
        if begun - self._written > self._pause:
            self.flush()
            self._written = time.monotonic()
            self._pause = max(self._seconds, 20 * (self._written - begun))

    def flush(self) -> None:
        """Write what has not been written."""
        self._write_finished()
        # Another thread may be adding to a path: what all parts of it have counts.
        moving = [_so_far(run) for _, run in sorted(self._moving.items())]
        moving = [run for run in moving if run.frames]
        if moving or self.folder.exists():
            self._write("moving", moving)

    def _write_finished(self) -> None:
        if self._finished:
            part = self._write(f"{self._finished[0].place:09d}", self._finished)
            for row, run in enumerate(self._finished):
                self._where[run.place] = part, row
                # What is on disk leaves memory.
                for path in run.paths:
                    path.clear()
            self._finished, self._held = [], 0

    def _write(self, name: str, runs: list[Relaxation]) -> Path:
        path = self.folder / f"{name}.h5"
        with atomic_path(path) as partial:
            write_relaxed(partial, [f"{run.place:09d}" for run in runs], runs)
        return path

    def results(self) -> Iterator[Relaxation]:
        """Return all relaxations in order when they have finished, few in memory at a time."""
        self._write_finished()
        size = 0
        block: list[int] = []
        for place, start in enumerate(self.starts):
            block.append(place)
            size += 6 * (self.ended[place][1] + 1) * len(start.positions)
            if size > _HELD:
                yield from self._read(block)
                block, size = [], 0
        yield from self._read(block)

    def _read(self, places: list[int]) -> Iterator[Relaxation]:
        parts: defaultdict[Path, list[int]] = defaultdict(list)
        for place in places:
            parts[self._where[place][0]].append(place)
        found: dict[int, Relaxation] = {}
        for path, own in parts.items():
            rows = [self._where[place][1] for place in own]
            found |= dict(zip(own, read_runs(path, rows), strict=True))
        for place in places:
            yield found.pop(place)

    def close(self) -> None:
        """Remove the folder, and what held it where no other run's is there."""
        for folder in self._own:
            shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()


def _fresh(start: Relaxation, place: int) -> Relaxation:
    """Return a relaxation to begin."""
    return Relaxation(
        start.atomic_numbers,
        start.positions,
        place,
        charge=start.charge,
        multiplicity=start.multiplicity,
        fixed=start.fixed,
        bonds=start.bonds,
    )


def _so_far(run: Relaxation) -> Relaxation:
    """Return a relaxation that no thread adds to, as one that has not been judged."""
    known = min(map(len, run.paths))
    return replace(
        run,
        status="running",
        reason="",
        converged=False,
        stationary=False,
        steps=known - 1,
        frames=run.frames[:known],
        forces=run.forces[:known],
        energies=run.energies[:known],
        max_forces=run.max_forces[:known],
    )
