"""Where relaxations begin and end, and which geometries DFT judges."""

import json

import h5py
import miniature_known as known
import numpy as np
import pytest
from miniature_springs import DEPTH, STIFFNESS


def paths(file):
    """`{cid: (frames (T,n,3), forces (T,n,3), energies (T,), steps, status)}`."""
    with h5py.File(file) as data:
        data = {name: data[name][:] for name in data}
    found = {}
    for row, cid in enumerate(data["cid"]):
        own = slice(*data["frame_offset"][row : row + 2])
        atoms = np.diff(data["ptr"])[row]
        found[cid.decode()] = (
            data["frame_positions"][own].reshape(-1, atoms, 3),
            data["frame_forces"][own].reshape(-1, atoms, 3),
            data["frame_energy"][slice(*data["frame_ptr"][row : row + 2])],
            int(data["steps"][row]),
            data["status"][row].decode(),
        )
    return found


def test_springs_come_to_rest_where_they_must(sprung, selection):
    found = paths(sprung / "relax/d_opt.Springs.h5")
    assert list(found) == selection["d_opt"]
    for cid, (frames, forces, energies, steps, status) in found.items():
        np.testing.assert_allclose(frames[0], known.start(cid), atol=1e-9)
        minimum = known.reference(cid) + 0.02 * known.pattern(cid, 9)
        assert status == "converged" and steps == len(frames) - 1 > 0
        for frame, force, energy in zip(frames, forces, energies, strict=True):
            way = frame - minimum
            np.testing.assert_allclose(force, -STIFFNESS * way, atol=1e-9)
            assert energy == pytest.approx(DEPTH + STIFFNESS / 2 * (way**2).sum(), abs=1e-9)
        largest = STIFFNESS * np.linalg.norm(frames - minimum, axis=2).max(axis=1)
        assert largest[-1] < 0.05 <= largest[:-1].min()
    with h5py.File(sprung / "relax/d_opt.Springs.h5") as data:
        ends = np.concatenate([frames[-1] for frames, *_ in found.values()])
        np.testing.assert_array_equal(data["positions"][:], ends)


def test_first_step_is_bfgs(sprung, selection):
    # Hessian 70 eV/Å² to begin with, no atom more than 0.2 Å.
    for frames, forces, *_ in paths(sprung / "relax/d_opt.Springs.h5").values():
        step = forces[0] / 70
        step *= min(1, 0.2 / np.linalg.norm(step, axis=1).max())
        np.testing.assert_allclose(frames[1] - frames[0], step, atol=1e-9)


def test_potential_relaxes_the_whole_subset_from_its_first_dft_step(relaxed):
    found = paths(relaxed / "relax/subset.h5")
    assert list(found) == known.ELIGIBLE
    for cid, (frames, _, _, steps, status) in found.items():
        np.testing.assert_allclose(frames[0], known.start(cid), atol=1e-9)
        assert steps <= 3 and (steps == 3 or status != "step limit")


def hartree_fock(cid, positions):
    """RHF/STO-3G energy (Hartree) and largest force (eV/Å), by PySCF itself."""
    from pyscf import gto, scf

    numbers = known.base(cid)[0].tolist()
    molecule = gto.M(
        atom=list(zip(numbers, positions.tolist(), strict=True)), basis="sto-3g", verbose=0
    )
    field = scf.RHF(molecule).run(conv_tol=1e-10)
    slopes = field.nuc_grad_method().kernel()
    return field.e_tot, np.linalg.norm(slopes, axis=1).max() * known.HARTREE / known.BOHR


def test_single_points_are_of_start_end_and_reference(computed, selection, points_table):
    table = points_table(computed / "dft/d_opt.Springs.csv")
    assert len(table) == 9
    found = paths(computed / "relax/d_opt.Springs.h5")
    for cid in selection["d_opt"]:
        ends = {"start": known.start(cid), "reference": known.reference(cid)}
        ends["relaxed"] = found[cid][0][-1]
        for name, positions in ends.items():
            energy, force = hartree_fock(cid, positions)
            row = table.loc[(cid, name)]
            assert row["energy"] == pytest.approx(energy, abs=2e-8), (cid, name)
            if name == "relaxed":
                assert row["max_force"] == pytest.approx(force, abs=2e-4)


def test_single_points_of_another_level_are_not_taken_from_the_cache(computed, points_table):
    computed(
        "dft", "--relaxed", "@relax/d_opt.Springs.h5", "--conformers", "@packed/downstream.h5",
        "--cache", "@dft/cache", "--out", "@dft/again.csv",
    )  # fmt: skip
    again, first = (
        points_table(computed / f"dft/{name}.csv") for name in ("again", "d_opt.Springs")
    )
    assert (again["seconds"] == first["seconds"]).all()  # nothing was computed again
    settings = computed.json("settings/dft.json") | {"conv_tol": 1e-6}
    (computed / "settings/coarse.json").write_text(json.dumps(settings))
    computed(
        "dft", "--relaxed", "@relax/d_opt.Springs.h5", "--conformers", "@packed/downstream.h5",
        "--cache", "@dft/cache", "--out", "@dft/coarse.csv", settings="coarse",
    )  # fmt: skip
    coarse = points_table(computed / "dft/coarse.csv")
    assert (coarse["seconds"] != first["seconds"]).all()
