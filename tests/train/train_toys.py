"""Networks, data and objectives whose training is worked out on paper."""

import numpy as np
import torch
from torch import nn

from force2geo.potentials.batch import Batch
from force2geo.train.objective import Objective, count, total
from force2geo.train.objectives.energy_forces import EnergyForces

SETTINGS = {
    "batch_size": 4, "seed": 3, "ema": 0.9, "epochs": 4, "gradient_clip": 10.0,
    "optimizer": {"name": "adam", "learning_rate": 0.01, "betas": [0.9, 0.999],
                  "weight_decay": 0.0},
    "schedule": {"name": "plateau", "factor": 0.5, "patience": 0},
}  # fmt: skip


class Targets:
    """Single atoms with a target each."""

    def __init__(self, values):
        self.values = torch.tensor(values, dtype=torch.float64)
        self.left_out = {}

    def __len__(self):
        return len(self.values)

    def sizes(self):
        return np.ones(len(self), dtype=int)

    def ids(self):
        return np.arange(len(self)).astype("S")

    def batch(self, indices, rng=None):
        count = len(indices)
        jitter = 0.0 if rng is None else 1e-3 * rng.normal()
        return Batch(
            torch.ones(count, dtype=torch.long), torch.full((count, 3), jitter),
            torch.arange(count), torch.arange(count + 1),
            targets={"property": self.values[torch.from_numpy(indices)]},
        )  # fmt: skip


class Number(nn.Module):
    """One number, whatever the molecule."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=torch.float64))

    def forward(self, batch, training=False):
        return {"property": self.value.expand(batch.size)}


class Square(Objective):
    """The mean square of the error; judged by its mean size."""

    monitor = "property_mae"

    def __init__(self):
        super().__init__(None)

    def heads(self, train=None):
        return {}

    def loss(self, model, batch):
        return {"loss": ((model(batch)["property"] - batch.targets["property"]) ** 2).mean()}

    def predict(self, model, batch):
        return {"off": model(batch)["property"].detach() - batch.targets["property"]}

    def sums(self, model, found):
        return {"count": count(found["off"]), "off": total(found["off"].abs())}

    def metrics(self, sums):
        return {"property_mae": sums["off"] / sums["count"]}

    def units(self, model):
        return {"property_mae": ""}


class NoisyEnergyForces(EnergyForces):
    """Positions shaken by the objective's own draws, and by the data's."""

    def prepare(self, batch, generator):
        noise = torch.randn(batch.positions.shape, generator=generator)
        batch.positions = batch.positions + 0.02 * noise
        return batch

    def loss(self, model, batch):
        parts = super().loss(model, batch)
        # As dropout does: torch's own generator.
        parts["loss"] = parts["loss"] * (1 + 0.1 * torch.rand(()))
        return parts


class Springs(nn.Module):
    """Energies k Σ|x|² + shift, forces −2k x; `energy` is the head that a potential has."""

    def __init__(self, stiffness, shift):
        super().__init__()
        self.stiffness = nn.Parameter(torch.tensor(stiffness))
        self.shift = nn.Parameter(torch.tensor(shift))

    @property
    def energy(self):
        return self

    def reference(self, batch):
        return torch.zeros(batch.size, dtype=torch.float64)

    def forward(self, batch, training=False):
        squares = (batch.positions**2).sum(dim=1)
        total = torch.zeros(batch.size).index_add(0, batch.molecule, squares)
        binding = self.stiffness * total + self.shift
        forces = -2 * self.stiffness * batch.positions
        return {"energy": binding.detach().double(), "binding": binding, "forces": forces}
