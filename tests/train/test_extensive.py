"""Properties that are sums over atoms: what elements make of them, and what is left to learn."""

import json

import numpy as np
import pytest
import torch
from train_toys import SETTINGS

from force2geo.cli import main
from force2geo.potentials import checkpoint
from force2geo.potentials.batch import collate
from force2geo.potentials.heads import ExtensiveHead, PropertyHead
from force2geo.potentials.models import Network
from force2geo.train.molecules import Molecules
from force2geo.train.objectives.property import PropertyGeometry
from force2geo.train.runs import take_over
from force2geo.training_data import registry
from force2geo.training_data.conformers import (
    Conformers,
    Target,
    read_conformers,
    write_conformers,
)

BACKBONE = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
ATOMS = {1: -13.6, 6: -1030.0, 8: -2043.0}  # eV
KINDS = ([8, 1, 1], [6, 1, 1, 1, 1], [8, 6, 1, 1], [6, 6, 1, 1, 1, 1], [8, 6, 8])


def molecules(rest):
    """Molecules whose `whole` is their elements' values plus `rest`, one for each."""
    rng = np.random.default_rng(0)
    numbers = [np.array(KINDS[k % len(KINDS)]) for k in range(len(rest))]
    places = [1.5 * rng.normal(size=(len(one), 3)) for one in numbers]
    whole = np.array([sum(ATOMS[z] for z in one) for one in numbers]) + rest
    targets = {"whole": whole, "gap": np.arange(float(len(rest)))}
    units = {"whole": "eV", "gap": "eV"}
    return Molecules.of(
        numbers, targets, places, places, units=units, extensive=frozenset({"whole"})
    )


def fitted(rest, *target):
    """A model whose constants are those of a training set."""
    data, objective = (
        molecules(rest),
        PropertyGeometry.of(target=[target] if isinstance(target, str) else target),
    )
    torch.manual_seed(0)
    model = Network(BACKBONE, objective.heads(data))
    objective.fit(model, data)
    return model, objective, data


def molecules_of(data):
    return np.split(data.atomic_numbers.numpy(), data.ptr[1:-1].numpy())


def test_what_grows_with_a_molecule_is_a_sum_and_what_does_not_a_mean():
    """The output of two molecules far apart as one: added, and averaged."""
    model, _, data = fitted(np.random.default_rng(0).normal(size=20), "whole", "gap")
    assert isinstance(model.property_head("whole"), ExtensiveHead)
    assert isinstance(model.property_head("gap"), PropertyHead)
    numbers, places = data.atomic_numbers[:3].numpy(), data.fixed[:3].numpy()
    one = model(collate([numbers], [places]))
    both = np.concatenate([places, places + 100.0])
    two = model(collate([np.tile(numbers, 2)], [both]))
    assert (
        float((one["whole"] - model.property_head("whole").references[numbers].sum()).abs()) > 1e-3
    )
    torch.testing.assert_close(two["whole"], 2 * one["whole"], rtol=0, atol=1e-5)
    torch.testing.assert_close(two["gap"], one["gap"], rtol=1e-5, atol=1e-5)


def test_elements_values_are_found_and_the_rest_is_what_the_network_has_to_say():
    """Exact in float64 beside float32 weights: the network's part is 1e-6 of the whole."""
    rest = np.random.default_rng(1).normal(size=50)
    model, _, data = fitted(rest, "whole")
    head = model.property_head()
    assert set(head.references.nonzero()[:, 0].tolist()) == set(ATOMS)
    counts = np.array([[(one == z).sum() for z in ATOMS] for one in molecules_of(data)], float)
    assert data.elements() == list(ATOMS) and data.compositions().tolist() == counts.tolist()
    found = torch.from_numpy(counts) @ head.references[list(ATOMS)]
    left = (data.targets["whole"] - found).numpy()
    # Least squares: what is left has no share of any element's count, and no larger spread.
    assert np.abs(counts.T @ left).max() < 1e-6 and left.std() <= rest.std()
    assert float(head.deviation) == pytest.approx(left.std(), rel=1e-6)
    assert float(head.atoms) == pytest.approx(np.diff(data.ptr).mean())
    with torch.no_grad():
        for weight in head.atomic[-1].parameters():
            weight.zero_()
    output = model.float()(data.batch(np.arange(50)))["property"]
    assert output.dtype == torch.float64
    torch.testing.assert_close(output.detach(), found, rtol=1e-12, atol=0)


