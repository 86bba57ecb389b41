"""SE(3)-Transformer: the published network's numbers, its settings; physics is in the contract."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("e3nn")

from force2geo.errors import UserError
from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import collate
from force2geo.potentials.graph import Graph
from force2geo.potentials.models import Potential
from force2geo.potentials.registry import build_backbone

REFERENCE = Path(__file__).parents[2] / "data/backbones/se3_transformer.npz"
SMALL = {"layers": 2, "features": 8, "cutoff": 4.5, "heads": 2, "radial_features": 8}


def test_size_of_the_paper():
    """7 layers, 32 features, degrees up to 3, 8 heads and half the features for keys."""
    settings = {"layers": 7, "features": 32, "cutoff": 4.5, "degree": 3}
    network = build_backbone({"name": "se3_transformer", **settings})
    assert network.width == 128 and network.vector_width == 32
    assert network.blocks[6].queries[3].shape == (32, 16)
    # A kernel from degree 2 to 3 has five harmonics for each pair of channels.
    assert network.blocks[6].values.radial["2to3"][6].out_features == 5 * 32 * 16


@pytest.mark.parametrize("degree", [1, 2])
def test_numbers_of_the_published_network(degree):
    """Those of its QM9 variant without bonds, read out at each atom, with 8 for 32 radial ones."""
    stored = np.load(REFERENCE)
    ends = stored["atoms"].cumsum()[:-1]
    molecules = (np.split(stored[key], ends) for key in ("numbers", "positions"))
    batch = collate(*molecules, torch.float64)
    settings = {**SMALL, "features": 4, "degree": degree, "softening": 1e-12}
    network = build_backbone({"name": "se3_transformer", **settings}).double()
    start = f"{degree}/weights/"
    weights = {key[len(start) :]: stored[key] for key in stored if key.startswith(start)}
    state = network.state_dict()
    state["embedding.weight"][:17] = torch.from_numpy(weights.pop("embedding.weight"))
    state |= {key: torch.from_numpy(value) for key, value in weights.items()}
    network.load_state_dict(state)
    batch.positions.requires_grad_(True)
    found = network(batch, Graph.of(batch, 4.5))
    (slope,) = torch.autograd.grad(found.atomic_energy.sum(), batch.positions)
    names = {"energy": found.atomic_energy, "forces": -slope, "scalars": found.scalars}
    for name, value in names.items():
        expected = torch.from_numpy(stored[f"{degree}/{name}"])
        torch.testing.assert_close(value.detach(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("softening", "calm"), [(0.1, True), (1e-12, False)])
def test_forces_where_vectors_nearly_vanish_by_symmetry(softening, calm):
    """Methane with its carbon a little off the centre; as published, 30 eV/Å pull at it."""
    torch.manual_seed(0)
    settings = {"name": "se3_transformer", **SMALL, "softening": softening}
    model = Potential(settings, Statistics()).double()
    corners = 0.63 * np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    off = [np.array([[shift, 0, 0]]) for shift in (1e-6, 1e-4, 1e-3, 1e-2)]
    positions = [np.concatenate([one, corners]) for one in off]
    forces = model(collate([np.array([6, 1, 1, 1, 1])] * 4, positions, torch.float64))["forces"]
    assert (float(forces.abs().max()) < 0.1) == calm


def test_energy_is_in_units_of_the_training_set_s_forces(ethanol):
    energies = []
    for rms in (1.0, 2.0):
        torch.manual_seed(0)
        model = Potential({"name": "se3_transformer", **SMALL}, Statistics(force_rms=rms))
        energies.append(model(collate([ethanol[0]], [ethanol[1]]))["binding"])
    torch.testing.assert_close(energies[1], 2 * energies[0])


def test_features_that_do_not_divide_are_refused():
    with pytest.raises(UserError, match="'features' is no multiple of 4"):
        build_backbone({"name": "se3_transformer", **SMALL, "features": 6})
