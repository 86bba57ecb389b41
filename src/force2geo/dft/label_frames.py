"""DFT energies and gradients of geometries that were chosen, each computed once.

A geometry's numbers depend on nothing but itself: its self-consistent field starts from no other's
density. They lie in a folder, a file a geometry, named by the hash of elements, positions, state
and level, so that a killed call goes on from there and choices that share a geometry share them.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from force2geo.dft import label as by_molecule
from force2geo.dft.pool import run_tasks
from force2geo.dft.record import labelled
from force2geo.files import atomic_path

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from force2geo.dft.points import Molecule


class Frame(NamedTuple):
    """A geometry to label: elements (n,), positions (n,3) Å, and where they come from.

    `number` is its own among its molecule's, `origin` what kind of geometry it is.
    """

    molecule: Molecule
    number: int
    origin: str

    def point(self, store: Path) -> Path:
        """Return the file of its numbers."""
        return store / f"{self.molecule.key(by_molecule.B3LYP, {})}.npz"


def _point(task: tuple[Any, ...]) -> None:
    """Compute a geometry's numbers, or why there are none, and write them."""
    import logging

    from force2geo.dft.kernels import import_pyscf

    import_pyscf(threads=1)
    logging.disable(logging.INFO)
    molecule, path = task
    found: dict[str, Any]
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            energies, gradients, _ = by_molecule.energies_and_gradients(
                molecule.numbers, [molecule.positions], None, molecule.charge, molecule.multiplicity
            )
        found = {"energy": energies[0], "gradient": gradients[0]}
    except (MemoryError, OSError):
        raise  # the machine's fault, not the geometry's
    except Exception as error:  # one bad geometry must not stop the others; it is recorded
        found = {"error": np.array(f"{type(error).__name__}: {error}")}
    with atomic_path(path) as part, part.open("wb") as handle:
        np.savez(handle, **found)


def label_frames(
    frames: Sequence[Frame], out: Path, store: Path, workers: int, about: dict[str, Any]
) -> list[str]:
    """Label geometries and return what became of each: nothing, or why it has no label.

    `out` gets one `.npz` a molecule as `force2geo label` writes them, with `about` it in
    their `info`, and `rejects.csv` those that DFT has no numbers for; `store` holds the numbers by
    themselves. Geometries that the machine failed (memory, disk, a process that died) are tried
    again by the next call.
    """
    from tqdm import tqdm

    store.mkdir(parents=True, exist_ok=True)
    points = [frame.point(store) for frame in frames]
    tasks = [(frame.molecule, path) for frame, path in zip(frames, points, strict=True)]
    failed = [""] * len(frames)

    def recall(place: int) -> bool | None:
        return True if points[place].exists() else None

    ended = run_tasks(_point, tasks, max(1, workers), recall=recall)
    for place, _, error in tqdm(ended, total=len(tasks), unit="geometry", disable=None):
        failed[place] = error
    rejected: list[tuple[str, str]] = []
    for place, (frame, path) in enumerate(zip(frames, points, strict=True)):
        if failed[place]:
            continue
        with np.load(path, allow_pickle=False) as found:
            failed[place] = str(found["error"]) if "error" in found else ""
        if failed[place]:
            rejected.append((frame.molecule.cid, f"{frame.origin}: {failed[place]}"))
    places: dict[str, list[int]] = defaultdict(list)
    for place, frame in enumerate(frames):
        places[frame.molecule.cid].append(place)
    for own in places.values():
        good = sorted((p for p in own if not failed[p]), key=lambda place: frames[place].number)
        if good:
            _write_molecule([frames[p] for p in good], [points[p] for p in good], out, about)
    with (
        atomic_path(out / "rejects.csv") as part,
        part.open("w", newline="", encoding="utf-8") as handle,
    ):
        csv.writer(handle, lineterminator="\n").writerows(rejected)
    return failed


def _write_molecule(
    frames: Sequence[Frame], points: Sequence[Path], out: Path, about: dict[str, Any]
) -> None:
    molecule = frames[0].molecule
    energies, gradients = [], []
    for path in points:
        with np.load(path, allow_pickle=False) as found:
            energies.append(float(found["energy"]))
            gradients.append(found["gradient"])
    record = labelled(
        (molecule.cid, molecule.smiles, molecule.inchi),
        molecule.numbers,
        (molecule.charge, molecule.multiplicity),
        [frame.molecule.positions for frame in frames],
        energies,
        gradients,
        [frame.origin for frame in frames],
        {"level": by_molecule.B3LYP.as_dict(), "chosen": about},
    )
    with atomic_path(out / f"{molecule.cid}.npz") as part, part.open("wb") as handle:
        np.savez_compressed(handle, **record)
