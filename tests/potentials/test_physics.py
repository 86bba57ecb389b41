"""Symmetries, forces, smoothness and bad input, in float64."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from force2geo.potentials.batch import collate
from force2geo.potentials.fast import atom_steps, pair_sums
from force2geo.potentials.models import Potential, PropertyModel

CUTOFF = 4.5


@pytest.fixture(params=["painn", "schnet"])
def potential(request):
    torch.manual_seed(0)
    settings = {"name": request.param, "layers": 2, "features": 16, "basis_size": 16}
    model = Potential(settings | {"cutoff": CUTOFF}).double()
    model.energy.references.uniform_(-100, -1)
    return model


def evaluate(model, *molecules):
    numbers, positions = zip(*molecules, strict=True)
    return model(collate(numbers, positions, torch.float64))


def test_energy_is_invariant_and_forces_turn_along(potential, ethanol):
    numbers, positions = ethanol
    before = evaluate(potential, ethanol)
    for sign in (1, -1):
        rotation = sign * Rotation.random(random_state=4).as_matrix()
        after = evaluate(potential, (numbers, positions @ rotation + [3.0, -2.0, 5.0]))
        torch.testing.assert_close(after["energy"], before["energy"], rtol=0, atol=1e-10)
        turned = before["forces"] @ torch.from_numpy(rotation)
        torch.testing.assert_close(after["forces"], turned, rtol=0, atol=1e-10)


def test_order_of_atoms_and_company_do_not_matter(potential, ethanol):
    numbers, positions = ethanol
    order = np.random.default_rng(1).permutation(len(numbers))
    alone = evaluate(potential, ethanol)
    both = evaluate(potential, (numbers[order], positions[order]), ethanol)
    torch.testing.assert_close(both["energy"], alone["energy"].expand(2), rtol=0, atol=1e-10)
    torch.testing.assert_close(both["forces"][9:], alone["forces"], rtol=0, atol=1e-10)
    torch.testing.assert_close(both["forces"][:9], alone["forces"][order], rtol=0, atol=1e-10)


def test_forces_are_the_energy_s_negative_slope(potential, ethanol):
    numbers, positions = ethanol
    forces = evaluate(potential, ethanol)["forces"].numpy()
    step = 1e-4
    for atom, axis in ((0, 0), (2, 1), (8, 2)):
        shifted = np.array([positions, positions])
        shifted[:, atom, axis] += [step, -step]
        up, down = evaluate(potential, (numbers, shifted[0]), (numbers, shifted[1]))["energy"]
        assert forces[atom, axis] == pytest.approx(-float(up - down) / (2 * step), abs=1e-6)


def test_far_molecules_do_not_feel_each_other(potential, ethanol):
    numbers, positions = ethanol
    one = evaluate(potential, ethanol)["energy"]
    pair = (np.concatenate([numbers] * 2), np.concatenate([positions, positions + 100.0]))
    torch.testing.assert_close(evaluate(potential, pair)["energy"], 2 * one, rtol=0, atol=1e-9)


def test_energy_and_force_are_continuous_through_the_cutoff(potential):
    numbers = np.array([6, 8])
    gaps = CUTOFF + np.array([-1e-4, -1e-6, 1e-6, 1e-4])
    molecules = [(numbers, np.array([[0.0, 0, 0], [gap, 0, 0]])) for gap in gaps]
    output = evaluate(potential, *molecules)
    assert float(output["energy"].max() - output["energy"].min()) < 1e-7
    assert float(output["forces"].abs().max()) < 1e-3
    inside = evaluate(potential, (numbers, np.array([[0.0, 0, 0], [1.2, 0, 0]])))
    assert float(inside["forces"].abs().max()) > 1e-3


def test_scan_of_an_atom_through_the_cutoff_has_no_step(potential, ethanol):
    numbers, positions = ethanol
    numbers = np.append(numbers, 8)
    gaps = np.linspace(3.8, 5.2, 701)  # from the nearest carbon; others are crossed on the way
    moved = [np.vstack([positions, positions[0] + [gap, 0.3, 0.2]]) for gap in gaps]
    output = evaluate(potential, *((numbers, x) for x in moved))
    energy = output["energy"].numpy()
    force = output["forces"].view(len(gaps), -1, 3)[:, -1, 0].numpy()
    # The energy is the integral of the force all along (trapezoids, third order in the step).
    work = -0.5 * (force[1:] + force[:-1]) * np.diff(gaps)
    assert np.abs(np.diff(energy) - work).max() < 1e-6 * np.ptp(energy)
    assert np.abs(np.diff(force)).max() < 0.05 * np.ptp(force)


def test_one_atom_and_isolated_atoms_have_no_force(potential):
    single = (np.array([8]), np.zeros((1, 3)))
    apart = (np.array([1, 1]), np.array([[0.0, 0, 0], [50.0, 0, 0]]))
    output = evaluate(potential, single, apart)
    assert torch.isfinite(output["energy"]).all()
    torch.testing.assert_close(output["forces"], torch.zeros(3, 3, dtype=torch.float64))


def test_displacement_is_equivariant_and_property_invariant(ethanol):
    torch.manual_seed(0)
    settings = {"name": "painn", "layers": 2, "features": 16, "basis_size": 16, "cutoff": CUTOFF}
    model = PropertyModel(settings).double()
    numbers, positions = ethanol
    rotation = Rotation.random(random_state=1).as_matrix()
    one = evaluate(model, ethanol)
    other = evaluate(model, (numbers, positions @ rotation))
    torch.testing.assert_close(other["property"], one["property"], rtol=0, atol=1e-10)
    turned = one["displacement"] @ torch.from_numpy(rotation)
    torch.testing.assert_close(other["displacement"], turned, rtol=0, atol=1e-10)
    assert one["displacement"].abs().max() > 1e-4


@pytest.mark.parametrize(
    ("name", "variant"), [("painn", "smooth"), ("painn", "published"), ("schnet", "smooth")]
)
@pytest.mark.parametrize("compiled", [True, False])
def test_weights_learn_from_forces_by_the_true_gradient(name, variant, compiled, monkeypatch):
    """The slope of an energy-and-force loss by all weights, against finite differences."""
    if not compiled:
        monkeypatch.setattr(pair_sums, "pair_loops", None)
        monkeypatch.setattr(atom_steps, "atom_loops", None)
    torch.manual_seed(0)
    settings = {"layers": 3, "features": 8, "basis_size": 48, "cutoff": 4.5}
    model = Potential({"name": name, "variant": variant, **settings}).double()
    rng = np.random.default_rng(1)
    sizes = (9, 4, 7)
    batch = collate(
        [rng.choice([1, 6, 8], n) for n in sizes],
        [rng.normal(scale=1.5, size=(n, 3)) for n in sizes],
        torch.float64,
    )
    target = torch.randn(len(batch.positions), 3, dtype=torch.float64)

    def loss():
        output = model(batch, training=True)
        return output["binding"].square().sum() + (output["forces"] - target).square().sum()

    loss().backward()
    weights = [p for p in model.parameters() if p.grad is not None]
    slopes = [p.grad.clone() for p in weights]
    assert len(weights) >= len(list(model.parameters())) - 2
    for _ in range(5):
        ways = [torch.randn_like(p) for p in weights]
        step = 1e-6
        values = []
        for sign in (1, -2):
            with torch.no_grad():
                for p, way in zip(weights, ways, strict=True):
                    p += sign * step * way
            values.append(float(loss().detach()))
        with torch.no_grad():
            for p, way in zip(weights, ways, strict=True):
                p += step * way
        expected = (values[0] - values[1]) / (2 * step)
        found = sum(float((s * w).sum()) for s, w in zip(slopes, ways, strict=True))
        assert found == pytest.approx(expected, rel=1e-6)
