"""Batched BFGS against ASE's, and what it does with trouble."""

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS

from force2geo.potentials.checkpoint import Model
from force2geo.potentials.models import Potential
from force2geo.relax.bfgs import relax
from force2geo.relax.result import read_relaxed, write_relaxed


def springs(numbers, positions):
    """A smooth toy surface: every pair of atoms wants to be 1.5 Å apart."""
    results = []
    for x in positions:
        vector = x[:, None] - x
        distance = np.linalg.norm(vector, axis=2) + np.eye(len(x))
        stretch = np.where(np.eye(len(x)), 0.0, distance - 1.5)
        energy = 0.25 * 20 * (stretch**2).sum() * 0.5
        forces = -0.25 * 20 * 2 * (stretch / distance)[:, :, None] * vector
        results.append((float(energy), 0.5 * forces.sum(axis=1)))
    return results


class Springs(Calculator):
    implemented_properties = ["energy", "forces"]

    def __init__(self, evaluate):
        super().__init__()
        self.evaluate = evaluate

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        ((energy, forces),) = self.evaluate([atoms.numbers], [atoms.positions])
        self.results = {"energy": energy, "forces": forces}


def starts():
    rng = np.random.default_rng(0)
    sizes = [2, 5, 9, 3, 7, 4]
    return [np.full(n, 6) for n in sizes], [1.2 * rng.normal(size=(n, 3)) for n in sizes]


def check_against_ase(numbers, positions, evaluate, threshold, limit):
    runs = relax(numbers, positions, evaluate, threshold, limit, batch_size=3)
    for z, x, run in zip(numbers, positions, runs, strict=True):
        atoms = Atoms(z, x)
        atoms.calc = Springs(evaluate)
        path = []
        optimizer = BFGS(atoms, logfile=None)
        optimizer.attach(lambda atoms=atoms, path=path: path.append(atoms.positions.copy()))
        finished = optimizer.run(fmax=threshold, steps=limit)
        assert (run.status == "converged") == bool(finished)
        assert len(run.frames) == len(path)
        np.testing.assert_allclose(run.frames, path, atol=1e-6)
    return runs


def test_steps_are_those_of_ase(ethanol):
    numbers, positions = starts()
    runs = check_against_ase(numbers, positions, springs, 0.01, 60)
    assert all(np.diff(run.energies)[-1] < 0 for run in runs)


def test_steps_are_those_of_ase_on_a_network(ethanol):
    torch.manual_seed(1)
    backbone = {"name": "painn", "layers": 2, "features": 16, "basis_size": 16, "cutoff": 4.5}
    model = Model(Potential(backbone).double(), {}, "cpu")

    def evaluate(numbers, positions):
        molecules = [Atoms(z, x) for z, x in zip(numbers, positions, strict=True)]
        return [(r["energy"], r["forces"]) for r in model.predict(molecules)]

    numbers, positions = ethanol
    rng = np.random.default_rng(2)
    rattled = [positions + 0.1 * rng.normal(size=positions.shape) for _ in range(3)]
    check_against_ase([numbers] * 3, rattled, evaluate, 0.001, 25)


def test_an_exploding_molecule_is_told_and_harms_no_other():
    numbers, positions = starts()

    def evaluate(zs, xs):
        return [
            (np.nan, np.full_like(x, np.nan)) if len(x) == 5 else result
            for x, result in zip(xs, springs(zs, xs), strict=True)
        ]

    runs = relax(numbers, positions, evaluate, 0.01, 200)
    assert [r.status for r in runs].count("exploded") == 1 and runs[1].status == "exploded"
    assert all(r.status == "converged" for i, r in enumerate(runs) if i != 1)


def test_step_limit_and_zero_steps():
    numbers, positions = starts()
    limited = relax(numbers[1:], positions[1:], springs, 1e-9, 3)
    assert all(run.status == "step limit" and run.steps == 3 for run in limited)
    at_rest = relax([np.array([6, 6])], [np.array([[0.0, 0, 0], [1.5, 0, 0]])], springs)
    assert at_rest[0].status == "converged" and at_rest[0].steps == 0


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
