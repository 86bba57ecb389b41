"""What users ask: molecules in any form, models by file or name, relaxed first or not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from force2geo.errors import UserError
from force2geo.prediction import shipped
from force2geo.prediction.ensemble import Ensemble
from force2geo.prediction.predict import Prediction, predictions
from force2geo.prediction.relaxing import Relaxer
from force2geo.relax.structures import (
    Lost,
    Structure,
    each_structure,
    in_places,
    is_structure_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from force2geo.relax.smiles import Row

_SEED = 7  # of the conformer of a SMILES


@dataclass(frozen=True)
class Question:
    """Models that answer together, what relaxes molecules before, atoms in memory at once."""

    ensemble: Ensemble
    relaxer: Relaxer | None = None
    batch_atoms: int = 4096

    @classmethod
    def of(
        cls,
        models: Sequence[str | Path] = (),
        properties: Sequence[str] = (),
        relax: Sequence[str | Path] | str | Path | bool | None = None,
        fmax: float = 0.05,
        steps: int = 500,
        device: str | None = None,
        batch_atoms: int = 4096,
    ) -> Question:
        """Return it with all models read; `UserError` where something cannot be meant.

        `relax` is the checkpoint of a potential, or several that relax together, or the name of one
        in the box, whose default True is.
        """
        if not (math.isfinite(fmax) and fmax > 0):
            raise UserError(f"fmax {fmax:g}: give a force above 0 eV/Å")
        if steps < 0:
            raise UserError(f"steps {steps}: give 0 or more")
        ensemble = Ensemble.read(shipped.chosen(models, properties), properties, device)
        if relax is None or relax is False:
            return cls(ensemble, None, batch_atoms)
        from force2geo.relax.evaluators import from_checkpoint

        named = [relax] if isinstance(relax, str | Path) else [] if relax is True else relax
        paths, unsure_above = shipped.potential(named)
        evaluator = from_checkpoint(paths, device=device, unsure_above=unsure_above)
        return cls(ensemble, Relaxer(evaluator, fmax, steps, batch_atoms=batch_atoms), batch_atoms)


def ask(molecules: Any, question: Question) -> Iterator[Prediction]:
    """Give a row for each of `molecules`, in their order (see `predictions`).

    They are a file's name, a SMILES, ASE atoms or an RDKit molecule, or an iterable of the last
    three.
    """
    found = _given(molecules)
    return predictions(found, question.ensemble, question.relaxer, question.batch_atoms)


def _given(molecules: Any) -> Iterator[Structure | Lost]:
    if isinstance(molecules, Path) or (isinstance(molecules, str) and is_file(molecules)):
        path = Path(molecules)
        if not path.is_file():  # now, before a table has begun
            raise UserError(f"{path}: no such file")
        return each_structure(path, _SEED, torch.get_num_threads())
    if isinstance(molecules, str):
        from force2geo.relax.smiles import structure_of

        _check_smiles(molecules)
        return in_places(structure_of((one, one, {}), _SEED) for one in [molecules])
    if _is_molecule(molecules):
        molecules = [molecules]
    return in_places(_structures(molecules))


def is_file(text: str) -> bool:
    """Say whether a text names a file of molecules and is no SMILES."""
    return is_structure_file(text) or Path(text).is_file()


def _check_smiles(text: str) -> None:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        if Chem.MolFromSmiles(text) is None:
            raise UserError(f"'{text}': neither a file of structures nor a SMILES")


def _is_molecule(one: Any) -> bool:
    return hasattr(one, "GetConformers") or hasattr(one, "get_chemical_formula")


def _structures(molecules: Iterable[Any]) -> Iterator[Structure | Lost]:
    """Give molecules one by one as structures; what is wrong with one is its own end."""
    from force2geo.relax.smiles import embedded

    for texts, run in groupby(molecules, lambda one: isinstance(one, str)):
        if texts:
            rows: Iterator[Row] = ((one, one, {}) for one in run)
            yield from embedded(rows, _SEED, torch.get_num_threads())
        else:
            yield from _with_geometries(run)


def _with_geometries(molecules: Iterable[Any]) -> Iterator[Structure | Lost]:
    from force2geo.molecular_state import molecular_state
    from force2geo.potentials.inputs import as_atoms

    for one in molecules:
        try:
            atoms = as_atoms(one)
            state = molecular_state(atoms)
        except UserError as error:
            yield Lost(str(error))
            continue
        if atoms.pbc.any():
            yield Lost("it has a periodic cell; set pbc to False")
            continue
        kept = one if hasattr(one, "GetConformers") else atoms
        yield Structure(0, atoms.numbers, atoms.positions.copy(), kept, *state)
