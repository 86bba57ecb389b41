"""One row per trajectory: what selection and statistics need to know without opening records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.elements import SYMBOLS
from force2geo.trajectory import PATH_STAGES, POINT_SETS
from force2geo.units import HARTREE_TO_EV

if TYPE_CHECKING:
    from force2geo.trajectory import Trajectory

_IDENTITY = ("cid", "shard", "smiles", "inchi", "inchikey", "scaffold", "formula", "elements")
_SIZES = ("atoms", "heavy_atoms")
_STAGE = tuple(f"{stage}_steps" for stage in PATH_STAGES + POINT_SETS)
_DFT = ("dft_converged", "energy_first", "energy_last", "max_gradient_last", "homo", "lumo", "gap")
COLUMNS = _IDENTITY + _SIZES + _STAGE + _DFT


def _identifiers(smiles: str) -> tuple[str, str]:
    from rdkit import Chem, RDLogger
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

    RDLogger.DisableLog("rdApp.*")
    molecule = Chem.MolFromSmiles(smiles) if smiles else None
    if molecule is None:
        return "", ""
    return Chem.MolToInchiKey(molecule), MurckoScaffoldSmiles(mol=molecule)


def _formula(numbers: np.ndarray) -> str:
    counts = {SYMBOLS[z]: int((numbers == z).sum()) for z in np.unique(numbers)}
    first = [s for s in ("C", "H") if s in counts]
    order = first + sorted(set(counts) - set(first))
    return "".join(f"{s}{counts[s] if counts[s] > 1 else ''}" for s in order)


def index_row(trajectory: Trajectory, shard: str) -> dict[str, Any]:
    """Return the row of a trajectory: energies in Hartree, `gap` in eV, gradient Hartree/bohr.

    `energy_*`, `max_gradient_last`, `homo`, `lumo` and `gap` are of the last DFT stage there is.
    """
    numbers = np.asarray(trajectory.atomic_numbers)
    key, scaffold = _identifiers(trajectory.smiles)
    row: dict[str, Any] = {
        "cid": trajectory.cid,
        "shard": shard,
        "smiles": trajectory.smiles,
        "inchi": trajectory.inchi,
        "inchikey": key,
        "scaffold": scaffold,
        "formula": _formula(numbers),
        "elements": " ".join(SYMBOLS[z] for z in np.unique(numbers)),
        "atoms": len(numbers),
        "heavy_atoms": int((numbers > 1).sum()),
    }
    for name in PATH_STAGES + POINT_SETS:
        row[f"{name}_steps"] = len(trajectory.stages.get(name, ()))
    last = trajectory.stages.get("dft_2nd", trajectory.stages.get("dft_1st"))
    if last is not None:
        row |= {
            "dft_converged": int(last.converged),
            "energy_first": last.energies[0],
            "energy_last": last.energies[-1],
            "max_gradient_last": float(np.linalg.norm(last.gradients[-1], axis=1).max()),
            "homo": last.homo,
            "lumo": last.lumo,
        }
        if last.homo is not None and last.lumo is not None:
            row["gap"] = (last.lumo - last.homo) * HARTREE_TO_EV
    return row
