"""Energies and forces of snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from force2geo.potentials.heads import Head
from force2geo.potentials.registry import settings_of
from force2geo.settings import setting
from force2geo.train.losses import of_numbers, of_vectors
from force2geo.train.objective import Objective, count, total
from force2geo.train.reference_energies import fit_references
from force2geo.train.sources import SNAPSHOTS
from force2geo.train.statistics import statistics_of

if TYPE_CHECKING:
    from force2geo.potentials.backbone import Statistics
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.models import Network
    from force2geo.train.snapshots import Snapshots


@dataclass(frozen=True)
class EnergyForcesSettings:
    """How far off energies and forces are (`train/losses.py`), and what energies are told from."""

    energy: Literal["mae", "mse", "rmse", "huber"] = setting("loss of energies", "mae")
    forces: Literal["mae", "mse", "rmse", "huber"] = setting("loss of atoms' forces", "rmse")
    energy_weight: float = setting("weight of the energies' loss", 1.0, least=0)
    force_weight: float = setting("weight of the forces' loss", 1.0, least=0)
    energy_per_atom: bool = setting("whether an energy's error is divided by its atoms", True)
    force_scale: float | None = setting(
        "eV/Å; an atom counts 1 / (this + its force), alike without", None, above=0
    )
    huber_delta: float = setting("eV, eV/atom, eV/Å where huber turns straight", 0.01, above=0)
    direct_forces: bool = setting("whether forces are predicted and not the energy's slope", False)
    reference: Literal["per_element", "mean"] = setting(
        "what the elements' energies are fitted as", "per_element"
    )


class EnergyForces(Objective):
    """Energies and forces, each with a loss by name.

    `mae` of energies and `rmse` of forces are Force2Geo's, eqs 4 to 6. With `energy_per_atom` the
    energy's error is divided by the number of atoms, as the paper's appendix C does to keep the
    size of a molecule out of the loss. With a `force_scale` s (eV/Å) an atom counts 1 / (s + ‖f‖),
    so that the small forces near a minimum count as much as the large ones of perturbed
    geometries.
    """

    Settings = EnergyForcesSettings
    source = SNAPSHOTS
    monitor = "force_rmse"
    per_atom = frozenset({"forces", "forces_true", "forces_baseline"})
    settings: EnergyForcesSettings

    @classmethod
    def values(cls, record: dict[str, Any]) -> dict[str, Any]:
        """Return the settings: all of a record's `loss`, and `reference`."""
        return dict(record.get("loss", {})) | {k: record[k] for k in ("reference",) if k in record}

    def defaults(self) -> dict[str, Any]:
        """Return nothing: a record says all in `loss`."""
        return {}

    def heads(self, train: Any = None) -> dict[str, Head]:
        """Return an energy and forces."""
        forces = Head("forces", direct=self.settings.direct_forces)
        return {"energy": Head("energy"), "forces": forces}

    def statistics(self, train: Snapshots, backbone: dict[str, Any]) -> Statistics:
        """Return the training set's elements, neighbours and size of forces."""
        # One that knows no distances has no cutoff.
        return statistics_of(train, getattr(settings_of(backbone), "cutoff", 0.0))

    def fit(self, model: Network, train: Snapshots) -> None:
        """Set the energies of the free elements to those of the training set."""
        references = fit_references(train, self.settings.reference)
        model.energy.references.copy_(torch.from_numpy(references))

    def loss(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and its terms `energy` and `force`."""
        assert batch.energy is not None and batch.forces is not None
        own = self.settings
        output = model(batch, training=True)
        target = (batch.energy - model.energy.reference(batch)).to(output["binding"].dtype)
        error = output["binding"] - target
        if own.energy_per_atom:
            error = error / batch.atoms_per_molecule
        energy = of_numbers(own.energy, error, own.huber_delta)
        size = batch.forces.norm(dim=1)
        scale = own.force_scale
        weights = torch.ones_like(size) if scale is None else 1 / (scale + size)
        difference = output["forces"] - batch.forces
        force = of_vectors(own.forces, difference, weights, own.huber_delta)
        loss = own.energy_weight * energy + own.force_weight * force
        return {"loss": loss, "energy": energy.detach(), "force": force.detach()}

    def predict(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Return predicted and true energies (B,) eV and forces (N,3) eV/Å, and `atoms` (B,).

        Where a baseline is corrected they are of the whole, which `forces_baseline` is part of.
        """
        assert batch.energy is not None and batch.forces is not None
        output = model(batch)
        energy, forces = output["energy"], output["forces"].detach()
        found = {
            "energy": energy,
            "energy_true": batch.energy,
            "forces": forces,
            "forces_true": batch.forces,
            "atoms": batch.atoms_per_molecule,
        }
        below, pulls = batch.baseline_energy, batch.baseline_forces
        if below is None or pulls is None:
            return found
        whole = {"energy": below, "energy_true": below, "forces": pulls, "forces_true": pulls}
        found |= {key: found[key] + value for key, value in whole.items()}
        return found | {"forces_baseline": pulls}

    def sums(self, model: Any, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return sums of errors and of their squares, and what they are sums over."""
        error = found["energy"] - found["energy_true"]
        difference = (found["forces"] - found["forces_true"]).double()
        return {
            "snapshots": count(error),
            "atoms": count(difference),
            "energy": total(error.abs() / found["atoms"]),
            "force": total(difference.abs()),
            "square": total(difference**2),
            "square_true": total(found["forces_true"].double() ** 2),
            **(
                {"square_baseline": total((found["forces_baseline"] - found["forces_true"]) ** 2)}
                if "forces_baseline" in found
                else {}
            ),
        }

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Return `energy_mae` in meV/atom, `force_mae`, `force_rmse` and others in meV/Å.

        Those of forces are over the components; `force_rmse_zero` is that of predicting zero,
        `force_rmse_baseline` that of the baseline alone, where there is one, and
        `force_rmse_vector` is over atoms' vectors (Force2Geo, eq. 6), √3 times as large.
        """
        atoms = sums["atoms"]
        found = {
            "energy_mae": 1e3 * sums["energy"] / sums["snapshots"],
            "force_mae": 1e3 * sums["force"] / (3 * atoms),
            "force_rmse": 1e3 * (sums["square"] / (3 * atoms)) ** 0.5,
            "force_rmse_vector": 1e3 * (sums["square"] / atoms) ** 0.5,
            "force_rmse_zero": 1e3 * (sums["square_true"] / (3 * atoms)) ** 0.5,
        }
        if "square_baseline" in sums:
            found["force_rmse_baseline"] = 1e3 * (sums["square_baseline"] / (3 * atoms)) ** 0.5
        return found

    def units(self, model: Network | None) -> dict[str, str]:
        """Return the metrics' units; without a model, of those that every potential has."""
        names = ["force_mae", "force_rmse", "force_rmse_vector", "force_rmse_zero"]
        if model is not None and model.config.get("baseline"):
            names.append("force_rmse_baseline")
        return {"energy_mae": "meV/atom"} | dict.fromkeys(names, "meV/Å")


OBJECTIVE = EnergyForces
