"""`force2geo dft`: which geometry of which molecule, in which state, becomes which row."""

import json

import numpy as np
import pandas as pd
import pytest

from force2geo.cli import main
from force2geo.dft import pool
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import write_relaxed
from force2geo.training_data.conformers import Conformers, write_conformers

BOHR = 0.529177210544
H2, ION = -1.1167, -0.5385  # Szabo and Ostlund: STO-3G, 1.4 bohr, Hartree
CIDS = ["000000001", "000000002", "000000003", "000000004"]


def bond(length):
    return np.array([[0.0, 0, 0], [0, 0, length * BOHR]])


def relaxation(lengths, status="converged", **state):
    run = Relaxation(np.array([1, 1]), bond(lengths[0]), status=status, **state)
    for length in lengths:
        run.record(bond(length), np.zeros((2, 3)), 0.0, 0.0)
    return run


@pytest.fixture
def files(tmp_path, monkeypatch):
    """H2 that moved, H2 that did not, H2+, and H2 that was refused; the references at 1.4 bohr."""
    runs = [
        relaxation([1.8, 1.6, 1.4]), relaxation([1.4]),
        relaxation([2.5, 1.4], charge=1, multiplicity=2), relaxation([1.8], "refused"),
    ]  # fmt: skip
    write_relaxed(tmp_path / "d_opt.h5", CIDS, runs)
    geometry = {
        name: np.concatenate([bond(length)] * 4)
        for name, length in (("dft", 1.4), ("hf", 3.0), ("rdkit", 5.0))
    }
    write_conformers(tmp_path / "downstream.h5", Conformers(
        CIDS, 2 * np.arange(5), np.ones(8, int), {}, geometry,
        np.array([0, 0, 1, 0]), np.array([1, 1, 2, 1]),
    ))  # fmt: skip
    level = {"method": "hf", "basis": "sto-3g", "density_fit": False, "time_limit": 100}
    (tmp_path / "dft.json").write_text(json.dumps(level))
    computed = []

    def run(function, tasks, workers, seconds, megabytes):
        computed.extend(tasks)
        for place, task in enumerate(tasks):
            yield place, function(task), ""

    monkeypatch.setattr(pool, "run_limited", run)
    return tmp_path, computed


def call(folder):
    code = main([
        "dft", "--settings", str(folder / "dft.json"), "--relaxed", str(folder / "d_opt.h5"),
        "--conformers", str(folder / "downstream.h5"), "--cache", str(folder / "cache"),
        "--out", str(folder / "d_opt.csv"),
    ])  # fmt: skip
    if code:
        return code, None
    return code, pd.read_csv(folder / "d_opt.csv", dtype={"cid": str}).set_index(
        ["cid", "geometry"]
    )


def test_rows_are_of_their_molecule_geometry_and_state(files, capsys):
    folder, computed = files
    code, rows = call(folder)
    assert code == 0 and len(rows) == 12
    energy = rows["energy"]
    for cid, expected in (("000000001", H2), ("000000002", H2), ("000000003", ION)):
        assert energy[cid, "reference"] == pytest.approx(expected, abs=3e-4)
        assert energy[cid, "relaxed"] == pytest.approx(expected, abs=3e-4)
    assert energy["000000001", "start"] > H2 + 0.01
    # The neutral molecule stretches uphill, its ion downhill.
    assert energy["000000003", "start"] < ION - 0.01
    # A molecule that did not move has one energy, not two that rounding tells apart.
    assert energy["000000002", "start"] == energy["000000002", "relaxed"]
    # 1.8 and 1.4 bohr, 2.5 and 1.4 of the ion: the rest is the same again.
    assert len(computed) == 4
    forces = rows["max_force"]
    assert forces.notna().sum() == 3 and forces["000000001", "relaxed"] == pytest.approx(
        abs(slope(1.4)), abs=2e-2
    )
    refused = rows.loc["000000004", "relaxed"]
    assert refused["outcome"] == "failed" and np.isnan(refused["energy"])
    assert "refused" in refused["error"]
    assert energy["000000004", "start"] == energy["000000001", "start"]
    assert "12 single points, 1 failed, 0 not computed" in capsys.readouterr().out


def slope(length, step=0.01):
    """Return dE/dR in eV/Å by differences of a plain calculation."""
    from pyscf import gto, scf

    up, down = (
        scf.RHF(gto.M(atom=f"H 0 0 0; H 0 0 {x}", unit="Bohr", basis="sto-3g", verbose=0)).kernel()
        for x in (length + step, length - step)
    )
    return (up - down) / (2 * step) * 27.211386 / BOHR


def test_a_molecule_relaxed_in_another_state_is_no_comparison(files, capsys):
    folder, _ = files
    write_relaxed(folder / "d_opt.h5", CIDS[2:3], [relaxation([1.4])])
    assert call(folder)[0] != 0
    error = capsys.readouterr().err
    assert "000000003 was relaxed with charge 0 and multiplicity 1" in error


def test_what_was_not_computed_is_said_and_tried_again(files, monkeypatch, capsys):
    folder, _ = files
    works = pool.run_limited

    def late(function, tasks, *_):
        for place, task in enumerate(tasks):
            in_time = place == 0 and len(tasks) == 4
            done = (function(task), "") if in_time else (None, "took longer than 100 s")
            yield place, *done

    monkeypatch.setattr(pool, "run_limited", late)
    code, rows = call(folder)
    left = (rows["outcome"] == "not computed").sum()
    assert code == 0 and 0 < left < 11
    printed = capsys.readouterr()
    assert f"1 failed, {left} not computed" in printed.out
    assert "warning: 000000003, start: not computed (took longer than 100 s)" in printed.err
    monkeypatch.setattr(pool, "run_limited", works)
    _, rows = call(folder)
    assert (rows["outcome"] == "computed").sum() == 11


@pytest.mark.parametrize("wrong", [{"method": "nofunc"}, {"basis": "nobasis"}])
def test_a_level_that_nothing_can_be_computed_at_stops_the_stage(files, capsys, wrong):
    folder, _ = files
    level = json.loads((folder / "dft.json").read_text()) | wrong
    (folder / "dft.json").write_text(json.dumps(level))
    assert call(folder)[0] == 2 and not (folder / "d_opt.csv").exists()
    said = capsys.readouterr().err
    assert "none of 11 single points could be computed: " in said
    assert next(iter(wrong.values())) in said.lower() and said.count("\n") == 1


def test_relaxations_of_other_molecules_are_one_line(files, capsys):
    folder, computed = files
    runs = [relaxation([1.4]) for _ in range(3)]
    write_relaxed(folder / "d_opt.h5", [CIDS[0], "000000008", "000000009"], runs)
    assert call(folder)[0] == 2
    error = capsys.readouterr().err
    assert "lacks CID 000000008 and 1 more" in error and error.count("\n") == 1
    assert not computed
