"""Untrained potentials on disk, which disagree."""

import torch

from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential

PAINN = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 3.0}


def potentials(folder, count, **config):
    """Return so many checkpoints of potentials, float64, with values of `config`."""
    paths = []
    for seed in range(count):
        torch.manual_seed(seed)
        network = Potential(PAINN)
        network.config |= config
        with torch.no_grad():  # forces of some eV/Å, for molecules to move
            for weight in network.energy.parameters():
                weight *= 5
        paths.append(folder / f"member{seed}.pt")
        save(network.double(), paths[-1], {"stage": "train"})
    return paths
