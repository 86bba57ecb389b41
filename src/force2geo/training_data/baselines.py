"""What a calculator says of packed snapshots: the baseline that a potential is to correct.

One HDF5 file beside the packed one, rows as there: `energy` (S,) eV float64, `forces` (N,3) eV/Å,
NaN where the calculator found none; `failed` (F,) these rows and `reason` (F,). Attributes:
`baseline`, the calculator's record as JSON; `data`, the packed file's hash; `packed_levels`, its
levels of theory.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from force2geo.calling.pool import Pool, Task
from force2geo.errors import UserError
from force2geo.files import atomic_path, known_hash, reading, write_json
from force2geo.training_data.packed import states_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from force2geo.calling.pool import Asked

_BLOCK = 512  # snapshots asked about at once
_BYTES = {"energy": 8, "forces": 12}


class _Unfinished:
    """The folder of what was computed so far: killed, the same call goes on behind it."""

    def __init__(self, folder: Path, origin: dict[str, Any], ptr: np.ndarray) -> None:
        self.folder, told = folder, folder / "origin.json"
        if not told.exists() or json.loads(told.read_text(encoding="utf-8")) != origin:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            write_json(told, origin)
        paths = {name: folder / name for name in ("energy", "forces", "reasons")}
        for path in paths.values():
            path.touch()
        # A block counts when all of it is there: reasons are written first, energies last.
        self.done = paths["energy"].stat().st_size // _BYTES["energy"]
        self.files = {name: path.open("r+b") for name, path in paths.items()}
        for name, rows in (("energy", self.done), ("forces", int(ptr[self.done]))):
            self.files[name].truncate(rows * _BYTES[name])
            self.files[name].seek(0, 2)
        lines = self.files["reasons"].read().decode().splitlines()
        kept = [line for line in lines if int(line.partition(" ")[0]) < self.done]
        self.files["reasons"].seek(0)
        self.files["reasons"].truncate()
        self.files["reasons"].write("".join(f"{line}\n" for line in kept).encode())

    def add(self, first: int, asked: Asked) -> int:
        """Wait for a block from snapshot `first` on, write it and return how many it has."""
        found = asked.result()
        lines = [f"{first + i} {why}\n" for i, why in enumerate(found.reasons) if why]
        for name, content in (
            ("reasons", "".join(lines).encode()),
            ("forces", found.forces.astype("f4").tobytes()),
            ("energy", found.energies.astype("f8").tobytes()),
        ):
            self.files[name].write(content)
            self.files[name].flush()
        return len(found.energies)

    def failures(self) -> dict[int, str]:
        """Return why snapshots have no baseline, by row."""
        self.files["reasons"].seek(0)
        lines = self.files["reasons"].read().decode().splitlines()
        return {int(row): why for row, _, why in (line.partition(" ") for line in lines)}

    def column(self, name: str, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        """Return what was written, mapped."""
        return np.memmap(self.folder / name, kind, "r", 0, shape)

    def close(self) -> None:
        """Let go of the files."""
        for file in self.files.values():
            file.close()


def write_baseline(
    data: Path,
    path: Path,
    record: dict[str, Any],
    workers: int,
    progress: Callable[[int], Any] = lambda _: None,
) -> list[str]:
    """Compute the baseline of all snapshots of a packed file in so many processes; see above.

    Return what there is, in lines. A molecule's results depend on nothing but itself: its SCF
    starts anew each time. `UserError` where the calculator cannot be had or finds nothing at all.
    """
    with reading(data, "packed snapshots, HDF5"), h5py.File(data, "r") as file:
        ptr = file["ptr"][:]
        states = states_of(data, file)
        levels = [str(name) for name in file.attrs.get("packed_levels", [])]
        origin = {"data": known_hash(data), "baseline": record}
        unfinished = _Unfinished(path.with_name(f".{path.name}.unfinished"), origin, ptr)
        pool = Pool(record, workers)
        try:
            _compute(file, ptr, states, unfinished, pool, progress)
            failures = unfinished.failures()
            _write(path, origin, levels, ptr, unfinished, failures)
        finally:
            pool.close()
            unfinished.close()
    shutil.rmtree(unfinished.folder)
    counted = Counter(failures.values())
    return [
        f"{len(ptr) - 1 - len(failures)} of {len(ptr) - 1} snapshots have a baseline",
        *(f"{count} have none: {why}" for why, count in counted.most_common(5)),
    ]


def _compute(
    file: h5py.File,
    ptr: np.ndarray,
    states: np.ndarray,
    unfinished: _Unfinished,
    pool: Pool,
    progress: Callable[[int], Any],
) -> None:
    """Compute what is left; the workers have the next block before they are through with one."""
    waiting: list[tuple[int, Asked]] = []
    progress(unfinished.done)
    for first, tasks in _blocks(file, ptr, states, unfinished.done):
        waiting.append((first, pool.start(tasks)))
        if len(waiting) > 1:
            progress(unfinished.add(*waiting.pop(0)))
    for block in waiting:
        progress(unfinished.add(*block))


def _blocks(
    file: h5py.File, ptr: np.ndarray, states: np.ndarray, done: int
) -> Iterator[tuple[int, list[Task]]]:
    """Yield the snapshots left, with the number of the first."""
    for first in range(done, len(ptr) - 1, _BLOCK):
        ends = ptr[first : first + _BLOCK + 1]
        numbers = file["atomic_numbers"][ends[0] : ends[-1]].astype(np.int64)
        positions = file["positions"][ends[0] : ends[-1]].astype(float)
        cuts = ends[1:-1] - ends[0]
        pieces = zip(np.split(numbers, cuts), np.split(positions, cuts), states[first:],
                     strict=False)  # fmt: skip
        yield first, [Task(z, x, int(state[0]), int(state[1])) for z, x, state in pieces]


def _write(
    path: Path,
    origin: dict[str, Any],
    levels: list[str],
    ptr: np.ndarray,
    unfinished: _Unfinished,
    failures: dict[int, str],
) -> None:
    if len(failures) == len(ptr) - 1:
        reason = next(iter(failures.values()), "there is no snapshot")
        shutil.rmtree(unfinished.folder)
        raise UserError(f"{path}: not one snapshot has a baseline: {reason}")
    with atomic_path(path) as part, h5py.File(part, "w") as target:
        target.attrs["baseline"] = json.dumps(origin["baseline"], sort_keys=True)
        target.attrs["data"] = origin["data"]
        target.attrs["packed_levels"] = levels
        target["energy"] = unfinished.column("energy", "f8", (len(ptr) - 1,))
        target["forces"] = unfinished.column("forces", "f4", (int(ptr[-1]), 3))
        target["failed"] = np.array(list(failures), dtype=np.int64)
        target.create_dataset("reason", data=list(failures.values()), dtype=h5py.string_dtype())
