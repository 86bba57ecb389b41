"""Level of theory against real results, and failures that stay rows."""

from dataclasses import replace

import numpy as np
import pytest

from force2geo.dft import single_points as module
from force2geo.dft.label import energies_and_gradients
from force2geo.dft.level import B3LYP, Level, build_mean_field
from force2geo.dft.single_points import Task, compute, single_points
from force2geo.units import GRADIENT_TO_FORCE

WATER = np.array([8, 1, 1]), np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])


@pytest.mark.parametrize("name", ["0078", "0095", "0163", "0184"])
def test_level_is_that_of_the_shared_trajectories(shared_data, name):
    # HCN, H2CS, H2CO and CH3F.
    data = np.load(shared_data / f"dft_trajectories/{name}.npz", allow_pickle=False)
    ends = [0, -1]
    energies, gradients, _ = energies_and_gradients(
        data["z"], [data["dft_pos"][end] for end in ends]
    )
    assert np.abs(energies - data["dft_energy"][ends]).max() < 1e-6
    apart = np.abs(gradients - data["dft_grad"][ends]).max(axis=(1, 2))
    # The last frame's field starts from another density than it did there; its threshold leaves
    # more of a slope than of an energy.
    assert apart[0] < 1e-6 and apart[1] < 1e-4


def test_b3lyp_is_the_form_gamess_uses(shared_data):
    from force2geo.logs import read_log

    log = read_log(shared_data / "logs/gamess/us2017_dvb_gopt.out")
    level = Level(basis="sto-3g", density_fit=True, grid_level=1)
    fitted = build_mean_field(log.atomic_numbers, log.positions[0], level)
    fitted.kernel()
    gradient = fitted.nuc_grad_method().kernel()
    assert np.abs(gradient - log.gradients[0]).max() < 3e-4
    # GAMESS does not fit: it is the last 0.0025 Hartree. Another form of B3LYP is 0.26 away.
    exact = build_mean_field(
        log.atomic_numbers, log.positions[0], replace(level, density_fit=False)
    )
    assert exact.kernel(dm0=fitted.make_rdm1()) == pytest.approx(log.energies[0], abs=1e-4)


def test_forces_are_the_slope_of_the_energy():
    numbers, positions = WATER
    task = Task(("w", "x"), numbers, positions, forces=True)
    result = compute(task, B3LYP)
    assert result.error == "" and result.energy == pytest.approx(-76.38, abs=0.03)
    step = 1e-3
    shifted = [positions.copy(), positions.copy()]
    shifted[0][1, 1] += step
    shifted[1][1, 1] -= step
    (up, down), _, _ = energies_and_gradients(numbers, shifted)
    (_,), (gradient,), _ = energies_and_gradients(numbers, [positions])
    slope = -(up - down) / (2 * step) * 27.211386
    assert gradient[1, 1] * GRADIENT_TO_FORCE == pytest.approx(slope, abs=2e-3)


def test_calculator_gives_what_single_points_give():
    from ase import Atoms
    from ase.calculators.calculator import CalculationFailed

    from force2geo.dft.calculator import DFT

    numbers, positions = WATER
    level = {"method": "hf", "basis": "sto-3g"}
    atoms = Atoms(numbers, positions, calculator=DFT(**level))
    for shift in (0.0, 0.05):  # the second starts from the first's density
        atoms.positions[1, 2] += shift
        task = Task(("w", "x"), numbers, atoms.positions, forces=True)
        expected = compute(task, Level(**level))
        assert atoms.get_potential_energy() / 27.211386 == pytest.approx(expected.energy, abs=1e-6)
        largest = np.linalg.norm(atoms.get_forces(), axis=1).max()
        assert largest == pytest.approx(expected.max_force, abs=1e-3)
    atoms.positions[2] = atoms.positions[1] + 1e-9
    with pytest.raises((CalculationFailed, RuntimeError, ValueError, np.linalg.LinAlgError)):
        atoms.get_potential_energy()


def test_calculator_has_the_charge_and_spin_of_the_atoms():
    from ase import Atoms

    from force2geo.dft.calculator import DFT

    bond = np.array([[0, 0, 0], [0, 0, 1.4 * 0.529177210544]])
    atoms = Atoms("H2", bond, calculator=DFT(method="hf", basis="sto-3g", density_fit=False))
    assert atoms.get_potential_energy() / 27.211386 == pytest.approx(-1.1167, abs=3e-4)
    atoms.info["charge"] = 1  # ASE alone would not notice
    assert atoms.get_potential_energy() / 27.211386 == pytest.approx(-0.5385, abs=3e-4)
    atoms.info.update(charge=0, multiplicity=3)
    assert atoms.get_potential_energy() / 27.211386 == pytest.approx(-0.5318, abs=3e-4)


def test_failures_are_rows_and_results_are_kept(tmp_path):
    numbers, positions = WATER
    coincident = positions.copy()
    coincident[2] = coincident[1]
    tasks = [
        Task(("a", "start"), numbers, positions),
        Task(("b", "start"), numbers, np.full_like(positions, np.nan)),
        Task(("c", "start"), numbers, coincident),
        Task(("d", "start"), np.array([8, 1]), positions[:2]),
    ]
    level = Level(method="hf", basis="sto-3g")
    results = {task.key[0]: r for task, r in single_points(tasks, level, tmp_path / "cache", 2)}
    assert results["a"].error == "" and results["a"].energy == pytest.approx(-74.96, abs=0.01)
    for key in "bcd":
        assert results[key].error and results[key].energy is None, key
    # OH with an even spin is a wrong question; what is wrong with the others is their geometry.
    outcomes = [results[key].outcome for key in "abcd"]
    assert outcomes == ["computed", "failed", "failed", "not computed"]
    assert len(list((tmp_path / "cache").glob("*.json"))) == 3
    again = {task.key[0]: r for task, r in single_points(tasks[:1], level, tmp_path / "cache", 1)}
    assert again["a"] == results["a"]


def test_a_field_that_does_not_converge_is_helped(monkeypatch):
    numbers, positions = WATER
    level = Level(method="hf", basis="sto-3g")
    expected = compute(Task(("a", "x"), numbers, positions), level)
    assert expected.aid == "" and expected.energy is not None
    plain = module.build_mean_field

    def hasty(*arguments):
        field = plain(*arguments)
        field.max_cycle = 2
        return field

    monkeypatch.setattr(module, "build_mean_field", hasty)
    helped = compute(Task(("a", "x"), numbers, positions), level)
    assert helped.aid == "level shift" and abs(helped.energy - expected.energy) < 1e-7
