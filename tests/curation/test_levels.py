"""Which energies are on one scale, and what happens to those that are not."""

import itertools
import json
from collections import Counter

import h5py
import numpy as np
import pytest

from force2geo.cli import main
from force2geo.curation.levels import Level, align, fit_levels, level_of, mixed_levels
from force2geo.trajectory import Trajectory
from force2geo.units import HARTREE_TO_EV

Z = np.array([8, 1, 1], dtype=np.uint8)
MOPAC_AUX = Level("mopac", "pm3", "", None)
MOPAC_TABLE = Level("mopac", "pm3", "pm3", None)
GAMESS_PM3 = Level("gamess", "pm3", "pm3", None)
GAMESS = Level("gamess", "b3lyp(vwn5)", "6-31g*", False)
PYSCF = Level("pyscf", "b3lyp(vwn5)", "6-31g*", False)
SMASH = Level("smash", "b3lyp(vwn-rpa)", "6-31g*", True)


def test_heats_of_formation_and_totals_are_two_scales():
    assert MOPAC_AUX.scale == MOPAC_TABLE.scale != GAMESS_PM3.scale
    assert GAMESS.scale == PYSCF.scale != SMASH.scale
    assert mixed_levels(Counter({MOPAC_AUX: 3, MOPAC_TABLE: 2})) == ""
    warning = mixed_levels(Counter({MOPAC_AUX: 3, GAMESS_PM3: 2}))
    assert "2 energy scales" in warning and "3 of mopac pm3; 2 of gamess pm3" in warning
    scales = [GAMESS, SMASH, GAMESS._replace(spherical=True), GAMESS._replace(basis="sto-3g")]
    assert all(a.scale != b.scale for a, b in itertools.combinations(scales, 2))


def test_a_level_that_training_never_saw_is_placed_by_its_scale_or_not_at_all():
    shift = np.zeros(101)
    shift[8], shift[1] = 2.0, 0.5
    references = {GAMESS: np.ones(101), SMASH: 1 + shift}
    move, energies = align(references), np.array([-10.0, -11.0])
    np.testing.assert_allclose(move(GAMESS, Z, energies), energies)
    np.testing.assert_allclose(move(SMASH, Z, energies), energies - 3.0)
    np.testing.assert_allclose(move(PYSCF, Z, energies), energies)
    firefly = SMASH._replace(program="firefly")
    np.testing.assert_allclose(move(firefly, Z, energies), energies - 3.0)
    assert np.isnan(move(MOPAC_AUX, Z, energies)).all()
    assert np.isnan(move(SMASH._replace(spherical=False), Z, energies)).all()


def store(folder, stages, write_shard_file, **more):
    molecules = [
        Trajectory(f"{i:09d}", Z, stages={"dft_1st": stage}, **more)
        for i, stage in enumerate(stages)
    ]
    write_shard_file(folder / "s.lmdb", molecules)
    (folder / "selection.json").write_text(json.dumps({
        "random": {"train": ["000000000", "000000001"], "val": ["000000002"], "test": []}
    }))  # fmt: skip


def pack(folder, **more):
    use = {"from": "pubchemqcr", "split": "random", "sources": ["dft_1st"], **more}
    (folder / "pack.json").write_text(json.dumps(use))
    return main([
        "data", "--settings", str(folder / "pack.json"), "--selection",
        str(folder / "selection.json"), "--store", str(folder), "--out", str(folder / "x.h5"),
    ])  # fmt: skip


def test_what_cannot_be_brought_to_the_scale_is_left_out_and_said(
    tmp_path, make_stage, write_shard_file, capsys
):
    stages = [
        make_stage(2, 3), make_stage(2, 3), make_stage(3, 3, functional="b3lyp(vwn-rpa)"),
    ]  # fmt: skip
    store(tmp_path, stages, write_shard_file)
    assert pack(tmp_path, reference_per_level=True) == 0
    said = capsys.readouterr()
    assert "3 snapshots of pyscf b3lyp(vwn-rpa)/6-31g*, Cartesian left out" in said.err
    with h5py.File(tmp_path / "x.h5") as file:
        assert len(file["energy"]) == 4


