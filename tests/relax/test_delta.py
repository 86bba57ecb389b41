"""Relaxations on a baseline."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.mixing import SumCalculator
from ase.io import read
from ase.optimize import BFGS
from tblite.ase import TBLite

import force2geo
from force2geo.calling.named import record_of
from force2geo.cli import main
from force2geo.dft.hessian import surface_of
from force2geo.dft.points import Molecule
from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential
from force2geo.relax.batched import relax_runs
from force2geo.relax.evaluators import Evaluator, from_checkpoint, of_model
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import read_relaxed
from force2geo.relax.resumable import relax_resumably
from toy_baselines import WELLS

SETTINGS = {"optimizer": "bfgs", "force_threshold": 0.02, "max_steps": 100}


@pytest.fixture
def checkpoint(tmp_path):
    return made(tmp_path / "m.pt", "gfn2-xtb")


def made(path, baseline):
    torch.manual_seed(1)
    backbone = {"name": "painn", "layers": 2, "features": 8, "basis_size": 12, "cutoff": 3.5}
    network = Potential(backbone)
    network.config["baseline"] = record_of(baseline)
    save(network.double(), path, {})
    return path


def starts(ethanol, count=3):
    numbers, x = ethanol
    rng = np.random.default_rng(5)
    runs = [
        Relaxation(numbers, x + rng.normal(scale=0.05, size=x.shape), place)
        for place in range(count)
    ]
    water = np.array([[0, 0, 0], [1.05, 0, 0], [-0.3, 0.9, 0.1]])
    return [*runs, Relaxation(np.array([8, 1, 1]), water, count)]


def summed(model):
    """The same sum by others' hands."""
    xtb = TBLite(method="GFN2-xTB", verbosity=0, accuracy=0.01)
    return SumCalculator([model.network_alone().calculator(), xtb])


@pytest.mark.parametrize("threads", [1, 2])
def test_ends_are_those_of_ase_with_the_same_sum(checkpoint, ethanol, threads):
    model = force2geo.load(checkpoint)
    model.baseline.pool.size = 2
    runs = starts(ethanol)
    relax_runs(runs, of_model(model), 0.02, 100, threads=threads)
    for run in runs:
        atoms = Atoms(run.atomic_numbers, run.frames[0], calculator=summed(model))
        optimizer = BFGS(atoms, logfile=None)
        assert optimizer.run(fmax=0.02, steps=100)
        assert run.status == "converged" and run.steps == optimizer.nsteps > 3
        np.testing.assert_allclose(run.frames[-1], atoms.positions, atol=1e-6)
        assert run.energies[-1] == pytest.approx(atoms.get_potential_energy(), abs=1e-6)


def test_an_scf_that_fails_is_that_molecule_s_status(tmp_path, ethanol):
    evaluator = from_checkpoint(made(tmp_path / "w.pt", WELLS))
    runs = starts(ethanol)
    pair = np.array([[0.0, 0, 0], [0, 0, 1.4]])
    runs.insert(1, Relaxation(np.array([1, 35]), pair, 7))
    runs.insert(3, Relaxation(np.array([1, 53]), pair, 8))
    relax_runs(runs, evaluator.evaluate, 0.02, 3)
    assert runs[1].status == runs[3].status == "exploded" and runs[1].steps == 0
    assert runs[1].reason == "RuntimeError: no bromine in 2 atoms"
    assert runs[3].reason == "its process died (exit code 7)"
    assert all(run.steps == 3 for i, run in enumerate(runs) if i not in (1, 3))


def test_an_interrupted_relaxation_goes_on_in_mid_path(checkpoint, ethanol, tmp_path):
    whole = starts(ethanol)
    relax_runs(whole, from_checkpoint(checkpoint).evaluate, 0.02, 100)
    calls = []

    def stopped(batch):
        calls.append(batch.size)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return evaluator.evaluate(batch)

    evaluator = from_checkpoint(checkpoint)
    output = tmp_path / "out.h5"
    broken = Evaluator(stopped, evaluator.refuse, evaluator.origin)
    with pytest.raises(KeyboardInterrupt):
        relax_resumably(output, starts(ethanol), broken, SETTINGS)
    asked = []
    evaluate = evaluator.evaluate
    evaluator.evaluate = lambda batch: asked.append(batch.size) or evaluate(batch)
    journal = relax_resumably(output, starts(ethanol), evaluator, SETTINGS)
    for run, expected in zip(journal.results(), whole, strict=True):
        assert run.status == expected.status and run.steps == expected.steps
        np.testing.assert_allclose(run.frames, expected.frames, atol=1e-6)
    assert len(asked) < max(run.steps for run in whole)  # and did not begin anew
    journal.close()


def test_the_command_relaxes_and_finishing_s_hessian_is_the_sum_s(checkpoint, ethanol, tmp_path):
    (tmp_path / "a.smi").write_text("CO\nO\n")
    paths = ["--paths", str(tmp_path / "p.h5")]
    command = ["relax", str(tmp_path / "a.smi"), str(tmp_path / "b.xyz"), "--fmax", "0.02"]
    assert main([*command, "--model", str(checkpoint), *paths]) == 0
    found = read_relaxed(tmp_path / "p.h5")
    model = force2geo.load(checkpoint)
    for atoms, value in zip(read(tmp_path / "b.xyz", ":"), found.energy, strict=True):
        assert atoms.info["status"] == "converged"
        (row,) = model.predict(Atoms(atoms.numbers, atoms.positions))
        assert row["energy"] == pytest.approx(value, abs=1e-5)
    numbers, x = np.array([8, 1, 1]), starts(ethanol)[-1].positions
    molecule = Molecule(numbers, x)
    slope, hessian = surface_of(from_checkpoint(checkpoint))(molecule)
    atoms = Atoms(numbers, x, calculator=summed(model))
    np.testing.assert_allclose(slope, -atoms.get_forces(), atol=1e-5)
    rows = []
    for move in 0.004 * np.eye(9).reshape(9, 3, 3):
        pulls = []
        for sign in (1, -1):
            atoms.positions = x + sign * move
            pulls.append(atoms.get_forces().ravel())
        rows.append((pulls[1] - pulls[0]) / 0.008)
    np.testing.assert_allclose(hessian, rows, atol=0.05)
    assert abs(hessian).max() > 20
