"""Batched relaxation against ASE's optimisers, and what it does with trouble."""

import ase.optimize
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from force2geo.errors import UserError
from force2geo.potentials.batch import collate
from force2geo.potentials.checkpoint import Model
from force2geo.potentials.models import Potential
from force2geo.relax.batched import relax
from force2geo.relax.bonds import what_became_of_bonds
from force2geo.relax.evaluators import import_calculator, of_calculator, of_model
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import read_relaxed, write_relaxed


def springs(batch):
    """A smooth toy surface: every pair of atoms of a molecule wants to be 1.5 Å apart."""
    x = batch.positions.detach().requires_grad_(True)
    together = torch.triu(batch.molecule[:, None] == batch.molecule, diagonal=1).nonzero()
    distance = (x[together[:, 0]] - x[together[:, 1]]).norm(dim=1)
    energies = torch.zeros(batch.size, dtype=x.dtype).index_add(
        0, batch.molecule[together[:, 0]], 5.0 * (distance - 1.5) ** 2
    )
    (slope,) = torch.autograd.grad(energies.sum(), x, materialize_grads=True)
    return energies.detach(), -slope


class Alone(Calculator):
    implemented_properties = ["energy", "forces"]

    def __init__(self, evaluate):
        super().__init__()
        self.evaluate = evaluate

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        energy, forces = self.evaluate(collate([atoms.numbers], [atoms.positions], torch.float64))
        self.results = {"energy": float(energy[0]), "forces": forces.numpy()}


def starts():
    rng = np.random.default_rng(0)
    sizes = [2, 5, 9, 3, 7, 4]
    return [np.full(n, 6) for n in sizes], [1.2 * rng.normal(size=(n, 3)) for n in sizes]


def fresh(numbers, positions):
    pairs = zip(numbers, positions, strict=True)
    return [Relaxation(z, np.asarray(x, float), place) for place, (z, x) in enumerate(pairs)]


def check_against_ase(numbers, positions, evaluate, threshold, limit, name="BFGS"):
    runs = relax(
        numbers, positions, evaluate, threshold, limit, optimizer=name.lower(), batch_atoms=14
    )
    for z, x, run in zip(numbers, positions, runs, strict=True):
        atoms = Atoms(z, x)
        atoms.calc = Alone(evaluate)
        path = []
        optimizer = getattr(ase.optimize, name)(atoms, logfile=None)
        optimizer.attach(lambda atoms=atoms, path=path: path.append(atoms.positions.copy()))
        finished = optimizer.run(fmax=threshold, steps=limit)
        assert run.stationary == bool(finished)
        assert len(run.frames) == len(path)
        np.testing.assert_allclose(run.frames, path, atol=1e-6)
    return runs


@pytest.mark.parametrize("name", ["BFGS", "LBFGS", "FIRE"])
def test_steps_are_those_of_ase(name):
    numbers, positions = starts()
    runs = check_against_ase(numbers, positions, springs, 0.01, 60, name)
    assert sum(run.stationary for run in runs) >= 2


def test_what_is_beside_a_molecule_does_not_matter(monkeypatch):
    numbers, positions = starts()
    together = relax(numbers, positions, springs, 0.01, 60)
    monkeypatch.setattr("force2geo.relax.batched._HESSIANS", 1)
    for one, other in zip(together, relax(numbers, positions, springs, 0.01, 60), strict=True):
        np.testing.assert_allclose(one.frames, other.frames, atol=1e-8)


def test_threads_share_the_molecules(ethanol):
    numbers, x = ethanol
    rng = np.random.default_rng(3)
    positions = [x + rng.normal(scale=0.05, size=x.shape) for _ in range(7)]
    torch.manual_seed(2)
    backbone = {"name": "painn", "layers": 2, "features": 8, "basis_size": 16, "cutoff": 4.5}
    evaluate = of_model(Model(Potential(backbone), {}, "cpu"))
    before, told = torch.get_num_threads(), []
    runs = [
        relax([numbers] * 7, positions, evaluate, 1e-3, 8, threads=threads,
              on_finished=lambda run: told.append(run.place))
        for threads in (1, 3, 20)
    ]  # fmt: skip
    assert sorted(told) == sorted(3 * list(range(7))) and torch.get_num_threads() == before
    for one, *others in zip(*runs, strict=True):
        for other in others:
            np.testing.assert_allclose(one.frames, other.frames, atol=1e-8)


def test_an_error_in_one_thread_ends_them_all():
    numbers, positions = starts()
    calls = []

    def fails(batch):
        calls.append(len(batch.positions))
        if len(calls) > 3:
            raise MemoryError("no room")
        return springs(batch)

    with pytest.raises(MemoryError, match="no room"):
        relax(numbers, positions, fails, 1e-12, 10_000, threads=2)
    assert len(calls) < 10


@pytest.mark.parametrize("name", ["BFGS", "LBFGS", "FIRE"])
def test_steps_are_those_of_ase_on_a_network(ethanol, name):
    torch.manual_seed(1)
    backbone = {"name": "painn", "layers": 2, "features": 16, "basis_size": 16, "cutoff": 4.5}
    evaluate = of_model(Model(Potential(backbone), {}, "cpu"))
    numbers, positions = ethanol
    rng = np.random.default_rng(2)
    rattled = [positions + 0.1 * rng.normal(size=positions.shape) for _ in range(3)]
    check_against_ase([numbers] * 3, rattled, evaluate, 0.001, 25, name)


