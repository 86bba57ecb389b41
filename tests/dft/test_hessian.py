"""Hessians: a network's by autograd, beside differences of its forces; a baseline's beside both."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.optimize import BFGS

import force2geo
from force2geo.calling.named import record_of
from force2geo.dft import hessian
from force2geo.dft.hessian import network_hessian, slope_and_hessian_of_model, surface_of
from force2geo.dft.points import Molecule
from force2geo.potentials.batch import collate
from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential
from force2geo.relax.evaluators import from_checkpoint
from toy_baselines import WELLS

SIZE = {"layers": 2, "features": 8, "basis_size": 24, "cutoff": 3.5}


def network(name="painn", seed=1, **settings):
    torch.manual_seed(seed)
    made = Potential({"name": name, **SIZE, **settings}).double().eval()
    with torch.no_grad():
        for own, weights in made.named_parameters():
            if ".charge." in own:
                weights.normal_()
    return made


def differences(own, numbers, x, charge=0, multiplicity=1, step=1e-3):
    """Fourth-order differences of forces, one coordinate at a time: −dF/dx, not made symmetric."""

    def forces(place):
        batch = collate([numbers], [place], torch.float64)
        batch.charge, batch.multiplicity = torch.tensor([charge]), torch.tensor([multiplicity])
        return own(batch)["forces"].numpy().ravel()

    rows = []
    for move in step * np.eye(x.size).reshape(x.size, -1, 3):
        near = forces(x + move) - forces(x - move)
        far = forces(x + 2 * move) - forces(x - 2 * move)
        rows.append(-(8 * near - far) / (12 * step))
    return np.array(rows)


def shaken(ethanol):
    numbers, x = ethanol
    return numbers, x + 0.05 * np.random.default_rng(3).standard_normal(x.shape)


@pytest.mark.parametrize("name", ["painn", "schnet"])
def test_a_network_s_hessian_is_the_differences_of_its_forces(name, ethanol):
    numbers, x = shaken(ethanol)
    own = network(name)
    found = network_hessian(Molecule(numbers, x), own)
    expected = differences(own, numbers, x)
    scale = abs(expected).max()
    assert scale > 0.05
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * scale)
    # However many copies are in memory at once.
    np.testing.assert_allclose(
        network_hessian(Molecule(numbers, x), own, batch_atoms=20), found, rtol=0, atol=1e-12
    )
    narrow = network_hessian(Molecule(numbers, x), own.float())
    np.testing.assert_allclose(narrow, expected, rtol=0, atol=1e-4 * scale)


def test_a_cation_has_its_own_hessian(ethanol):
    numbers, x = shaken(ethanol)
    own = network(charge=True)
    found = network_hessian(Molecule(numbers, x, 1, 2), own)
    expected = differences(own, numbers, x, 1, 2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * abs(expected).max())
    assert abs(found - network_hessian(Molecule(numbers, x), own)).max() > 1e-2


def test_shifts_cost_nothing_and_turns_what_the_slope_says(ethanol):
    """g(R x) = R g(x), so that H (e×x) = e×g: nothing where there is no slope."""
    numbers, x = shaken(ethanol)
    own = network()
    slope = -own(collate([numbers], [x], torch.float64))["forces"].numpy()
    found = network_hessian(Molecule(numbers, x), own)
    for axis in np.eye(3):
        assert abs(found @ np.tile(axis, len(x))).max() < 1e-10
        turned = found @ np.cross(axis, x).ravel()
        np.testing.assert_allclose(turned, np.cross(axis, slope).ravel(), rtol=0, atol=1e-10)


def test_a_lone_atom_resists_nothing():
    found = network_hessian(Molecule(np.array([8]), np.zeros((1, 3))), network())
    assert found.shape == (3, 3) and not found.any()


def on_baseline(path, baseline):
    made = network().float()
    made.config["baseline"] = record_of(baseline)
    save(made, path, {})
    return path


def test_a_baseline_s_part_is_added(tmp_path, ethanol):
    numbers, x = shaken(ethanol)
    evaluator = from_checkpoint(on_baseline(tmp_path / "m.pt", WELLS))
    slope, found = surface_of(evaluator)(Molecule(numbers, x))
    own = force2geo.load(tmp_path / "m.pt").in_dtype("float64")
    alone = differences(own, numbers, x)
    # A well of 1.5 |x|² has the slope 3 x and the curvature 3.
    forces = own(collate([numbers], [x], torch.float64))["forces"].numpy()
    np.testing.assert_allclose(slope, 3 * x - forces, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found - 3 * np.eye(27), alone, atol=1e-4 * abs(alone).max())


def test_several_potentials_have_their_mean_s(tmp_path, ethanol):
    molecule = Molecule(*shaken(ethanol))
    members = [network(seed=1), network(seed=2)]
    for place, one in enumerate(members):
        save(one, tmp_path / f"{place}.pt", {})
    evaluator = from_checkpoint([tmp_path / "0.pt", tmp_path / "1.pt"])
    slope, found = surface_of(evaluator)(molecule)
    expected = sum(differences(one, molecule.numbers, molecule.positions) for one in members) / 2
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * abs(expected).max())
    batch = collate([molecule.numbers], [molecule.positions], torch.float64)
    forces = sum(one(batch)["forces"].numpy() for one in members) / 2
    np.testing.assert_allclose(slope, -forces, rtol=0, atol=1e-10)


def test_six_modes_are_free_at_a_minimum(tmp_path):
    evaluator = from_checkpoint(on_baseline(tmp_path / "m.pt", "gfn2-xtb"))
    water = Atoms("OH2", [[0, 0, 0], [0.98, 0, 0], [-0.2, 0.95, 0.1]])
    water.calc = force2geo.load(tmp_path / "m.pt").calculator("float64")
    assert BFGS(water, logfile=None).run(fmax=1e-4, steps=200)
    slope, found = surface_of(evaluator)(Molecule(water.numbers, water.positions))
    assert abs(slope).max() < 2e-4
    values = np.linalg.eigvalsh(found)
    assert abs(values[:6]).max() < 0.02 and values[6:].min() > 5


def test_a_network_without_second_derivatives_has_differences(tmp_path, ethanol, monkeypatch):
    path = tmp_path / "m.pt"
    save(network(), path, {})
    evaluator = from_checkpoint(path)
    molecule = Molecule(*shaken(ethanol))
    _, expected = surface_of(evaluator)(molecule)
    monkeypatch.setattr(type(evaluator.model.network.backbone), "second_derivatives", False)
    monkeypatch.setattr(hessian, "network_hessian", None)
    _, found = surface_of(evaluator)(molecule)
    np.testing.assert_allclose(found, expected, atol=0.05 * abs(expected).max())
    assert (found != expected).any()


def test_where_the_baseline_fails_there_is_no_hessian(tmp_path):
    path = on_baseline(tmp_path / "m.pt", WELLS)
    evaluator = from_checkpoint(path)
    bromine = Molecule(np.array([35, 1]), np.array([[0.0, 0, 0], [0, 0, 1.4]]))
    _, found = slope_and_hessian_of_model(bromine, evaluator.model, evaluator.evaluate)
    assert np.isnan(found).all()
