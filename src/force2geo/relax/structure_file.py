"""Molecules of a user's file on their way: where they start, and how they are written."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from force2geo import __version__
from force2geo.files import atomic_path
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import write_relaxed
from force2geo.relax.structures import write_structures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from force2geo.relax.journal import Journal
    from force2geo.relax.structures import Structure

# What a structure written says of its relaxation, and by which it is known to be ours.
NOTES, OURS = ("converged", "n_steps", "relaxed_energy", "max_force", "status"), "relaxed_by"
SPREAD = "force_spread"
"""And of what several potentials relaxed together: by how much they differ there, eV/Å."""
FINISHED = ("dft_energy", "dft_max_force", "dft_gradients", "finish_status", "lowest_curvature")
"""And of its finishing by DFT, where that was asked for; eV, eV/Å and eV/Å²."""


def starts_of_structures(structures: Sequence[Structure]) -> list[Relaxation]:
    """Return the relaxations of structures, to begin."""
    return [
        Relaxation(
            one.numbers,
            one.positions,
            place,
            charge=one.charge,
            multiplicity=one.multiplicity,
            fixed=one.fixed,
            bonds=one.bonds,
        )
        for place, one in enumerate(structures)
    ]


def write_relaxed_structures(
    output: Path,
    structures: Sequence[Structure],
    journal: Journal,
    source: Path,
    finished: Sequence[dict[str, Any]] = (),
) -> None:
    """Write structures where their relaxations ended, with notes of how.

    The `source` is named where a property of its own goes by another name. Structures that have
    been `finished` stay where they are, and what is told of it stands with the notes.
    """
    notes: list[dict[str, Any]] = []
    aside: set[str] = set()
    for structure, done in zip(structures, journal.results(), strict=True):
        if not finished:
            structure.positions = done.frames[-1]
        structure.charge, structure.multiplicity = done.charge, done.multiplicity
        spread = {} if math.isnan(done.force_spread) else {SPREAD: done.force_spread}
        told = (*NOTES, *spread)
        if finished or OURS in structure.properties:
            told = (*NOTES, SPREAD, *FINISHED)
        aside |= set(structure.set_aside(told, OURS))
        status = f"{done.status}: {done.reason}" if done.reason else done.status
        values = done.converged, done.steps, done.energies[-1], done.max_forces[-1], status
        own = dict(zip(NOTES, values, strict=True)) | spread
        notes.append(own | {OURS: f"force2geo {__version__}"})
    if finished:
        notes = [own | more for own, more in zip(notes, finished, strict=True)]
    for name in sorted(aside):
        print(f"{source}: its own '{name}' is kept as 'input_{name}'", file=sys.stderr)
    with atomic_path(output) as partial:
        write_structures(partial, output.suffix, structures, notes)


def write_paths(path: Path, structures: Sequence[Structure], journal: Journal) -> None:
    """Write every step of every structure; in place of a CID stands its place in the file."""
    names = [structure.name for structure in structures]
    with atomic_path(path) as partial:
        places = (f"{structure.place:09d}" for structure in structures)
        write_relaxed(partial, places, journal.results(), names)
