"""Finishing on surfaces whose minima are known: where it ends, what it asks for, what it says."""

import numpy as np
import pytest
from finish_surfaces import BENT, PAIRS, WATER, Surface, springs

from force2geo.dft.finish import Settings, finish
from force2geo.dft.level import Level
from force2geo.dft.points import Molecule, read_points
from force2geo.units import HARTREE_TO_EV

LENGTHS, STIFF = np.array([1.0, 1.0, 1.6]), np.array([40.0, 40.0, 15.0])


def dear(positions):
    return springs(positions, LENGTHS, STIFF, cubic=-20.0)


def poor(molecule):
    """A potential with six tenths of the curvature: without learning it takes 17 steps."""
    return springs(molecule.positions, LENGTHS + np.array([0.03, -0.02, 0.05]), 0.6 * STIFF)[1:]


def cheap(molecule):
    """The potential: minimum elsewhere, softer."""
    return springs(molecule.positions, LENGTHS + np.array([0.03, -0.02, 0.05]), 0.9 * STIFF)[1:]


def exact(molecule):
    return dear(molecule.positions)[1:]


def run(folder, surface, potential=cheap, start=BENT, numbers=WATER, fixed=None, **more):
    molecule = Molecule(numbers, start, fixed=fixed, cid="000000962")
    settings = Settings(**{"force_threshold": 1e-3} | more)
    (found,) = finish([molecule], potential, settings, folder, {"it": "springs"}, surface)
    return found[1], sorted(folder.glob("*.npz"))


def apart(positions):
    return [np.linalg.norm(positions[i] - positions[j]) for i, j in PAIRS]


def test_it_ends_at_the_known_minimum_and_never_rises(tmp_path):
    surface = Surface(dear)
    end, (file,) = run(tmp_path, surface)
    assert end.status == "minimum" and end.gradients == len(surface.asked) <= 6
    assert apart(end.positions) == pytest.approx(LENGTHS, abs=1e-3 / 15)
    energies = [dear(place)[0] for place in surface.asked]
    assert end.energy == pytest.approx(min(energies), abs=1e-9) and end.max_force < 1e-3
    points = read_points(file)
    assert np.array(points.energies) * HARTREE_TO_EV == pytest.approx(energies)
    assert points.positions[0] == pytest.approx(BENT)


def test_its_seconds_are_dft_s_and_are_kept(tmp_path):
    surface = Surface(dear)

    def slow(tasks):
        for place, found in surface(tasks):
            found.seconds = 100.0
            yield place, found

    end, (file,) = run(tmp_path, slow)
    hessian = end.seconds - 100.0 * end.gradients
    assert 0 < hessian < 50
    assert read_points(file).seconds == end.seconds
    again, _ = run(tmp_path, slow)  # nothing is computed, and so much has been
    assert again.seconds == end.seconds and len(surface.asked) == end.gradients


@pytest.mark.parametrize(("potential", "count"), [(exact, 4), (cheap, 4), (poor, 6)])
def test_gradients_are_few(tmp_path, potential, count):
    end, _ = run(tmp_path, Surface(dear), potential, BENT * 1.03)
    assert (end.status, end.gradients) == ("minimum", count)


def test_one_that_is_there_already_needs_one_gradient(tmp_path):
    surface = Surface(lambda x: springs(x, apart(BENT), STIFF))
    end, _ = run(tmp_path, surface)
    assert (end.status, end.gradients, end.max_force) == ("minimum", 1, pytest.approx(0, abs=1e-9))
    assert end.positions is not None and np.array_equal(end.positions, BENT)


def test_no_step_moves_or_turns_the_molecule(tmp_path):
    surface = Surface(dear)
    run(tmp_path, surface)
    for place in surface.asked[1:]:
        assert (place - BENT).mean(axis=0) == pytest.approx(0, abs=1e-6)
        turned = np.cross(BENT - BENT.mean(axis=0), place - BENT).sum(axis=0)
        assert turned == pytest.approx(0, abs=5e-3)


