"""The protocol on many molecules, some at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from force2geo.dft.generate import Report, Settings, generate
from force2geo.dft.limited import run_limited
from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from force2geo.molecules import Molecule


def _generate(job: tuple[Molecule, Path, Settings]) -> Report | UserError:
    try:
        return generate(*job)
    except UserError as error:
        return error


def generate_all(
    molecules: Sequence[Molecule], folder: Path, settings: Settings, workers: int
) -> Iterator[Report]:
    """Yield the report of each molecule as it ends.

    A molecule that brings its process down ends alone, with the error in its report; its logs up
    to then are kept. `UserError` when a program is missing.
    """
    if workers <= 1 or len(molecules) <= 1:
        for molecule in molecules:
            yield generate(molecule, folder, settings)
        return
    jobs = [(molecule, folder, settings) for molecule in molecules]
    for place, found, error in run_limited(_generate, jobs, workers):
        if isinstance(found, UserError):
            raise found
        molecule = molecules[place]
        yield found or Report(molecule.cid, molecule.smiles, molecule.inchi, error)
