"""A relaxation of a set that goes on to DFT's minimum, as a relaxation again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from force2geo.dft.finish import FAILED, LIMIT, MINIMUM, SADDLE, STUCK, UNDONE, Finished, finish
from force2geo.dft.finished_file import why_not
from force2geo.dft.points import Molecule
from force2geo.relax.bonds import what_became_of_bonds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from force2geo.dft.finish import Compute, Settings, Surface
    from force2geo.relax.relaxation import Relaxation

COLUMNS = (
    "cid", "status", "reason", "gradients", "max_force", "lowest_curvature", "energy",
)  # fmt: skip
_AS_RELAXATION = {
    MINIMUM: "converged", SADDLE: "converged", LIMIT: "step limit", STUCK: "step limit",
    FAILED: "exploded",
}  # fmt: skip
NOT_BEGUN = "not begun"
"""Of a relaxation that is no start for DFT: no gradient was asked for."""


def finish_set(
    cids: Sequence[str],
    runs: Sequence[Relaxation],
    surface: Surface,
    settings: Settings,
    folder: Path,
    potential: dict[str, Any],
    compute: Compute | None = None,
) -> Iterator[tuple[int, Finished]]:
    """Yield place and end of each relaxation; one that is no start for DFT stays what it is.

    Arguments as of `finish`, whose points are in `folder`.
    """
    begun = []
    for place, run in enumerate(runs):
        if why_not(run):
            yield place, Finished(NOT_BEGUN, why_not(run), run.frames[-1])
        else:
            begun.append(place)
    molecules = [
        Molecule(
            runs[place].atomic_numbers,
            runs[place].frames[-1],
            runs[place].charge,
            runs[place].multiplicity,
            cid=cids[place],
        )
        for place in begun
    ]
    for index, end in finish(molecules, surface, settings, folder, potential, compute):
        yield begun[index], end


def as_relaxation(run: Relaxation, end: Finished) -> Relaxation:
    """Return a relaxation that ends where DFT's steps did: its start, then that place.

    `steps` are DFT's gradients, `energies` and forces there are DFT's, in eV and eV/Å, its forces
    on each atom not kept; its seconds are added. One that became another molecule on the way says
    so, one whose gradients the machine could not compute keeps the end it had.
    """
    if end.status in (NOT_BEGUN, UNDONE):
        return run
    run.keep_ends()
    run.frames[1:] = [end.positions]
    run.forces[1:] = [np.full_like(end.positions, np.nan)]
    run.energies[1:], run.max_forces[1:] = [end.energy], [end.max_force]
    run.status, run.reason, run.steps = _AS_RELAXATION[end.status], end.reason, end.gradients
    run.stationary = end.status in (MINIMUM, SADDLE)
    run.force_spread = float("nan")  # it was that of another place
    run.seconds += end.seconds
    changed = what_became_of_bonds(run.atomic_numbers, run.frames[0], end.positions, run.bonds)
    if changed and run.status != "exploded":
        run.status = changed
    run.converged = run.status == "converged"
    return run


def row(cid: str, end: Finished) -> dict[str, Any]:
    """Return a molecule's line of the table beside the relaxation."""
    values = (
        cid, end.status, end.reason, end.gradients, end.max_force, end.lowest_curvature, end.energy
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))