def test_a_step_that_raises_the_energy_is_taken_back(tmp_path):
    def soft(molecule):  # ten times too soft: the first step is far too long
        slope, hessian = exact(molecule)
        return slope, hessian / 10

    surface = Surface(dear)
    end, _ = run(tmp_path, surface, soft, BENT * 1.02)
    energies = [dear(place)[0] for place in surface.asked]
    assert energies[1] > energies[0]  # it does happen here
    best = np.minimum.accumulate(energies)
    assert end.status == "minimum" and end.energy == pytest.approx(best[-1])
    # The next after a rise is nearer to the best place than the one taken back.
    away = [np.linalg.norm(place - surface.asked[0]) for place in surface.asked[1:3]]
    assert away[1] <= 0.55 * away[0]
    assert len({place.tobytes() for place in surface.asked}) == len(surface.asked)


def test_the_limit_is_told_and_kept(tmp_path):
    surface = Surface(dear)
    end, _ = run(tmp_path, surface, force_threshold=1e-9, max_gradients=3)
    assert (end.status, end.gradients, len(surface.asked)) == ("gradient limit", 3, 3)
    assert end.energy == pytest.approx(min(dear(place)[0] for place in surface.asked))


@pytest.mark.parametrize("after", range(1, 5))
def test_a_kill_costs_no_gradient(tmp_path, after):
    whole, (file,) = run(tmp_path / "whole", Surface(dear))
    killed = Surface(dear, stop_after=after)
    if after < whole.gradients:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", killed)
    again = Surface(dear)
    end, (other,) = run(tmp_path / "cut", again)
    assert len(again.asked) == whole.gradients - min(len(killed.asked), whole.gradients)
    assert (end.status, end.gradients) == (whole.status, whole.gradients)
    assert np.array_equal(end.positions, whole.positions)
    assert other.name == file.name
    # A third call has it all; a tighter threshold goes on from there.
    idle = Surface(dear)
    assert run(tmp_path / "cut", idle)[0].gradients == whole.gradients and not idle.asked
    tighter = run(tmp_path / "cut", idle, force_threshold=1e-7)[0]
    assert tighter.max_force < 1e-7 and len(idle.asked) == tighter.gradients - whole.gradients > 0


def test_places_without_energy_halve_the_step_and_are_remembered(tmp_path):
    surface = Surface(dear, lambda number: "failed: no field" if number == 2 else "")
    end, (file,) = run(tmp_path, surface)
    assert end.status == "minimum" and end.gradients == len(surface.asked)
    lengths = [np.linalg.norm(place - BENT) for place in surface.asked[1:3]]
    assert lengths[1] == pytest.approx(lengths[0] / 2, rel=0.1)
    points = read_points(file)
    assert [(after, error) for after, _, error in points.failed] == [(1, "no field")]
    assert len(points.energies) == end.gradients - 1 == points.count - 1
    idle = Surface(dear)
    again, _ = run(tmp_path, idle)
    assert not idle.asked and np.array_equal(again.positions, end.positions)
    assert again.gradients == end.gradients


def test_what_dft_cannot_do_is_told(tmp_path):
    first, files = run(tmp_path / "a", Surface(dear, lambda _: "failed: no field"))
    assert (first.status, first.reason, first.gradients) == ("failed", "no field", 1)
    assert np.isnan(first.energy) and len(files) == 1
    broken = Surface(dear, lambda number: "not computed: no memory" if number == 3 else "")
    end, (file,) = run(tmp_path / "b", broken)
    assert (end.status, end.reason, end.gradients) == ("not computed", "no memory", 2)
    assert end.energy == pytest.approx(min(dear(place)[0] for place in broken.asked[:2]))
    assert read_points(file).count == 2  # another call tries the third again
    assert run(tmp_path / "b", Surface(dear))[0].status == "minimum"
    nothing = np.full((3, 3), np.nan), np.zeros((9, 9))
    end, files = run(tmp_path / "c", Surface(dear), lambda _: nothing)
    assert end.status == "failed" and "no forces" in end.reason and not files


