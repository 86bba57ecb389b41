"""Relaxations whose every number is known: harmonic wells, by hand."""

import re

import ase.optimize
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from test_relaxation import Alone, fresh, springs, starts

from force2geo.relax.batched import relax, relax_runs
from force2geo.relax.optimizers import BFGS, _eigh
from force2geo.relax.result import LAYOUT, read_relaxed, read_runs, write_relaxed

# One atom in a well at the origin each: curvatures in eV/Å² and starts in Å.
CURVATURES = np.array([70.0, 35.0, 7.0, 14.0])
PLACES = np.array([[0.06, -0.08, 0.0], [0.0, 0.0, 0.1], [0.3, 0.4, 0.0], [1.0, 0.0, 0.0]])


def wells(batch):
    """E = k/2 r², the curvature k by atomic number."""
    k = torch.tensor(CURVATURES)[batch.atomic_numbers.long() - 1]
    energies = 0.5 * k * (batch.positions**2).sum(dim=1)
    return energies, -k[:, None] * batch.positions


def paths_by_hand():
    """BFGS assumes 70 eV/Å², so that it goes k/70 of the way, at most 0.2 Å; then it knows k."""
    first = 1 - CURVATURES / 70
    x = PLACES
    return [
        [x[0], 0 * x[0]],
        [x[1], first[1] * x[1], 0 * x[1]],
        # 0.5 Å off with a tenth of the curvature: 0.05 Å; then steps of 0.2 Å, and what is left.
        [x[2], 0.9 * x[2], 0.5 * x[2], 0.1 * x[2], 0 * x[2]],
        [x[3], *(np.array([left, 0, 0]) for left in (0.8, 0.6, 0.4, 0.2, 0.0))],
    ]


def test_a_harmonic_path_is_the_one_by_hand(tmp_path):
    numbers = [np.array([z]) for z in (1, 2, 3, 4)]
    runs = relax(numbers, PLACES[:, None], wells, 1e-6, 9)
    for run, path, k in zip(runs, paths_by_hand(), CURVATURES, strict=True):
        np.testing.assert_allclose(np.array(run.frames)[:, 0], path, atol=1e-12)
        np.testing.assert_allclose(np.array(run.forces)[:, 0], -k * np.array(path), atol=1e-9)
        squares = (np.array(path) ** 2).sum(axis=1)
        np.testing.assert_allclose(run.energies, k / 2 * squares, atol=1e-12)
        np.testing.assert_allclose(run.max_forces, k * np.sqrt(squares), atol=1e-9)
        assert run.status == "converged" and run.converged and run.stationary
        assert run.steps == len(path) - 1
    write_relaxed(tmp_path / "r.h5", ["1", "2", "3", "4"], runs)
    found = read_relaxed(tmp_path / "r.h5")
    np.testing.assert_allclose(found.energy, 0, atol=1e-12)
    np.testing.assert_allclose([f[0] for f in found.frame_energy], [0.35, 0.175, 0.875, 7.0])
    np.testing.assert_allclose([f[0] for f in found.frame_max_force], [7.0, 3.5, 3.5, 14.0])
    assert found.steps.tolist() == [1, 2, 4, 5]


def test_threshold_and_limit_are_where_they_are():
    # The third well's forces on its way: 3.5, 3.15, 1.75, 0.35 and 0 eV/Å.
    for threshold, limit, steps, status in (
        (3.6, 9, 0, "converged"), (3.5, 0, 0, "step limit"), (1.8, 9, 2, "converged"),
        (0.35, 9, 4, "converged"), (0.36, 9, 3, "converged"), (0.3, 3, 3, "step limit"),
    ):  # fmt: skip
        (run,) = relax([np.array([3])], [PLACES[2:3]], wells, threshold, limit)
        assert (run.steps, run.status) == (steps, status)
        assert run.stationary == run.converged == (status == "converged")
    # A force of 3.5 eV/Å, to the last bit, is not below itself.
    (run,) = relax([np.array([2])], [PLACES[1:2]], wells, 3.5, 0)
    assert run.max_forces == [3.5] and run.status == "step limit"


def test_the_hessian_is_the_wells_along_the_path_and_the_guess_across():
    optimizer = BFGS(1, 3, torch.device("cpu"))
    direction = np.array([0.6, 0.8, 0.0])
    for length in (0.5, 0.45):
        place = torch.tensor(length * direction)[None]
        optimizer.step(place, -7.0 * place)
    (hessian,) = optimizer.state["hessian"].numpy()
    np.testing.assert_allclose(hessian @ direction, 7.0 * direction, atol=1e-9)
    for across in ([0.8, -0.6, 0.0], [0.0, 0.0, 1.0]):
        np.testing.assert_allclose(hessian @ across, 70.0 * np.array(across), atol=1e-9)


