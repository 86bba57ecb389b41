"""Rigid motions, internal coordinates, steps and updates against what is known of them."""

import numpy as np
import pytest
from finish_surfaces import BENT, WATER, springs

from force2geo.dft.coordinates import Frame, Internals, internal_motions, rigid_motions
from force2geo.dft.quasi_newton import SOFTEST, newton_step, secant_update

LENGTHS, STIFF = (1.0, 1.0, 1.6), (40.0, 40.0, 15.0)
ETHANE_LIKE = np.array([
    [0.0, 0, 0], [1.5, 0, 0], [-0.4, 1.0, 0], [-0.4, -0.5, 0.87], [-0.4, -0.5, -0.87],
    [1.9, -1.0, 0], [1.9, 0.5, 0.87], [1.9, 0.5, -0.87],
])  # fmt: skip
ETHANE = np.array([6, 6, 1, 1, 1, 1, 1, 1])


def test_rigid_motions_are_three_and_three():
    found = rigid_motions(BENT)
    assert found.shape == (9, 6) and found.T @ found == pytest.approx(np.eye(6), abs=1e-12)
    shift = np.tile([0.3, -1.0, 2.0], 3)
    turn = np.cross([0.2, 0.5, -0.7], BENT - BENT.mean(axis=0) + 4.0).ravel()
    for motion in (shift, turn):
        assert found @ (found.T @ motion) == pytest.approx(motion, abs=1e-12)
        assert internal_motions(BENT).T @ motion == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("positions", "rigid"), [([[0, 0, 1.0]], 3), ([[0, 0, 0], [1.0, 2, 2], [-1, -2, -2]], 5)]
)
def test_atoms_and_lines_have_fewer(positions, rigid):
    positions = np.array(positions, dtype=float)
    assert rigid_motions(positions).shape[1] == rigid
    assert internal_motions(positions).shape[1] == positions.size - rigid


@pytest.mark.parametrize(("held", "free"), [([0], 3), ([0, 1], 1), ([0, 1, 2], 0)])
def test_held_atoms_leave_the_turns_about_them(held, free):
    fixed = np.zeros((3, 3), bool)
    fixed[held] = True
    found = rigid_motions(BENT, fixed)
    assert found.shape[1] == free and found[fixed.ravel()] == pytest.approx(0, abs=1e-12)
    assert internal_motions(BENT, fixed).shape[1] == 9 - 3 * len(held) - free


def test_internal_coordinates_give_back_the_hessian():
    """At a slope the coordinates' own curvature is a part of it, there and back."""
    start = BENT * 1.07
    _, gradient, hessian = springs(start, LENGTHS, STIFF)
    made = Internals(WATER, start)
    slope = made.slope(start, gradient.ravel())
    curvature = made.curvature(start, gradient.ravel(), hessian)
    assert curvature.shape == (3, 3)
    basis = internal_motions(start)
    back = made.cartesian(start, slope, curvature)
    assert basis.T @ back @ basis == pytest.approx(basis.T @ hessian @ basis, abs=1e-6)
    # The energy along a coordinate bends as the curvature says.
    for mode in np.eye(3):
        ends = [made.moved(start, sign * 0.01 * mode) for sign in (1, 0, -1)]
        high, middle, low = (springs(place, LENGTHS, STIFF)[0] for place in ends)
        assert (high - low) / 0.02 == pytest.approx(slope @ mode, rel=2e-3, abs=2e-3)
        assert (high + low - 2 * middle) / 1e-4 == pytest.approx(mode @ curvature @ mode, rel=1e-2)


def test_a_torsion_turns_without_stretching():
    made = Internals(ETHANE, ETHANE_LIKE)
    turned = ETHANE_LIKE.copy()
    cos, sin = np.cos(0.3), np.sin(0.3)
    turned[5:, 1:] = ETHANE_LIKE[5:, 1:] @ np.array([[cos, sin], [-sin, cos]])
    step = made.difference(turned, ETHANE_LIKE)
    there = made.moved(ETHANE_LIKE, step)
    straight = Frame(ETHANE_LIKE)

    def bonds(x):
        return np.linalg.norm(x[2:5] - x[0], axis=1), np.linalg.norm(x[5:] - x[1], axis=1)

    assert np.allclose(bonds(there), bonds(ETHANE_LIKE), atol=1e-4)
    assert made.difference(there, turned) == pytest.approx(0, abs=1e-4)
    half = straight.moved(ETHANE_LIKE, straight.difference(turned, ETHANE_LIKE) / 2)
    assert np.abs(bonds(half)[1] - bonds(turned)[1]).max() > 5e-3  # which Cartesian ones do
    halfway = made.moved(ETHANE_LIKE, step / 2)
    assert np.allclose(bonds(halfway), bonds(ETHANE_LIKE), atol=1e-3)


def test_a_step_goes_to_the_minimum_or_as_far_as_it_may():
    curvature, slope = np.diag([4.0, 10.0]), np.array([1.0, -2.0])
    assert newton_step(curvature, slope, 1.0) == pytest.approx([-0.25, 0.2])
    short = newton_step(curvature, slope, 0.1)
    assert np.linalg.norm(short) == pytest.approx(0.1)
    # On the sphere the step and the slope there are parallel (Karush-Kuhn-Tucker).
    there = slope + curvature @ short
    assert there[0] * short[1] == pytest.approx(there[1] * short[0]) and there @ short < 0
    down = newton_step(np.diag([-4.0, 10.0]), slope, 1.0)
    assert down == pytest.approx([-0.25, 0.2])  # downhill, not to the top
    soft = newton_step(np.diag([1e-6, 10.0]), np.array([0.02, 0.0]), 1.0)
    assert soft == pytest.approx([-0.02 / SOFTEST, 0])


def test_an_update_learns_the_step_and_spares_the_soft():
    rng = np.random.default_rng(3)
    half = rng.normal(size=(5, 5))
    curvature = half @ half.T + np.eye(5)
    step, change = rng.normal(size=5), rng.normal(size=5)
    found = secant_update(curvature, step, change)
    assert found @ step == pytest.approx(change) and found == pytest.approx(found.T)
    assert secant_update(curvature, step, curvature @ step) == pytest.approx(curvature)
    # Too little of a stiff mode, seen in a step of both, is not laid on the soft one.
    curvature, truth = np.diag([50.0, 0.3]), np.diag([60.0, 0.3])
    step = np.array([0.05, 0.3])
    found = secant_update(curvature, step, truth @ step)
    assert np.linalg.eigvalsh(found) == pytest.approx([0.3, 60.0], abs=0.1)
    # Of a true saddle it becomes one.
    truth = np.diag([50.0, -0.6])
    assert np.linalg.eigvalsh(secant_update(curvature, step, truth @ step))[0] < -0.2