def test_a_saddle_is_told(tmp_path):
    """A line of three that want to be bent: no force, and a way down."""
    line = np.array([[0.0, 0, 0], [1.0, 0, 0], [-1.0, 0, 0]])

    def push(positions):
        # Against the pair of ends alone: its force k d bends with the curvature k d / r.
        energy, gradient, hessian = springs(positions, [1.0, 1.0, 2.0], STIFF)
        apex = positions[0] - (positions[1] + positions[2]) / 2
        weights = np.array([1.0, -0.5, -0.5])
        gradient = gradient - 0.5 * weights[:, None] * apex
        outer = np.kron(np.outer(weights, weights), np.eye(3))
        return energy - 0.25 * apex @ apex, gradient, hessian - 0.5 * outer

    end, _ = run(tmp_path, Surface(push), lambda m: push(m.positions)[1:], line)
    assert (end.status, end.gradients) == ("saddle point", 1)
    # The bend: apex against ends, 1/2 * (1 + 1/4 + 1/4) eV/Å² along the normalised mode.
    assert end.lowest_curvature == pytest.approx(-0.75, abs=1e-6)


def test_held_coordinates_stay(tmp_path):
    fixed = np.array([[True] * 3, [False] * 3, [True] * 3])
    end, _ = run(tmp_path, Surface(dear), start=BENT * 1.05, fixed=fixed)
    assert np.array_equal(end.positions[fixed], (BENT * 1.05)[fixed])
    gradient = dear(end.positions)[1]
    assert end.status == "minimum" and np.abs(gradient[~fixed]).max() < 1e-3
    assert np.abs(gradient[fixed]).max() > 0.1  # of what is held, nothing is asked


@pytest.mark.parametrize("numbers", [[1], [1, 1]])
def test_atoms_and_pairs(tmp_path, numbers):
    start = np.arange(3.0 * len(numbers)).reshape(-1, 3) / 6

    def pair(x):
        gradient = np.zeros_like(x)
        if len(x) == 1:
            return 0.0, gradient, np.zeros((3, 3))
        along = x[0] - x[1]
        unit = along / np.linalg.norm(along)
        d = np.linalg.norm(along) - 0.74
        gradient[0], gradient[1] = 30 * d * unit, -30 * d * unit
        block = 30 * np.outer(unit, unit)
        return 15 * d**2, gradient, np.block([[block, -block], [-block, block]])

    end, _ = run(tmp_path, Surface(pair), lambda m: pair(m.positions)[1:], start, np.array(numbers))
    assert end.status == "minimum" and end.gradients == len(numbers)
    if len(numbers) == 2:
        assert np.linalg.norm(end.positions[0] - end.positions[1]) == pytest.approx(0.74)
        assert end.lowest_curvature == pytest.approx(60)  # k (1 + 1)
    else:
        assert np.isnan(end.lowest_curvature)


def test_level_start_state_and_potential_have_points_of_their_own(tmp_path):
    base = {"numbers": WATER, "positions": BENT}
    others = [
        ({}, Level(), {"it": "x"}), ({}, Level(basis="sto-3g"), {"it": "x"}),
        ({}, Level(), {"it": "y"}), ({"charge": 1, "multiplicity": 2}, Level(), {"it": "x"}),
        ({"multiplicity": 3}, Level(), {"it": "x"}),
        ({"positions": BENT * 1.01}, Level(), {"it": "x"}),
        ({"fixed": np.eye(3, dtype=bool)}, Level(), {"it": "x"}),
    ]  # fmt: skip
    keys = {Molecule(**(base | more)).key(level, it) for more, level, it in others}
    assert len(keys) == len(others)
    same = Molecule(WATER, BENT + 1e-10, cid="000000001", smiles="O")
    assert same.key(Level(), {"it": "x"}) == Molecule(WATER, BENT).key(Level(), {"it": "x"})
