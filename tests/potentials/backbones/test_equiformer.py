"""Equiformer: the published network's numbers, its settings; physics is in the contract."""

from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("e3nn")

from scipy.spatial.transform import Rotation

from force2geo.errors import UserError
from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import collate
from force2geo.potentials.graph import Graph
from force2geo.potentials.models import Potential
from force2geo.potentials.registry import build_backbone, find

REFERENCE = Path(__file__).parents[2] / "data/backbones/equiformer.npz"
SMALL = {
    "layers": 2,
    "features": 16,
    "basis_size": 16,
    "cutoff": 4.5,
    "heads": 2,
    "radial_features": 16,
    "output_features": 32,
}


def test_size_of_table_8():
    settings, batch_size = find("equiformer").about.table8
    assert settings == {"layers": 4, "features": 128, "basis_size": 128, "cutoff": 4.5}
    assert batch_size == 32
    network = build_backbone({"name": "equiformer", **settings})
    assert sum(parameter.numel() for parameter in network.parameters()) == 2_388_035
    assert network.blocks[0].attention.from_sender.weights["0"].shape == (128, 128)
    assert network.blocks[0].attention.from_sender.weights["1"].shape == (64, 64)


@pytest.mark.parametrize("degree", [1, 2])
def test_numbers_of_the_published_network(degree):
    """Those of its OC20 variant with tags left out, auxiliary head for forces and L_max 1 or 2."""
    stored = np.load(REFERENCE)
    ends = stored["atoms"].cumsum()[:-1]
    molecules = (np.split(stored[key], ends) for key in ("numbers", "positions"))
    batch = collate(*molecules, torch.float64)
    settings = {**SMALL, "features": 8, "basis_size": 12, "radial_features": 8}
    settings |= {"output_features": 16, "degree": degree, "name": "equiformer"}
    network = build_backbone(settings, Statistics(mean_neighbours=23.395238876342773)).double()
    start = f"{degree}/weights/"
    weights = {key[len(start) :]: stored[key] for key in stored if key.startswith(start)}
    network.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
    found = network.eval()(batch, Graph.of(batch, 4.5))
    names = {"energy": found.atomic_energy, "forces": found.forces, "scalars": found.scalars}
    for name, value in names.items():
        expected = torch.from_numpy(stored[f"{degree}/{name}"])
        torch.testing.assert_close(value.detach(), expected, rtol=5e-6, atol=5e-6)


def network(molecule, **settings):
    torch.manual_seed(0)
    model = Potential({"name": "equiformer", **SMALL, **settings}, Statistics(force_rms=2.0))
    return model.double().eval(), collate([molecule[0]], [molecule[1]], torch.float64)


def test_energy_and_forces_are_in_units_of_the_training_set_s(ethanol):
    model, batch = network(ethanol)
    double = model(batch)
    model.backbone.scale = 1.0
    single = model(batch)
    for name in ("binding", "forces"):
        torch.testing.assert_close(double[name], 2 * single[name])


def test_features_of_higher_degree_turn_along(ethanol):
    model, batch = network(ethanol, degree=3, features=32)
    before = model(batch)
    rotation = torch.from_numpy(Rotation.random(random_state=4).as_matrix())
    batch.positions = batch.positions @ rotation
    after = model(batch)
    torch.testing.assert_close(after["energy"], before["energy"], rtol=0, atol=1e-8)
    torch.testing.assert_close(after["forces"], before["forces"] @ rotation, rtol=0, atol=1e-8)


def test_forces_as_the_energy_s_slope(ethanol):
    model, batch = network(ethanol, forces="gradient", degree=2)
    model.train()
    output = model(batch, training=True)
    step = 1e-4 * torch.eye(27, dtype=torch.float64)[14].reshape(9, 3)
    at = batch.positions
    up, down = (
        model(collate([ethanol[0]], [at + move], torch.float64))["binding"]
        for move in (step, -step)
    )
    assert float(output["forces"].detach()[4, 2]) == pytest.approx(
        -float((up - down).detach()) / 2e-4, abs=1e-6
    )
    (output["binding"].sum() + output["forces"].square().sum()).backward()
    unused = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert unused and unused == {
        name for name, _ in model.named_parameters() if name.startswith(tuple(model.backbone.spare))
    }


@pytest.mark.parametrize("kind", ["attention_dropout", "feature_dropout", "stochastic_depth"])
def test_dropout_is_for_training_and_drawn_from_the_seed(kind, ethanol):
    model, batch = network(ethanol, **{kind: 0.5})
    plain, _ = network(ethanol)

    def seeded(seed, mode):
        torch.manual_seed(seed)
        return model.train(mode)(batch)["forces"]

    assert torch.equal(seeded(1, False), plain(batch)["forces"])
    assert torch.equal(seeded(1, True), seeded(1, True))
    others = [seeded(seed, True) for seed in range(8)]
    assert len({float(one.abs().sum()) for one in others}) > 1
    if kind == "feature_dropout":  # whole vectors are dropped, so that what remains still turns
        rotation = torch.from_numpy(Rotation.random(random_state=4).as_matrix())
        batch.positions = batch.positions @ rotation
        torch.testing.assert_close(seeded(3, True), others[3] @ rotation, rtol=0, atol=1e-8)


def test_stochastic_depth_leaves_out_whole_molecules(ethanol):
    torch.manual_seed(0)
    network = build_backbone({"name": "equiformer", **SMALL, "stochastic_depth": 0.5}).train()
    batch = collate([ethanol[0]] * 6, [ethanol[1]] * 6)
    block = network.blocks[0]
    ones = [torch.ones(54, 1, 16), torch.ones(54, 3, 8)]
    kept = block._branch(ones, batch)
    for one in kept:
        whole = one.reshape(6, -1)
        assert torch.equal(whole, whole[:, :1].expand_as(whole))
    assert set(kept[0].unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize(("key", "value"), [("features", 18), ("output_features", 33)])
def test_sizes_that_do_not_divide_are_refused(key, value):
    with pytest.raises(UserError, match=f"'{key}' is no multiple"):
        build_backbone({"name": "equiformer", **SMALL, key: value})
