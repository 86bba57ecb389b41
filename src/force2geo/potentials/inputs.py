"""What users give to a model, as ASE atoms, and why a model cannot answer for some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.errors import UserError
from force2geo.molecular_state import molecular_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ase import Atoms

    from force2geo.potentials.model import Model

ACCEPTED = "ASE atoms, RDKit molecules or SMILES, one or any iterable of them"
_SEED = 7  # of the conformer of a SMILES
_COINCIDENT = 1e-3  # Å


def all_as_atoms(given: Any) -> list[tuple[Atoms, bool]]:
    """Return molecules as ASE atoms, each with whether its geometry was made here.

    Taken are ASE atoms, RDKit molecules with a conformer (the first counts) and SMILES, one or an
    iterable of them. A SMILES becomes an ETKDG + MMFF94 conformer. `UserError` names the place of
    a molecule that cannot be taken.
    """
    if _is_one(given):
        given = [given]
    try:
        items = iter(given)
    except TypeError:
        raise UserError(f"a model predicts for {ACCEPTED}, not for {_kind(given)}") from None
    found = []
    for index, item in enumerate(items):
        try:
            found.append((as_atoms(item), isinstance(item, str)))
        except UserError as error:
            raise UserError(f"molecule {index}: {error}") from None
    return found


def as_atoms(item: Any) -> Atoms:
    """Return a molecule as ASE atoms, with `charge` and `multiplicity` in `info` where known."""
    if isinstance(item, str):
        return _of_smiles(item)
    if _is_rdkit(item):
        return _of_rdkit(item)
    if not _is_one(item):
        raise UserError(f"a model predicts for {ACCEPTED}, not for {_kind(item)}")
    return item


def _is_one(item: Any) -> bool:
    return isinstance(item, str) or _is_rdkit(item) or hasattr(item, "get_chemical_formula")


def _is_rdkit(item: Any) -> bool:
    return hasattr(item, "GetConformers") and hasattr(item, "GetAtoms")


def _kind(item: Any) -> str:
    return f"{type(item).__module__}.{type(item).__qualname__}".removeprefix("builtins.")


def _of_smiles(smiles: str) -> Atoms:
    from rdkit import Chem

    from force2geo.training_data.embed import embed

    if "." in smiles:
        raise UserError(f"'{smiles}' is of several molecules: give a structure with coordinates")
    made = embed(smiles, _SEED) if smiles.strip() else None
    if made is None:
        known = smiles.strip() and Chem.MolFromSmiles(smiles) is not None
        why = "no conformer of it could be made" if known else "not a SMILES"
        raise UserError(f"'{smiles}': {why}")
    return _of_rdkit(made)


def _of_rdkit(molecule: Any) -> Atoms:
    from ase import Atoms
    from rdkit import Chem

    molecule.UpdatePropertyCache(strict=False)
    if any(atom.GetTotalNumHs() for atom in molecule.GetAtoms()):
        raise UserError("hydrogens are missing: Chem.AddHs(molecule, addCoords=True) adds them")
    if not molecule.GetNumConformers():
        raise UserError("it has no coordinates: embed it, or give its SMILES")
    conformer = molecule.GetConformer()
    if not conformer.Is3D():
        raise UserError("a drawing in two dimensions: embed it, or give its SMILES")
    numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
    info = {"charge": Chem.GetFormalCharge(molecule)}
    # RDKit counts electrons on atoms as in Hund's rule; those of a pair it does not tell.
    if unpaired := sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms()):
        info["multiplicity"] = unpaired + 1
    return Atoms(numbers, np.array(conformer.GetPositions()), info=info)


def check(model: Model, atoms: Atoms) -> tuple[int, int]:
    """Return charge and multiplicity of atoms; `UserError` for what the model cannot answer."""
    if not len(atoms):
        raise UserError("it has no atoms")
    if atoms.pbc.any():
        raise UserError("periodic cells are not known to this model: set pbc to False")
    if not np.isfinite(atoms.positions).all():
        raise UserError("positions that are not finite numbers")
    charge, multiplicity = molecular_state(atoms)
    reason = model.refusal(atoms.numbers, charge, multiplicity)
    if reason:
        raise UserError(reason)
    return charge, multiplicity


def check_all(model: Model, molecules: Iterable[Atoms]) -> list[tuple[int, int]]:
    """Return charge and multiplicity of each; `UserError` names the place of a bad one."""
    states = []
    for index, atoms in enumerate(molecules):
        try:
            states.append(check(model, atoms))
        except UserError as error:
            raise UserError(f"molecule {index}: {error}") from None
    return states


def why_not_finite(atoms: Atoms) -> str:
    """Return why a prediction is no number."""
    distances = atoms.get_all_distances() + np.diag(np.full(len(atoms), np.inf))
    i, j = np.unravel_index(int(distances.argmin()), distances.shape)
    if len(atoms) > 1 and distances[i, j] < _COINCIDENT:
        return f"atoms {i} and {j} stand at one point"
    return "the prediction is not a finite number"