@pytest.mark.parametrize(("name", "part"), [("bfgs", 1 / 70), ("lbfgs", 1 / 70), ("fire", 0.01)])
def test_first_steps(name, part):
    # FIRE: velocity 0.1 f, moved for 0.1; the others f over the curvature they assume.
    (run,) = relax([np.array([3])], [PLACES[2:3]], wells, 1e-6, 1, optimizer=name)
    step = run.frames[1] - run.frames[0]
    np.testing.assert_allclose(step, part * -7.0 * PLACES[2:3], atol=1e-12)


def pair(rest):
    """Two atoms in a spring of 20 eV/Å² that is at rest at `rest` Å."""

    def evaluate(batch):
        x = batch.positions.view(-1, 2, 3)
        apart = x[:, 1] - x[:, 0]
        length = apart.norm(dim=1)
        pull = 20 * (length - rest)[:, None] * apart / length[:, None]
        return 10 * (length - rest) ** 2, torch.stack([pull, -pull], dim=1).view(-1, 3)

    return evaluate


# Covalent radii of two carbons add up to 1.52 Å, of two chlorines, which may be alone, to 2.04 Å.
@pytest.mark.parametrize(("number", "bond"), [(6, 1.52), (17, 2.04)])
@pytest.mark.parametrize(
    ("part", "status"), [(1.0, "converged"), (1.5, "converged"), (1.7, "dissociated")]
)
def test_a_bond_is_judged_by_the_start_and_broken_at_1_6_radii(number, bond, part, status):
    start = np.array([[0.0, 0, 0], [0.9 * bond, 0, 0]])
    for whole in (True, False):
        (run,) = relax(
            [np.array([number] * 2)], [start], pair(part * bond), 1e-3, 60, whole_paths=whole
        )
        assert run.status == status and run.converged == (status == "converged")
        assert run.stationary
        length = np.linalg.norm(run.frames[-1][1] - run.frames[-1][0])
        assert length == pytest.approx(part * bond, abs=1e-3)


def still(batch):
    """No force anywhere."""
    return torch.zeros(batch.size, dtype=torch.float64), torch.zeros_like(batch.positions)


def test_an_atom_torn_off_at_the_start_is_no_convergence(ethanol):
    numbers, positions = ethanol
    torn = positions.copy()
    torn[8] += 4.0
    whole, (off,) = relax([numbers], [positions], still), relax([numbers], [torn], still)
    assert whole[0].status == "converged" and whole[0].converged
    assert off.status == "dissociated" and off.stationary and not off.converged
    assert off.reason == "atom 8 (H) stood apart at the start already"
    # An ion, a noble gas and two molecules side by side are what they are.
    salt = np.array([[0.0, 0, 0], [6.0, 0, 0]])
    for z in ([11, 17], [2, 10]):
        (run,) = relax([np.array(z)], [salt], still)
        assert run.status == "converged"
    far = np.concatenate([positions, positions + 9.0])
    (run,) = relax([np.concatenate([numbers, numbers])], [far], still)
    assert run.status == "converged"


def test_bonds_that_a_file_names_are_judged_by(ethanol):
    numbers, positions = ethanol
    bonds = np.array([[0, 1], [1, 2], [0, 3], [0, 4], [0, 5], [1, 6], [1, 7], [2, 8]])
    torn = positions.copy()
    torn[8] += 4.0
    stretched = positions.copy()
    stretched[8] = positions[2] + 1.5 * (positions[8] - positions[2])
    for place, named, status in (
        (positions, bonds, "converged"), (torn, bonds, "dissociated"),
        (stretched, bonds, "converged"), (positions, bonds[:-1], "converged"),
        (positions, np.array([*bonds, [0, 8]]), "bonds changed"),
    ):  # fmt: skip
        (run,) = fresh([numbers], [place])
        run.bonds = named
        relax_runs([run], still)
        assert run.status == status


def test_fixed_atoms_stay_and_the_rest_goes_as_in_ase():
    numbers, positions = starts()
    masks = [
        None,
        np.zeros((5, 3), bool),
        None,
        np.zeros((3, 3), bool),
        np.ones((7, 3), bool),
        None,
    ]
    masks[1][[0, 3]] = True
    masks[3][1] = [True, False, True]
    held = {1: FixAtoms([0, 3]), 3: FixCartesian([1], (True, False, True)), 4: FixAtoms(range(7))}
    runs = fresh(numbers, positions)
    for run, mask in zip(runs, masks, strict=True):
        run.fixed = mask
    relax_runs(runs, springs, 0.01, 40, batch_atoms=20)
    for place, run in enumerate(runs):
        atoms = Atoms(numbers[place], positions[place], constraint=held.get(place))
        atoms.calc = Alone(springs)
        path = []
        optimizer = ase.optimize.BFGS(atoms, logfile=None)
        optimizer.attach(lambda atoms=atoms, path=path: path.append(atoms.positions.copy()))
        optimizer.run(fmax=0.01, steps=40)
        np.testing.assert_allclose(run.frames, path, atol=1e-6)
        if run.fixed is not None:
            assert (np.array(run.frames)[:, run.fixed] == positions[place][run.fixed]).all()
            assert not np.array(run.forces)[:, run.fixed].any()
    assert runs[4].steps == 0 and runs[4].stationary


