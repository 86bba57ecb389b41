"""A potential's slope and curvature, by differences of its forces, many places at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from force2geo.potentials.batch import Batch

if TYPE_CHECKING:
    from force2geo.dft.points import Molecule
    from force2geo.relax.batched import Evaluate

DISPLACEMENT = 0.005
"""Å to either side; a smaller one would magnify what an SCF leaves open of its forces."""


def forces_of(
    molecule: Molecule,
    geometries: np.ndarray,
    evaluate: Evaluate,
    device: str = "cpu",
    batch_atoms: int = 4096,
) -> np.ndarray:
    """Return forces (K,n,3) eV/Å of a molecule at geometries (K,n,3) Å, `batch_atoms` at once."""
    atoms = len(molecule.numbers)
    elements = torch.from_numpy(np.asarray(molecule.numbers, dtype=np.int64))
    found = []
    for chosen in torch.from_numpy(geometries).split(max(1, batch_atoms // atoms)):
        count = len(chosen)
        batch = Batch(
            elements.repeat(count).to(device),
            chosen.reshape(-1, 3).to(device),
            torch.arange(count, device=device).repeat_interleave(atoms),
            torch.arange(count + 1, device=device) * atoms,
        )
        if (molecule.charge, molecule.multiplicity) != (0, 1):
            batch.charge = torch.full((count,), molecule.charge, device=device)
            batch.multiplicity = torch.full((count,), molecule.multiplicity, device=device)
        found.append(evaluate(batch)[1].detach().double().cpu().reshape(count, atoms, 3))
    return torch.cat(found).numpy()


def slope_and_hessian(
    molecule: Molecule, evaluate: Evaluate, device: str = "cpu", batch_atoms: int = 4096
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient (n,3) eV/Å and the Hessian (3n,3n) eV/Å², symmetric, of a potential.

    The Hessian is made of central differences of forces; NaN where there are none.
    """
    size = molecule.positions.size
    moves = DISPLACEMENT * np.eye(size).reshape(size, -1, 3)
    places = np.concatenate([molecule.positions[None] + moves, molecule.positions[None] - moves])
    places = np.concatenate([molecule.positions[None], places])
    forces = forces_of(molecule, places, evaluate, device, batch_atoms).reshape(-1, size)
    hessian = (forces[1 + size :] - forces[1 : 1 + size]) / (2 * DISPLACEMENT)
    return -forces[0].reshape(-1, 3), (hessian + hessian.T) / 2
