"""The Hessian that relaxations may begin with, against internal coordinates one by one."""

import itertools

import ase.optimize
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.units import Bohr, Hartree
from test_relaxation import Alone, springs, starts

from force2geo.relax.batched import relax, relax_runs
from force2geo.relax.model_hessian import FLOOR, model_hessian
from force2geo.relax.relaxation import Relaxation

# Table 1 of Lindh et al. 1995, by the rows of two atoms: bohr⁻², bohr.
TABLE = {(0, 0): (1.0, 1.35), (0, 1): (0.3949, 2.10), (0, 2): (0.3949, 2.53),
         (1, 1): (0.28, 2.87), (1, 2): (0.28, 3.40), (2, 2): (0.28, 3.40)}  # fmt: skip


def closeness(atoms, i, j):
    rows = sorted(0 if z <= 2 else 1 if z <= 10 else 2 for z in atoms.numbers[[i, j]])
    decay, reference = TABLE[tuple(rows)]
    return np.exp(decay * (reference**2 - (atoms.get_distance(i, j) / Bohr) ** 2))


def slope_of(atoms, measure, width=1e-4):
    """By differences: of Å or radian along each Cartesian coordinate."""
    slope = np.zeros((len(atoms), 3))
    for place in np.ndindex(*slope.shape):
        values = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[place] += sign * width
            values.append(measure(moved))
        slope[place] = ((values[0] - values[1] + np.pi) % (2 * np.pi) - np.pi) / (2 * width)
    return slope.ravel()


def by_hand(atoms, least=1e-2):
    """Loops over pairs, triples and quadruples; eV/Å²."""
    found = np.zeros((3 * len(atoms),) * 2)
    everything = range(len(atoms))

    def add(constant, measure):
        slope = slope_of(atoms, measure)
        found[...] += constant * np.outer(slope, slope)

    for i, j in itertools.combinations(everything, 2):
        if (c := closeness(atoms, i, j)) > 1e-4:
            add(0.45 * c * Hartree / Bohr**2, lambda a, i=i, j=j: a.get_distance(i, j))
    for i, j, k in itertools.permutations(everything, 3):
        c = closeness(atoms, i, j), closeness(atoms, j, k)
        if i < k and min(*c, c[0] * c[1]) > least:
            add(0.15 * c[0] * c[1] * Hartree,
                lambda a, i=i, j=j, k=k: np.radians(a.get_angle(i, j, k)))  # fmt: skip
    for i, j, k, m in itertools.permutations(everything, 4):
        c = closeness(atoms, i, j), closeness(atoms, j, k), closeness(atoms, k, m)
        if j < k and min(*c, c[0] * c[1] * c[2]) > least:
            bends = np.radians([atoms.get_angle(i, j, k), atoms.get_angle(j, k, m)])
            if np.sin(bends).min() > 0.2:
                add(0.005 * np.prod(c) * Hartree,
                    lambda a, four=(i, j, k, m): np.radians(a.get_dihedral(*four)))  # fmt: skip
    return found + FLOOR * np.eye(len(found))


@pytest.mark.parametrize("name", ["H2O", "H2O2", "CH3SH", "CH3Cl"])
def test_every_stretch_bend_and_torsion_counts_as_published(name):
    atoms = molecule(name)
    atoms.rattle(0.03, seed=3)
    found = model_hessian(atoms.numbers, atoms.positions)
    expected = by_hand(atoms)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["C6H6", "CH3CH2OH", "C2H2", "HCN", "CO2"])
def test_rigid_motions_have_the_floor_s_curvature_and_nothing_has_less(name):
    atoms = molecule(name)
    found = model_hessian(atoms.numbers, atoms.positions)
    x = atoms.positions - atoms.positions.mean(axis=0)
    turns = [np.cross(axis, x) for axis in np.eye(3)]
    for motion in (*(np.broadcast_to(axis, x.shape) for axis in np.eye(3)), *turns):
        np.testing.assert_allclose(found @ motion.ravel(), FLOOR * motion.ravel(), atol=1e-9)
    assert np.linalg.eigvalsh(found)[0] == pytest.approx(FLOOR, abs=1e-9)
    rigid = 5 if name in ("C2H2", "HCN", "CO2") else 6
    assert np.linalg.eigvalsh(found)[rigid] > 1.05 * FLOOR


def test_what_is_fixed_has_no_part_in_it():
    atoms = molecule("CH3CH2OH")
    fixed = np.zeros((len(atoms), 3), dtype=bool)
    fixed[2], fixed[4, 1] = True, True
    found, whole = (model_hessian(atoms.numbers, atoms.positions, f) for f in (fixed, None))
    still = fixed.ravel()
    np.testing.assert_array_equal(found[still], FLOOR * np.eye(len(found))[still])
    np.testing.assert_array_equal(found[~still][:, ~still], whole[~still][:, ~still])
    run = Relaxation(atoms.numbers, 1.05 * atoms.positions, 0, fixed=fixed)
    relax_runs([run], springs, 0.01, 20, "bfgs-model")
    moved = np.abs(run.frames[-1] - run.frames[0])
    assert (moved[fixed] == 0).all() and moved[~fixed].max() > 0.01


def test_steps_are_those_of_ase_from_the_same_hessian():
    numbers, positions = starts()
    runs = relax(numbers, positions, springs, 0.01, 60, optimizer="bfgs-model", batch_atoms=14)
    for z, x, run in zip(numbers, positions, runs, strict=True):
        atoms = Atoms(z, x)
        atoms.calc = Alone(springs)
        path = []
        optimizer = ase.optimize.BFGS(atoms, logfile=None)
        optimizer.H0 = model_hessian(z, x)
        optimizer.attach(lambda atoms=atoms, path=path: path.append(atoms.positions.copy()))
        optimizer.run(fmax=0.01, steps=60)
        # Later on rounding grows: this surface is rough.
        np.testing.assert_allclose(run.frames[:10], path[:10], atol=1e-6)
        assert len(run.frames) > 2


def test_atoms_in_one_place_begin_as_ever():
    start = np.zeros((2, 3))
    one, other = (
        relax([np.array([6, 6])], [start], springs, 0.01, 3, optimizer=name)[0]
        for name in ("bfgs", "bfgs-model")
    )
    assert (one.status, one.steps) == (other.status, other.steps)


def test_molecules_arrive_in_half_the_steps_and_no_higher(ethanol):
    tblite = pytest.importorskip("tblite.interface")
    assert tblite
    from force2geo.relax.evaluators import from_import_path

    numbers, x = ethanol
    rng = np.random.default_rng(5)
    positions = [x + rng.normal(scale=0.08, size=x.shape) for _ in range(4)]
    evaluator = from_import_path("tblite.ase:TBLite", {"verbosity": 0}, [])
    plain, model = (
        relax([numbers] * 4, positions, evaluator.evaluate, 0.02, 100, optimizer=name,
              batch_atoms=1)
        for name in ("bfgs", "bfgs-model")
    )  # fmt: skip
    assert all(run.status == "converged" for run in plain + model)
    assert sum(run.steps for run in model) < 0.5 * sum(run.steps for run in plain)
    for one, other in zip(plain, model, strict=True):
        assert other.energies[-1] < one.energies[-1] + 0.004
