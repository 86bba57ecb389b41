"""The workflow's sets of molecules: where their relaxations start, and pieces put together."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import h5py
import numpy as np

from force2geo.errors import UserError
from force2geo.files import atomic_path, reading
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import read_runs, write_relaxed
from force2geo.relax.resumable import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from force2geo.training_data.conformers import Conformers


def starts_of_set(conformers: Conformers, cids: Sequence[str], geometry: str) -> list[Relaxation]:
    """Return the relaxations of molecules from one of their geometries, to begin.

    A molecule without that geometry has places that are no numbers; see `no_start`.
    """
    positions = conformers.positions(geometry)
    return [
        Relaxation(
            conformers.atomic_numbers[conformers.atoms(row)],
            positions[conformers.atoms(row)].astype(float),
            place,
            charge=int(conformers.charge[row]),
            multiplicity=int(conformers.multiplicity[row]),
        )
        for place, row in enumerate(conformers.index(cids))
    ]


def no_start(run: Relaxation, geometry: str, reasons: Sequence[str]) -> str:
    """Return why a relaxation cannot begin, nothing if it can.

    `reasons` (M,) say why each has no such geometry, nothing where that is not known.
    """
    if np.isfinite(run.positions).all():
        return ""
    why = reasons[run.place]
    return f"it has no {geometry} geometry" + (f": {why}" if why else "")


def gather(pieces: Sequence[Path], cids: Sequence[str], output: Path) -> Counter[str]:
    """Write pieces of a relaxation as one file and return how many molecules ended how.

    Few molecules are in memory at a time. `UserError` where the pieces do not hold the molecules
    (M,) in their order, and where all of them failed.
    """
    begun = 0
    for piece in pieces:
        with reading(piece, "a piece of a relaxation, HDF5"), h5py.File(piece, "r") as file:
            own = [cid.decode() for cid in file["cid"][:]]
        if own != list(cids[begun : begun + len(own)]):
            raise UserError(
                f"{piece}: it holds other molecules than the set; remove it, and it is made again"
            )
        begun += len(own)
    if begun != len(cids):
        raise UserError(f"{pieces[-1]}: the pieces end after {begun} of {len(cids)} molecules")
    ended, reasons = Counter[str](), Counter[str]()

    def runs() -> Iterator[Relaxation]:
        for piece in pieces:
            for run in read_runs(piece):
                ended[run.status] += 1
                if run.status in FAILED:
                    reasons[run.reason] += 1
                yield run

    with atomic_path(output) as partial:
        write_relaxed(partial, cids, runs())
        if ended and not set(ended) - set(FAILED):
            ((reason, count),) = reasons.most_common(1)
            raise UserError(
                f"{output}: none of {len(cids)} molecules was relaxed; {count} failed: {reason}"
            )
    return ended