def test_a_molecule_without_numbers_is_told_and_harms_no_other():
    numbers, positions = starts()

    def evaluate(batch):
        energies, forces = springs(batch)
        broken = batch.atoms_per_molecule == 5
        return energies.masked_fill(broken, torch.nan), forces

    runs = relax(numbers, positions, evaluate, 0.01, 200)
    assert runs[1].status == "exploded" and runs[1].reason == "energy or forces are no numbers"
    assert all(run.stationary for i, run in enumerate(runs) if i != 1)


def test_atoms_at_one_point_and_huge_forces_have_their_reasons():
    torch.manual_seed(0)
    backbone = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
    model = Model(Potential(backbone), {}, "cpu")
    coincident = np.array([[0.0, 0, 0], [0, 0, 0], [1.0, 0, 0]])
    (run,) = relax([np.array([8, 1, 1])], [coincident], of_model(model))
    assert (run.status, run.reason) == ("exploded", "atoms 0 and 1 stand at one point")
    (run,) = relax([np.array([6, 6])], [np.array([[0.0, 0, 0], [2e3, 0, 0]])], springs)
    assert run.status == "exploded" and run.reason.startswith("a force of ")


def test_step_limit_zero_steps_and_one_atom():
    numbers, positions = starts()
    limited = relax(numbers[1:], positions[1:], springs, 1e-9, 3, whole_paths=False)
    assert all(run.steps == 3 and not run.converged for run in limited)
    assert all(len(run.frames) == 2 for run in limited)
    at_rest = np.array([[0.0, 0, 0], [1.5, 0, 0]])
    two, one = relax([np.array([6, 6]), np.array([2])], [at_rest, np.zeros((1, 3))], springs)
    assert two.status == one.status == "converged" and two.steps == one.steps == 0


def test_bonds_are_judged_by_what_they_were(ethanol):
    numbers, positions = ethanol
    assert what_became_of_bonds(numbers, positions, positions * 1.05) == ""
    apart = positions.copy()
    apart[8] += 3.0
    assert what_became_of_bonds(numbers, positions, apart) == "dissociated"
    moved = positions.copy()
    moved[8] = positions[0] - [0.6, 0.0, 0.8]  # the hydroxyl's hydrogen on a carbon
    assert what_became_of_bonds(numbers, positions, moved) == "bonds changed"


def test_any_calculator_and_its_failures():
    calculator = import_calculator("ase.calculators.emt:EMT", {})
    evaluate = of_calculator(calculator)
    water = np.array([[0, 0, 0.1], [0, 0.8, -0.5], [0, -0.8, -0.5]])
    odd = np.array([[0, 0, 0], [1.0, 0, 0]])  # EMT knows no bromine
    good, bad = relax([np.array([8, 1, 1]), np.array([35, 35])], [water, odd], evaluate)
    assert good.converged and bad.status == "exploded"
    with pytest.raises(UserError, match="no_such"):
        import_calculator("no_such.module:Class", {})


def test_file_holds_every_frame(tmp_path):
    numbers, positions = starts()
    runs = relax(numbers, positions, springs, 0.05, 50)
    cids = [f"{i:09d}" for i in range(len(runs))]
    write_relaxed(tmp_path / "r.h5", cids, runs)
    found = read_relaxed(tmp_path / "r.h5")
    assert found.cids == cids and found.status == [run.status for run in runs]
    for run, frames, energy in zip(runs, found.frames, found.frame_energy, strict=True):
        np.testing.assert_array_equal(frames, run.frames)
        np.testing.assert_array_equal(energy, run.energies)
    for run, frames, forces in zip(runs, found.frames, found.forces, strict=True):
        np.testing.assert_array_equal(forces, run.forces)
        assert len(frames) == len(forces) == run.steps + 1
        longest = np.linalg.norm(forces, axis=2).max(axis=1)
        np.testing.assert_allclose(longest, run.max_forces)
        here = collate([run.atomic_numbers], [frames[0]], torch.float64)
        np.testing.assert_allclose(forces[0], springs(here)[1])


def test_ends_and_the_force_that_no_molecule_has():
    bond = np.array([[0.0, 0, 0], [0, 0, 1.4]])
    run = Relaxation(np.array([6, 6]), bond)
    for k in range(4):
        run.record(bond + k, np.full((2, 3), float(k)), -1.0 - k, 9.0 - k)
    assert run.steps == 3 and not run.judge(5.9, 9)
    run.keep_ends()
    assert [frame[0, 0] for frame in run.frames] == [0.0, 3.0]
    assert [pull[0, 0] for pull in run.forces] == [0.0, 3.0]
    assert (run.energies, run.max_forces, run.steps) == ([-1.0, -4.0], [9.0, 6.0], 3)
    run.record(bond, np.zeros((2, 3)), -5.0, 9_999.0)
    assert not run.judge(0.05, 9) and run.status == "running"
    run.record(bond, np.zeros((2, 3)), -6.0, 10_001.0)
    assert run.judge(0.05, 9) and run.status == "exploded"
    assert run.reason == "a force of 10001 eV/Å"
