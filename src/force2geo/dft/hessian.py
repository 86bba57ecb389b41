"""A potential's slope and curvature: a network's by autograd, others' by differences of forces."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from force2geo.potentials.batch import Batch

if TYPE_CHECKING:
    from torch import Tensor

    from force2geo.dft.finish import Surface
    from force2geo.dft.points import Molecule
    from force2geo.potentials.baseline import Baseline
    from force2geo.potentials.model import Model
    from force2geo.potentials.models import Network
    from force2geo.relax.batched import Evaluate
    from force2geo.relax.evaluators import Evaluator

DISPLACEMENT = 0.005
"""Å to either side; a smaller one would magnify what an SCF leaves open of its forces."""


def surface_of(evaluator: Evaluator) -> Surface:
    """Return what gives slope and Hessian of a potential where a molecule is.

    A network's Hessian is autograd's, unless its backbone says that it has no second derivatives;
    of it, and of any calculator, differences are taken.
    """
    model = evaluator.model
    if model is None or not all(one.backbone.second_derivatives for one in model.networks):
        evaluate, device = evaluator.evaluate, evaluator.device
        return partial(slope_and_hessian, evaluate=evaluate, device=device)
    return partial(slope_and_hessian_of_model, model=model, evaluate=evaluator.evaluate)


def slope_and_hessian_of_model(
    molecule: Molecule, model: Model, evaluate: Evaluate
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient (n,3) eV/Å and the Hessian (3n,3n) eV/Å², symmetric, of a checkpoint's.

    `evaluate` gives the gradient. The network's part of the Hessian, of several their mean, is
    autograd's in the precision of its weights: a derivative does not magnify rounding, as
    differences do. A baseline's part is of differences; NaN where it has no forces.
    """
    slope = -forces_of(molecule, molecule.positions[None], evaluate, model.device)[0]
    parts = [network_hessian(molecule, one, model.device) for one in model.networks]
    hessian = np.mean(parts, axis=0)
    if model.baseline is not None:
        hessian = hessian + slope_and_hessian(molecule, _alone(model.baseline))[1]
    return slope, hessian


def _alone(baseline: Baseline) -> Evaluate:
    def evaluate(batch: Batch) -> tuple[Tensor, Tensor, list[str]]:
        energies, forces, reasons = baseline.start(batch).result()
        return torch.from_numpy(energies), torch.from_numpy(forces), reasons

    return evaluate


def network_hessian(
    molecule: Molecule, network: Network, device: str = "cpu", batch_atoms: int = 1024
) -> np.ndarray:
    """Return the Hessian (3n,3n) eV/Å² of a network's energy, symmetric, by autograd.

    Each row is the derivative of one force in a copy of the molecule; copies of `batch_atoms` atoms
    are in memory at once.
    """
    size = molecule.positions.size
    kind = next(network.parameters()).dtype
    here = torch.from_numpy(molecule.positions)
    rows = []
    with torch.inference_mode(False), torch.enable_grad():
        for chosen in torch.eye(size, dtype=kind, device=device).split(_at_once(size, batch_atoms)):
            batch = _copies(molecule, here.expand(len(chosen), -1, -1), device)
            positions = batch.positions.to(kind).requires_grad_(True)
            forces = network(replace(batch, positions=positions), training=True)["forces"]
            if not forces.requires_grad:  # nothing sees an atom that is alone
                return np.zeros((size, size))
            (row,) = torch.autograd.grad(forces, positions, -chosen.reshape(-1, 3))
            rows.append(row.reshape(-1, size))
    hessian = torch.cat(rows).double().cpu().numpy()
    return (hessian + hessian.T) / 2


def _at_once(size: int, batch_atoms: int) -> int:
    return max(1, batch_atoms // (size // 3))


def _copies(molecule: Molecule, places: Tensor, device: str) -> Batch:
    """Return a molecule at places (K,n,3) Å as K molecules."""
    count, atoms = len(places), len(molecule.numbers)
    elements = torch.from_numpy(np.asarray(molecule.numbers, dtype=np.int64))
    batch = Batch(
        elements.repeat(count).to(device),
        places.reshape(-1, 3).to(device),
        torch.arange(count, device=device).repeat_interleave(atoms),
        torch.arange(count + 1, device=device) * atoms,
    )
    if (molecule.charge, molecule.multiplicity) != (0, 1):
        batch.charge = torch.full((count,), molecule.charge, device=device)
        batch.multiplicity = torch.full((count,), molecule.multiplicity, device=device)
    return batch


def forces_of(
    molecule: Molecule,
    geometries: np.ndarray,
    evaluate: Evaluate,
    device: str = "cpu",
    batch_atoms: int = 4096,
) -> np.ndarray:
    """Return forces (K,n,3) eV/Å of a molecule at geometries (K,n,3) Å, `batch_atoms` at once."""
    found = []
    shape = (-1, *molecule.positions.shape)
    at_once = _at_once(molecule.positions.size, batch_atoms)
    for chosen in torch.from_numpy(geometries).split(at_once):
        forces = evaluate(_copies(molecule, chosen, device))[1]
        found.append(forces.detach().double().cpu().reshape(shape))
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
