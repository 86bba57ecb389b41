"""Coordinates denoised: what was shaken is to be told from where it lies.

Zaidi et al. 2022 (arXiv:2206.00133) for minima; Wang et al. 2023, "Denoise pretraining on
non-equilibrium molecules", for snapshots of any kind, which this is trained on. With
forces given, Liao et al. 2024 (arXiv:2403.09549, DeNS), of whose losses this is that of the noise
alone: the others, of energies and forces, are what noise is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from force2geo.errors import UserError
from force2geo.potentials.heads import Head
from force2geo.potentials.registry import settings_of
from force2geo.settings import setting
from force2geo.train.objective import Objective, count, total
from force2geo.train.processes import mean
from force2geo.train.sources import SNAPSHOTS
from force2geo.train.statistics import statistics_of

if TYPE_CHECKING:
    from torch import Tensor

    from force2geo.potentials.backbone import Statistics
    from force2geo.potentials.batch import Batch
    from force2geo.potentials.models import Network
    from force2geo.train.snapshots import Snapshots

_JUDGED = 20  # seed of the noise that all epochs are judged by


@dataclass(frozen=True)
class DenoisingSettings:
    """How far atoms are shaken."""

    noise: float = setting("Å, standard deviation of each coordinate", 0.2, above=0)
    given_forces: bool = setting(
        "whether the network is given the forces of the structure that it is to find (DeNS)", False
    )


class Denoising(Objective):
    """The mean square of (noise predicted − noise) / σ, of all coordinates: 1 where none is told.

    The network's displacements are the way back, minus the noise.
    """

    Settings = DenoisingSettings
    source = SNAPSHOTS
    monitor = "noise_rmse"
    per_atom = frozenset({"noise", "noise_true"})
    settings: DenoisingSettings

    def heads(self, train: Any = None) -> dict[str, Head]:
        """Return displacements alone."""
        return {"displacement": Head("displacement")}

    def statistics(self, train: Snapshots, backbone: dict[str, Any]) -> Statistics | None:
        """Return the size of forces, which those that are given are told in, and what is known."""
        cutoff = getattr(settings_of(backbone), "cutoff", 0.0)
        return statistics_of(train, cutoff) if self._given else None

    def fit(self, model: Network, train: Snapshots) -> None:
        """Raise `UserError` where the network cannot be given forces."""
        if self._given and not model.backbone.takes_forces:
            name = model.config["backbone"]["name"]
            raise UserError(
                f"backbone {name}: takes no forces, which 'given_forces' is to give it; of the "
                "networks here PaiNN does, with 'forces: true'"
            )

    @property
    def _given(self) -> bool:
        return self.settings.given_forces

    def prepare(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Return the batch with noise on its positions, and the way back as displacement (N,3) Å.

        Energies and forces, which are those of other positions, are gone, but for forces that are
        given to the network.
        """
        x = batch.positions
        drawn = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        noise = self.settings.noise * drawn
        given = batch.forces if self._given else None
        return replace(
            batch, positions=x + noise, displacement=-noise, given_forces=given, energy=None,
            forces=None,
        )  # fmt: skip

    def loss(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Return `loss`."""
        error = (model(batch, training=True)["displacement"] - batch.displacement) / (
            self.settings.noise
        )
        return {"loss": mean(error.square().mean(dim=1))}

    def predict(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Return the noise predicted and the true one, (N,3) Å, the same in each epoch."""
        device = batch.positions.device
        shaken = self.prepare(batch, torch.Generator(device).manual_seed(_JUDGED))
        assert shaken.displacement is not None
        found = model(shaken)["displacement"].detach()
        return {"noise": -found, "noise_true": -shaken.displacement}

    def sums(self, model: Any, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return sums of squares over coordinates, and their number."""
        error = found["noise"] - found["noise_true"]
        return {
            "error": total(error.square()),
            "noise": total(found["noise_true"].square()),
            "coordinates": count(error.flatten()),
        }

    def metrics(self, sums: dict[str, float]) -> dict[str, float]:
        """Return `noise_rmse` and, where nothing is told, `noise_rmse_zero`, per coordinate."""
        number = sums["coordinates"]
        return {
            "noise_rmse": (sums["error"] / number) ** 0.5,
            "noise_rmse_zero": (sums["noise"] / number) ** 0.5,
        }

    def units(self, model: Any) -> dict[str, str]:
        """Return Å for both."""
        return {"noise_rmse": "Å", "noise_rmse_zero": "Å"}


OBJECTIVE = Denoising