def test_the_loss_is_the_mean_error_in_the_target_s_unit():
    model, objective, data = fitted(np.random.default_rng(2).normal(size=30), "whole")
    batch = data.batch(np.arange(30))
    loss = objective.loss(model, batch)["loss"]
    off = model(batch)["property"] - data.targets["whole"]
    assert float(loss) == pytest.approx(float(off.detach().abs().mean()), rel=1e-6)
    loss.backward()
    assert model.property_head().atomic[0].weight.grad.abs().sum() > 0


def test_trained_by_command_it_is_read_again_as_it_was(tmp_path):
    """Learnt from a file that says what is extensive; its test errors are those of its model."""
    rng, size = np.random.default_rng(3), 24
    positions = 1.5 * rng.normal(size=(3 * size, 3))
    whole = -2070.0 + rng.normal(size=size)
    path = tmp_path / "c.h5"
    cids = [f"{k:03d}" for k in range(size)]
    write_conformers(path, Conformers(
        cids, 3 * np.arange(size + 1), np.tile([8, 1, 1], size),
        {"u0": Target(whole, "eV", True), "gap": Target(np.arange(float(size)), "eV")},
        {"dft": positions, "rdkit": positions}, np.zeros(size, int), np.ones(size, int),
        {"random": {"train": cids[:12], "val": cids[12:18], "test": cids[18:]}},
    ))  # fmt: skip
    kept = read_conformers(path).targets
    assert {name: one.extensive for name, one in kept.items()} == {"u0": True, "gap": False}
    record = SETTINGS | {
        "objective": "property", "target": "u0", "split": "random", "geometry": "dft",
        "start": None, "mixed": False, "epochs": 2, "backbone": BACKBONE,
    }  # fmt: skip

    def train(name, *more, **changed):
        settings, out = tmp_path / f"{name}.json", tmp_path / name / "model.pt"
        settings.write_text(json.dumps(record | changed))
        out.parent.mkdir()
        told = ["train", "--settings", str(settings), "--data", str(path), "--out", str(out)]
        assert main([*told, *more]) == 0
        return out

    out = train("first")
    metrics = json.loads(out.with_name("metrics.json").read_text())
    assert metrics["test"]["property_mae"] < 20 and metrics["units"]["property_mae"] == "eV"
    model = checkpoint.load(out)
    batch = collate(np.tile([8, 1, 1], (6, 1)), positions.reshape(-1, 3, 3)[18:])
    again = model.network(batch)["property"].detach().numpy()
    assert np.abs(again - whole[18:]).mean() == pytest.approx(metrics["test"]["property_mae"])
    content = torch.load(out, weights_only=True)["statistics"]["targets"]["property"]
    # Of water alone O and H cannot be told apart; together they are its mean.
    references = content["references"]
    assert references[8] + 2 * references[1] == pytest.approx(whole[:12].mean(), rel=1e-9)
    # Another training that starts from it has its head; one for the gap does not.
    still = train("still", "--start", str(out), epochs=0, mixed=True, start="first")
    assert torch.equal(
        checkpoint.load(still).network.heads["property"].references,
        model.network.heads["property"].references,
    )


def test_data_sets_name_what_is_extensive():
    """What of two molecules far apart is the sum of both, and what is not."""
    qm9 = registry.find("qm9")
    assert set(qm9.units) - set(qm9.extensive) == {"dipole", "homo", "lumo", "gap"}
    for name in registry.names():
        found = registry.find(name)
        assert set(found.extensive) <= set(found.units), name
        energies = {target for target in found.units if target == "energy"}
        assert energies <= set(found.extensive), name


def test_a_start_that_learnt_it_as_a_mean_gives_its_backbone_alone():
    """As checkpoints of before have it: another head of the same target."""
    model, _, _ = fitted(np.random.default_rng(4).normal(size=20), "whole")
    before = Network(BACKBONE, PropertyGeometry.of(target=["whole"]).heads())
    head = {key: value.clone() for key, value in model.property_head().state_dict().items()}
    take_over(model, before)
    for name, value in model.property_head().state_dict().items():
        assert torch.equal(value, head[name]), name
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, before.backbone.state_dict()[name]), name
