"""Molecules in, properties out: read, relaxed where asked, predicted and judged in groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from force2geo.potentials.inputs import why_not_finite
from force2geo.prediction import applicability
from force2geo.relax.structures import Lost, Structure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from force2geo.prediction.ensemble import Ensemble
    from force2geo.prediction.relaxing import Relaxer

PREDICTED, LEFT_OUT, REFUSED, FAILED = "predicted", "left out", "refused", "failed"
_GROUP = 2  # batches that are in memory at once


@dataclass
class Prediction:
    """A molecule's row: `place` (from 1) among those given, `name`, `smiles` where known.

    `values` by property in its unit, and `spreads` over the models where there are several, are
    empty where there is no answer. `applicability` is `in`, `edge`, `outside` or `unknown`, empty
    of what is no molecule, with the `reason`; `distance` from the training set, 1 being what 95 %
    of it have from the rest at most. `status` says what became of it: `predicted` or, relaxed, how
    that ended; else `left out`, `refused` or `failed` with the reason. `structure` is where it was
    predicted.
    """

    place: int
    name: str = ""
    smiles: str = ""
    values: dict[str, float] = field(default_factory=dict)
    spreads: dict[str, float] = field(default_factory=dict)
    applicability: str = ""
    reason: str = ""
    distance: float = float("nan")
    status: str = PREDICTED
    structure: Structure | None = None


def predictions(
    molecules: Iterable[Structure | Lost],
    ensemble: Ensemble,
    relaxer: Relaxer | None = None,
    batch_atoms: int = 4096,
) -> Iterator[Prediction]:
    """Give a row for each molecule, in their order; a few batches of them are in memory at once.

    What a model cannot answer for, what cannot be relaxed and what is no molecule have rows, too.
    """
    for group in _groups(molecules, _GROUP * batch_atoms):
        yield from _answered(group, ensemble, relaxer, batch_atoms)


def _groups(molecules: Iterable[Structure | Lost], atoms: int) -> Iterator[list[Structure | Lost]]:
    """Give molecules in groups of so many atoms; what is none counts as one."""
    group: list[Structure | Lost] = []
    left = atoms
    for one in molecules:
        group.append(one)
        left -= len(one.numbers) if isinstance(one, Structure) else 1
        if left <= 0:
            yield group
            group, left = [], atoms
    if group:
        yield group


def _answered(
    group: Sequence[Structure | Lost],
    ensemble: Ensemble,
    relaxer: Relaxer | None,
    batch_atoms: int,
) -> list[Prediction]:
    """Return the rows of a group."""
    rows = [_begun(one) for one in group]
    for row in rows:
        if row.structure is not None and (reason := ensemble.refusal(row.structure)):
            row.applicability, row.reason = applicability.OUTSIDE, reason
            row.status = f"{REFUSED}: {reason}"
    going = [row for row in rows if row.status == PREDICTED]
    if relaxer is not None:
        going = relaxer.relaxed(going)
    if not going:
        return rows
    structures = [row.structure for row in going if row.structure is not None]
    found = ensemble.answer(structures, batch_atoms)
    for place, (row, structure) in enumerate(zip(going, structures, strict=True)):
        own = {name: values[:, place] for name, values in found.values.items()}
        if not all(np.isfinite(values).all() for values in own.values()):
            reason = why_not_finite(Atoms(structure.numbers, structure.positions))
            row.status, row.applicability = f"{FAILED}: {reason}", applicability.OUTSIDE
            row.reason = reason
            continue
        apart = found.distances[:, place]
        row.values = {name: float(values.mean()) for name, values in own.items()}
        row.spreads = {
            name: applicability.spread_of(values) for name, values in own.items() if len(values) > 1
        }
        row.distance = applicability.far_off(apart)
        word = applicability.judged(ensemble, structure.numbers, own, apart)
        row.applicability, row.reason = applicability.worse(word, (row.applicability, row.reason))
    return rows


def _begun(one: Structure | Lost) -> Prediction:
    if isinstance(one, Lost):
        return Prediction(one.place, one.name, one.smiles, status=f"{LEFT_OUT}: {one.reason}")
    return Prediction(one.place, one.name, _smiles(one), structure=one)


def _smiles(structure: Structure) -> str:
    """Return the SMILES a molecule was made of or its file says; empty where none is known."""
    from rdkit import Chem

    if structure.smiles:
        return structure.smiles
    if not isinstance(structure.kept, Chem.Mol):
        return str(structure.properties.get("smiles", ""))
    try:
        return str(Chem.MolToSmiles(Chem.RemoveHs(structure.kept)))
    except ValueError:  # what RDKit raises where its valence rules are broken
        return ""
