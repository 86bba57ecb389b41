"""What DFT has said of a molecule's geometries, as the arrays of one `.npz`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def labelled(
    identity: tuple[str, str, str],
    numbers: np.ndarray,
    state: tuple[int, int],
    positions: Sequence[np.ndarray],
    energies: Sequence[float] | np.ndarray,
    gradients: Sequence[np.ndarray] | np.ndarray,
    origins: Sequence[str],
    info: dict[str, Any],
) -> dict[str, Any]:
    """Return the arrays that `interchange.protocol` reads of K geometries, of one SCF each.

    `identity` is CID, SMILES and InChI, `numbers` (n,), `state` charge in e and multiplicity;
    `positions` (K,n,3) Å, `energies` (K,) Hartree, `gradients` (K,n,3) Hartree/bohr, `origins` (K,)
    what each geometry is. K may be 0. `info` are plain values: the `level`, and what else is told.
    """
    cid, smiles, inchi = identity
    charge, multiplicity = state
    shape = (-1, len(numbers), 3)
    return {
        "cid": np.array(cid),
        "z": numbers.astype(np.uint8),
        "smiles": np.array(smiles),
        "inchi": np.array(inchi),
        "charge": np.array(charge),
        "multiplicity": np.array(multiplicity),
        "extra_pos": np.array(positions).reshape(shape),
        "extra_energy": np.array(energies),
        "extra_grad": np.array(gradients).reshape(shape),
        "extra_origin": np.array(origins, dtype=str),
        "info": np.array(json.dumps(info)),
    }
