"""DFT minima of a list of molecules from two starts each, to test relaxations on.

Starts are RDKit's conformer and what GFN2-xTB makes of it. Each relaxes by a potential, or by
GFN2-xTB where none is given, and goes on to DFT's minimum (`finish`). All that is done is kept in a
folder: relaxations in `*.h5`, gradients in `points`, ends in `minima`, a file a molecule and start.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.dft.finish import UNDONE, Finished, Settings
from force2geo.dft.finish_set import finish_set
from force2geo.dft.hessian import slope_and_hessian
from force2geo.dft.label import state_of
from force2geo.errors import UserError
from force2geo.files import atomic_path, read_json, write_json
from force2geo.molecules import read_molecules
from force2geo.relax import evaluators
from force2geo.relax.bonds import what_became_of_bonds
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import read_runs, write_relaxed
from force2geo.relax.resumable import relax_resumably
from force2geo.training_data.embed import embed, parse
from force2geo.training_data.minima_file import Minimum

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from force2geo.dft.finish import Compute
    from force2geo.molecules import Molecule
    from force2geo.relax.evaluators import Evaluator

STARTS = ("rdkit", "gfn2")
GFN2 = ("tblite.ase:TBLite", {"method": "GFN2-xTB", "verbosity": 0})
RELAXED = {"optimizer": "bfgs-model", "force_threshold": 0.05, "max_steps": 500}
"""How molecules relax before DFT takes over."""
_STARTED = ("converged", "step limit")


@dataclass(frozen=True)
class Search:
    """What is looked for: molecules of a CSV, DFT's `settings`, and what relaxes them first.

    `model` is the checkpoint of a potential, GFN2-xTB without one.
    """

    molecules: Path
    settings: Settings
    model: Path | None = None
    seed: int = 7

    def about(self, evaluator: Evaluator) -> dict[str, Any]:
        """Return all that the minima depend on but the molecules."""
        settings = self.settings
        return {
            "level": settings.level.as_dict(),
            "force_threshold": settings.force_threshold,
            "max_gradients": settings.max_gradients,
            "relaxed": RELAXED,
            "potential": evaluator.origin,
            "seed": self.seed,
        }


def find_minima(
    search: Search, folder: Path, compute: Compute | None = None
) -> Iterator[tuple[str, str, str]]:
    """Yield CID, start and status of each minimum as it is found; those of before are not again.

    One that the machine could not compute is no file, and another call tries it. `compute` is as of
    `finish`. `UserError` where the folder holds another search's minima.
    """
    molecules = read_molecules(search.molecules)
    conformers = [_conformer(one, search.seed) for one in molecules]
    evaluator = _evaluator(search, conformers)
    _same_search(folder, search.about(evaluator), [one.cid for one in molecules])
    tight = evaluators.from_import_path(*GFN2, conformers)
    found = relaxed(folder / "gfn2.h5", molecules, conformers, tight)
    begins = {"rdkit": conformers, "gfn2": [_again(run) for run in found]}
    for start in STARTS:
        path = folder / f"relaxed_{start}.h5"
        runs = relaxed(path, molecules, begins[start], evaluator)
        targets = [minimum_path(folder, one.cid, start) for one in molecules]
        left = [place for place, target in enumerate(targets) if not target.exists()]
        for molecule, target in zip(molecules, targets, strict=True):
            if target.exists():
                yield molecule.cid, start, "found before"
        surface = partial(slope_and_hessian, evaluate=evaluator.evaluate, device=evaluator.device)
        ends = finish_set(
            [molecules[place].cid for place in left],
            [runs[place] for place in left],
            surface,
            search.settings,
            folder / "points",
            evaluator.origin,
            compute,
        )
        for index, end in ends:
            place = left[index]
            if end.status != UNDONE:
                _minimum(molecules[place], start, runs[place], end).write(targets[place])
            yield molecules[place].cid, start, end.status


def minimum_path(folder: Path, cid: str, start: str) -> Path:
    """Return where a molecule's minimum from a start lies."""
    return folder / "minima" / f"{cid}.{start}.npz"


def relaxed(
    path: Path, molecules: Sequence[Molecule], begins: Sequence[Relaxation], evaluator: Evaluator
) -> list[Relaxation]:
    """Return molecules relaxed from where they begin, from the file where that is there.

    One that begins nowhere is refused.
    """
    if not path.exists():
        for place, run in enumerate(begins):
            run.place = place
        refuse = evaluator.refuse
        evaluator = replace(evaluator, refuse=lambda run: _no_begin(run) or refuse(run))
        journal = relax_resumably(path, begins, evaluator, RELAXED, whole_paths=False)
        with atomic_path(path) as part:
            write_relaxed(part, [one.cid for one in molecules], journal.results())
        journal.close()
    return list(read_runs(path))


def _no_begin(run: Relaxation) -> str:
    return "" if np.isfinite(run.positions).all() else "it has no geometry to begin with"


def _conformer(molecule: Molecule, seed: int) -> Relaxation:
    """Return a molecule at RDKit's conformer, at no place where there is none."""
    from rdkit import Chem

    draw = np.random.default_rng([seed, int(molecule.cid)])
    text = molecule.smiles or molecule.inchi
    made, known = embed(text, seed=int(draw.integers(2**31))), parse(text)
    if known is None:
        raise UserError(f"{molecule.cid}: RDKit cannot read '{text}'; leave it out of the list")
    atoms = Chem.AddHs(known) if made is None else made
    numbers = np.array([atom.GetAtomicNum() for atom in atoms.GetAtoms()])
    charge, multiplicity = state_of(atoms)
    nowhere = np.full((len(numbers), 3), np.nan)
    positions = nowhere if made is None else made.GetConformer().GetPositions()
    return Relaxation(numbers, positions, charge=charge, multiplicity=multiplicity)


def _again(run: Relaxation) -> Relaxation:
    """Return a relaxation that begins where another ended, nowhere if that came to nothing."""
    end = run.frames[-1] if run.status in _STARTED else np.full_like(run.positions, np.nan)
    return Relaxation(run.atomic_numbers, end, charge=run.charge, multiplicity=run.multiplicity)


def _evaluator(search: Search, begins: Sequence[Relaxation]) -> Evaluator:
    if search.model is not None:
        return evaluators.from_checkpoint(search.model)
    return evaluators.from_import_path(*GFN2, begins)


def _minimum(molecule: Molecule, start: str, run: Relaxation, end: Finished) -> Minimum:
    """Return what is written; one that became another molecule on the way says so."""
    first, status = run.frames[0], end.status
    if np.isfinite(end.positions).all():
        status = what_became_of_bonds(run.atomic_numbers, first, end.positions) or status
    about = molecule.cid, molecule.smiles, molecule.inchi, run.charge, run.multiplicity, start
    places = run.atomic_numbers, first, run.frames[-1], end.positions
    numbers = end.energy, end.max_force, end.gradients, end.lowest_curvature
    return Minimum(*about, *places, *numbers, status, end.reason, end.seconds)


def _same_search(folder: Path, about: dict[str, Any], cids: list[str]) -> None:
    """Keep what a folder's minima depend on; `UserError` where it holds others."""
    path, own = folder / "made_of.json", {"about": about, "cids": cids}
    if path.exists() and read_json(path) != own:
        raise UserError(
            f"{folder}: holds minima of other molecules or settings; give another --out"
        )
    write_json(path, own)
