"""What gives energies and forces to a relaxation: a checkpoint or any ASE calculator."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from force2geo.errors import UserError

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

    from force2geo.potentials.batch import Batch
    from force2geo.potentials.checkpoint import Model
    from force2geo.relax.batched import Evaluate


def of_model(model: Model, dtype: str = "float64") -> Evaluate:
    """Return a checkpoint's potential, whole molecules' energies also where it gives means.

    Forces below the threshold are differences of large numbers: float64 resolves them.
    """
    if model.network.kind != "potential":
        raise UserError("relax: the checkpoint is a property model, give a potential")
    network = model.in_dtype(dtype)
    kind = next(network.parameters()).dtype

    def evaluate(batch: Batch) -> tuple[Tensor, Tensor]:
        batch.positions = batch.positions.to(kind)
        output = network(batch)
        return output["energy"], output["forces"]

    return evaluate


def of_calculator(calculator: Calculator) -> Evaluate:
    """Return an ASE calculator, called for one molecule after the other; its errors are NaN."""

    def evaluate(batch: Batch) -> tuple[Tensor, Tensor]:
        counts = batch.atoms_per_molecule.tolist()
        energies = np.full(len(counts), np.nan)
        forces = []
        pieces = zip(
            batch.atomic_numbers.cpu().split(counts),
            batch.positions.cpu().split(counts),
            strict=True,
        )
        for index, (numbers, positions) in enumerate(pieces):
            atoms = Atoms(numbers.numpy(), positions.numpy())
            own = np.full(positions.shape, np.nan)
            try:
                atoms.calc = calculator
                own = atoms.get_forces()
                energies[index] = atoms.get_potential_energy()
            except Exception:  # of any program, in any way: this molecule's end, no other's
                calculator.reset()
            forces.append(own)
        return torch.from_numpy(energies), torch.from_numpy(np.concatenate(forces))

    return evaluate


def import_calculator(name: str, options: dict[str, Any]) -> Calculator:
    """Return the ASE calculator at an import path, `tblite.ase:TBLite` say, made with options."""
    module, _, attribute = name.partition(":")
    try:
        made = getattr(import_module(module), attribute)(**options)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"calculator '{name}': {error}") from error
    return made