def test_one_without_a_hessian_ends_alone():
    numbers, positions = starts()

    def evaluate(batch):
        energies, forces = springs(batch)
        # A force that nothing changes: its curvature is 0/0.
        flat = torch.repeat_interleave(batch.atoms_per_molecule == 5, batch.atoms_per_molecule)
        return energies, forces.masked_fill(flat[:, None], 1.0)

    runs = fresh(numbers, positions)
    told = []
    relax_runs(runs, evaluate, 1e-2, 40, on_finished=lambda run: told.append(run.place))
    assert sorted(told) == list(range(6))
    without = relax(numbers[:1] + numbers[2:], positions[:1] + positions[2:], springs, 1e-2, 40)
    assert runs[1].status == "exploded" and runs[1].reason.startswith("bfgs finds no step")
    assert np.isfinite(runs[1].frames).all() and runs[1].steps == 1
    for one, other in zip(runs[:1] + runs[2:], without, strict=True):
        np.testing.assert_allclose(one.frames, other.frames, atol=1e-8)
    # Nor does its path stop the others when all are taken up again.
    again = fresh(numbers, positions)
    for name in ("frames", "forces", "energies", "max_forces"):
        setattr(again[1], name, list(getattr(runs[1], name)))
    again[1].positions, again[1].steps = runs[1].frames[-1], runs[1].steps
    relax_runs(again, evaluate, 1e-2, 40)
    assert again[1].status == "exploded"
    np.testing.assert_allclose(again[2].frames, runs[2].frames, atol=1e-8)


def test_eigenvectors_that_cannot_be_found_are_one_molecules_alone(monkeypatch):
    whole = torch.linalg.eigh

    def fails(matrices):
        if (matrices[:, 0, 0] == 13.0).any():
            raise torch.linalg.LinAlgError("failed to converge")
        return whole(matrices)

    monkeypatch.setattr(torch.linalg, "eigh", fails)
    matrices = torch.diag_embed(torch.tensor([[1.0, 2.0], [13.0, 1.0], [5.0, 4.0]]))
    values, vectors = _eigh(matrices)
    np.testing.assert_allclose(values[[0, 2]], [[1, 2], [4, 5]])
    assert values[1].isnan().all() and vectors[1].isnan().all() and not vectors[2].isnan().any()


def test_the_file_says_what_is_in_it(tmp_path):
    import h5py

    numbers, positions = starts()
    runs = relax(numbers, positions, springs, 0.05, 50)
    runs[2].charge, runs[2].multiplicity = -1, 2
    names = ["water", "my molecule", "", "é", "5", "6"]
    write_relaxed(tmp_path / "r.h5", ["1"] * 6, runs, names)
    with h5py.File(tmp_path / "r.h5") as file:
        assert [name.decode() for name in file["name"][:]] == names
        assert file.attrs["layout"] == LAYOUT
        assert set(file) <= set(re.findall(r"\w+", LAYOUT))
        units = {name: file[name].attrs.get("units") for name in file}
        # By the layout alone: the second molecule's third frame.
        start = file["frame_offset"][1]
        atoms = file["ptr"][2] - file["ptr"][1]
        frames = file["frame_positions"][start : file["frame_offset"][2]].reshape(-1, atoms, 3)
        np.testing.assert_array_equal(frames[2], runs[1].frames[2])
    assert units["positions"] == units["frame_positions"] == "angstrom"
    assert units["energy"] == units["frame_energy"] == "eV"
    assert units["max_force"] == units["frame_forces"] == units["frame_max_force"] == "eV/angstrom"
    found = read_relaxed(tmp_path / "r.h5")
    assert found.charge.tolist() == [0, 0, -1, 0, 0, 0]
    assert found.multiplicity.tolist() == [1, 1, 2, 1, 1, 1]
    (one,) = read_runs(tmp_path / "r.h5", [2])
    assert (one.charge, one.multiplicity, one.stationary) == (-1, 2, runs[2].stationary)
    with h5py.File(tmp_path / "r.h5", "a") as file:  # as it was before there were ions
        for name in ("charge", "multiplicity", "stationary", "name"):
            del file[name]
    assert read_relaxed(tmp_path / "r.h5").charge.tolist() == [0] * 6
    assert next(read_runs(tmp_path / "r.h5")).multiplicity == 1
