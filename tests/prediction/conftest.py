"""Property models, made in a moment, and a sample of QM9."""

import numpy as np
import pytest
import torch

from force2geo.potentials.checkpoint import save
from force2geo.potentials.domain import Domain, Neighbourhood
from force2geo.potentials.heads import Head
from force2geo.potentials.models import Network

BACKBONE = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
HEADS = {"gap": Head("property", "gap", "eV"), "dipole": Head("property", "dipole", "D")}


@pytest.fixture
def make(tmp_path):
    """Return what writes the checkpoint of a network that was not trained."""

    def made(name, seed=0, heads=HEADS, domain=True, elements=(1, 6, 8), errors=None, **config):
        torch.manual_seed(seed)
        network = Network(config.pop("backbone", BACKBONE), heads)
        network.config |= {"elements": list(elements), "charge_states": [[0, 1], [1, 1]]} | config
        if domain:
            known = {head.target: 1e3 for head in heads.values()} if errors is None else errors
            # All is near to these: only what a test is about is told.
            width = network.backbone.width
            near = Neighbourhood(
                torch.zeros(2, width).half(), torch.zeros(width), torch.ones(width), 1e3
            )
            network.config["domain"] = Domain((2, 100), (1, 40), known, near).plain()
        save(network, tmp_path / name, {"stage": "train", "settings": {"geometry": "dft"}})
        return tmp_path / name

    return made


class Sample:
    """783 molecules of QM9 with up to six heavy atoms and 300 with nine."""

    def __init__(self, path):
        with np.load(path) as file:
            self.sizes, self.gap = file["sizes"].astype(int), file["gap"].astype(float)
            self.numbers = file["atomic_numbers"].astype(int)
            self.positions = file["positions"] / 1000.0
            self.cids = [f"{index:09d}" for index in file["index"]]
        self.ptr = np.r_[0, np.cumsum(self.sizes)]

    def atoms(self, row):
        from ase import Atoms

        own = slice(self.ptr[row], self.ptr[row + 1])
        return Atoms(self.numbers[own], self.positions[own])


@pytest.fixture(scope="session")
def sample(repository):
    return Sample(repository / "tests/data/qm9/sample.npz")
