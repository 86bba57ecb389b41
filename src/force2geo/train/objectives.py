"""What is predicted and how far off it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor

from force2geo.train.losses import check_loss, of_numbers, of_vectors
from force2geo.train.processes import mean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from force2geo.potentials.batch import Batch
    from force2geo.potentials.models import Potential, PropertyModel


class Objective(Protocol):
    """A loss to minimise and the metrics to judge by."""

    monitor: str
    per_atom: frozenset[str]  # of what is predicted, the rest is per molecule

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch to learn from; `generator` decides anything random about it."""
        ...

    def loss(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its parts, each a scalar, over the batch of all processes."""
        ...

    def predict(self, model: Any, batches: Iterable[Batch]) -> dict[str, np.ndarray]:
        """Return predictions and targets of a data set, in its order."""
        ...

    def metrics(self, predictions: dict[str, np.ndarray]) -> dict[str, float]:
        """Return metrics of `predict`'s result; `monitor` names the one to minimise."""
        ...


def _stack(parts: dict[str, list[Tensor]]) -> dict[str, np.ndarray]:
    return {key: torch.cat(values).cpu().numpy() for key, values in parts.items()}


class EnergyForces:
    """Energies and forces, each with a loss by name (`train/losses.py`).

    `mae` of energies and `rmse` of forces are Force2Geo's, eqs 4 to 6. With `energy_per_atom` the
    energy's error is divided by the number of atoms, as the paper's appendix C does to keep the
    size of a molecule out of the loss. With a `force_scale` s (eV/Å) an atom counts 1 / (s + ‖f‖),
    so that the small forces near a minimum count as much as the large ones of perturbed
    geometries. `huber_delta` (eV, eV/atom, eV/Å) is where `huber` turns from square to straight.
    """

    monitor = "force_rmse"
    per_atom = frozenset({"forces", "forces_true"})

    def __init__(
        self,
        energy: str,
        forces: str,
        energy_weight: float,
        force_weight: float,
        energy_per_atom: bool,
        force_scale: float | None = None,
        huber_delta: float = 0.01,
    ) -> None:
        self.energy, self.forces = check_loss(energy), check_loss(forces)
        self.energy_weight = energy_weight
        self.force_weight = force_weight
        self.energy_per_atom = energy_per_atom
        self.force_scale = force_scale
        self.huber_delta = huber_delta

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch as it is."""
        return batch

    def loss(self, model: Potential, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its terms `energy` and `force`."""
        assert batch.energy is not None and batch.forces is not None
        output = model(batch, training=True)
        target = (batch.energy - model.head.reference(batch)).to(output["binding"].dtype)
        error = output["binding"] - target
        if self.energy_per_atom:
            error = error / batch.atoms_per_molecule
        energy = of_numbers(self.energy, error, self.huber_delta)
        size = batch.forces.norm(dim=1)
        scale = self.force_scale
        weights = torch.ones_like(size) if scale is None else 1 / (scale + size)
        difference = output["forces"] - batch.forces
        force = of_vectors(self.forces, difference, weights, self.huber_delta)
        loss = self.energy_weight * energy + self.force_weight * force
        return {"loss": loss, "energy": energy.detach(), "force": force.detach()}

    def predict(self, model: Potential, batches: Iterable[Batch]) -> dict[str, np.ndarray]:
        """Return predicted and true energies (S,) eV and forces (N,3) eV/Å, and `atoms` (S,)."""
        parts: dict[str, list[Tensor]] = {
            name: [] for name in ("energy", "energy_true", "forces", "forces_true", "atoms")
        }
        for batch in batches:
            assert batch.energy is not None and batch.forces is not None
            output = model(batch)
            parts["energy"].append(output["energy"])
            parts["energy_true"].append(batch.energy)
            parts["forces"].append(output["forces"].detach())
            parts["forces_true"].append(batch.forces)
            parts["atoms"].append(batch.atoms_per_molecule)
        return _stack(parts)

    def metrics(self, predictions: dict[str, np.ndarray]) -> dict[str, float]:
        """Return `energy_mae` in meV/atom, `force_mae`, `force_rmse` and others in meV/Å.

        Those of forces are over the components; `force_rmse_zero` is that of predicting zero, and
        `force_rmse_vector` is over atoms' vectors (Force2Geo, eq. 6), √3 times as large.
        """
        error = predictions["energy"] - predictions["energy_true"]
        difference = predictions["forces"] - predictions["forces_true"]
        return {
            "energy_mae": 1e3 * float(np.mean(np.abs(error) / predictions["atoms"])),
            "force_mae": 1e3 * float(np.mean(np.abs(difference))),
            "force_rmse": 1e3 * float(np.sqrt(np.mean(difference**2))),
            "force_rmse_vector": 1e3 * float(np.sqrt(np.mean(np.sum(difference**2, axis=1)))),
            "force_rmse_zero": 1e3 * float(np.sqrt(np.mean(predictions["forces_true"] ** 2))),
        }


class PropertyGeometry:
    """Property MAE plus the alignment of displacements (Force2Geo, eqs 8 and 9)."""

    monitor = "property_mae"
    per_atom = frozenset[str]()

    def __init__(self, geometry_weight: float) -> None:
        self.geometry_weight = geometry_weight

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch as it is."""
        return batch

    def loss(self, model: PropertyModel, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`, `property` (eV) and `geometry` (1 − cosine, mean over moved atoms)."""
        assert batch.property_value is not None
        output = model(batch, training=True)
        property_loss = mean((output["property"] - batch.property_value).abs())
        parts = {"loss": property_loss, "property": property_loss.detach()}
        if self.geometry_weight and batch.displacement is not None:
            # An atom already in place has no direction to predict.
            moved = batch.displacement.norm(dim=1) > 1e-6
            cosine = torch.cosine_similarity(
                output["displacement"][moved], batch.displacement[moved], dim=1
            )
            geometry = mean(1 - cosine)
            parts["loss"] = property_loss + self.geometry_weight * geometry
            parts["geometry"] = geometry.detach()
        return parts

    def predict(self, model: PropertyModel, batches: Iterable[Batch]) -> dict[str, np.ndarray]:
        """Return predicted and true properties, (M,) each."""
        parts: dict[str, list[Tensor]] = {"property": [], "property_true": []}
        for batch in batches:
            assert batch.property_value is not None
            parts["property"].append(model(batch)["property"])
            parts["property_true"].append(batch.property_value)
        return _stack(parts)

    def metrics(self, predictions: dict[str, np.ndarray]) -> dict[str, float]:
        """Return `property_mae` in the property's unit."""
        error = predictions["property"] - predictions["property_true"]
        return {"property_mae": float(np.mean(np.abs(error)))}