def test_steps_without_energy_or_gradient_are_not_packed(
    tmp_path, make_stage, write_shard_file, capsys
):
    stages = [make_stage(3, 3) for _ in range(3)]
    stages[0].gradients[1] = np.nan
    stages[1].energies[2] = np.nan
    stages[2].gradients[0, 2, 1] = np.nan
    store(tmp_path, stages, write_shard_file)
    assert pack(tmp_path) == 0
    assert "3 snapshots without energy or gradient left out" in capsys.readouterr().out
    whole = [[0, 2], [0, 1], [1, 2]]
    with h5py.File(tmp_path / "x.h5") as file:
        energies = [s.energies[w] for s, w in zip(stages, whole, strict=True)]
        np.testing.assert_allclose(
            file["energy"][:], np.concatenate(energies) * 27.211386, rtol=2e-8
        )
        forces = np.concatenate([s.gradients[w] for s, w in zip(stages, whole, strict=True)])
        np.testing.assert_allclose(
            file["forces"][:], -forces.reshape(-1, 3) * 51.42206747, rtol=1e-5, atol=1e-7
        )
        assert file["split"][:].tolist() == [0, 0, 0, 0, 1, 1]
        assert file.attrs["charge_states"].tolist() == [[0, 1]]


def test_the_file_names_the_levels_packed_the_most_frequent_first(
    tmp_path, make_stage, write_shard_file, capsys
):
    # A level of one program, twice spelt, is one name; what has no whole step is not packed.
    stages = [
        make_stage(3, 3), make_stage(2, 3, "pm3"), make_stage(2, 3, "pm3", basis=""),
        make_stage(2, 3, program="smash", gradients=np.full((2, 3, 3), np.nan)),
    ]  # fmt: skip
    store(tmp_path, stages, write_shard_file)
    split = {"train": [f"{i:09d}" for i in range(4)], "val": [], "test": []}
    (tmp_path / "selection.json").write_text(json.dumps({"random": split}))
    for more in ({}, {"reference_per_level": True}):
        assert pack(tmp_path, **more) == 0
        with h5py.File(tmp_path / "x.h5") as file:
            assert list(file.attrs["packed_levels"]) == [
                "pyscf pm3", "pyscf b3lyp(vwn5)/6-31g*, Cartesian",
            ]  # fmt: skip
            assert ("level_references" in file.attrs) == bool(more)
        assert "smash" not in "".join(capsys.readouterr())


def test_ions_and_radicals_are_packed_only_when_asked_for(
    tmp_path, make_stage, write_shard_file, capsys
):
    stages = [make_stage(2, 3) for _ in range(3)]
    states = [(0, 1), (1, 1), (0, 3)]
    write_shard_file(
        tmp_path / "s.lmdb",
        [
            Trajectory(f"{i:09d}", Z, charge=q, multiplicity=m, stages={"dft_1st": stage})
            for i, (stage, (q, m)) in enumerate(zip(stages, states, strict=True))
        ],
    )
    split = {"train": ["000000000", "000000001"], "val": ["000000002"], "test": []}
    (tmp_path / "selection.json").write_text(json.dumps({"random": split}))
    assert pack(tmp_path) == 0
    said = capsys.readouterr().out
    assert "1 molecules of charge 1, multiplicity 1 left out" in said
    assert "1 molecules of charge 0, multiplicity 3 left out" in said
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["cid"][:].tolist() == 2 * [b"000000000"]
        assert file.attrs["charge_states"].tolist() == [[0, 1]]
    assert pack(tmp_path, charge_states=[[0, 1], [1, 1], [5, 2]]) == 0
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["cid"][:].tolist() == 2 * [b"000000000"] + 2 * [b"000000001"]
        assert file.attrs["charge_states"].tolist() == [[0, 1], [1, 1]]
    assert pack(tmp_path, charge_states=[[2, 1]]) != 0
    assert "nothing to pack" in capsys.readouterr().err
    assert pack(tmp_path, split="scaffold") != 0
    assert "no split or set 'scaffold'" in capsys.readouterr().err


def test_references_are_fitted_on_the_training_molecules_of_the_states_packed(
    tmp_path, make_stage, write_shard_file
):
    values = {"000000000": (0, -10.0), "000000001": (0, -14.0), "000000002": (1, -50.0)}
    molecules = [
        Trajectory(cid, Z, charge=q, stages={"dft_1st": make_stage(1, 3, energies=np.array([e]))})
        for cid, (q, e) in values.items()
    ]
    path = write_shard_file(tmp_path / "s.lmdb", molecules)

    def total(*choice):
        references = fit_levels([path], ["dft_1st"], *choice)
        assert list(references) == [level_of(molecules[0].stages["dft_1st"])]
        return float(next(iter(references.values()))[Z].sum()) / HARTREE_TO_EV

    assert total(set(values), [(0, 1)]) == pytest.approx(-12.0, rel=1e-3)
    assert total({"000000001"}) == pytest.approx(-14.0, rel=1e-3)
