"""Relaxations of a set that DFT finishes: where they end, what is kept, what is written."""

import csv
import json

import h5py
import numpy as np
import pytest
from finish_surfaces import BENT, WATER, Surface, springs

from force2geo.cli import main
from force2geo.dft import pool
from force2geo.dft.finish import FAILED, UNDONE, Finished, Settings
from force2geo.dft.finish_set import as_relaxation, finish_set
from force2geo.dft.level import Level, build_mean_field
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import read_relaxed, read_runs, write_relaxed
from force2geo.units import GRADIENT_TO_FORCE

LENGTHS, STIFF = np.array([1.0, 1.0, 1.6]), np.array([40.0, 40.0, 15.0])
XTB = {"calculator": "tblite.ase:TBLite", "options": {"method": "GFN2-xTB", "verbosity": 0}}
LEVEL = {"method": "hf", "basis": "sto-3g", "cartesian": True, "density_fit": False,
         "grid_level": 2, "conv_tol": 1e-9}  # fmt: skip


def dear(positions):
    return springs(positions, LENGTHS, STIFF, cubic=-20.0)


def cheap(molecule):
    return springs(molecule.positions, LENGTHS + 0.03, 0.9 * STIFF)[1:]


def relaxed(status="converged", end=BENT):
    """A path of three frames that began elsewhere."""
    run = Relaxation(WATER, BENT * 1.1, status=status, converged=status == "converged")
    for place in (BENT * 1.1, BENT * 1.05, end):
        run.record(place, np.ones_like(place), 1.5, 0.01)
    return run


def test_ends_are_the_surfaces_minimum_and_come_back_as_relaxations(tmp_path):
    runs = [relaxed(), relaxed("exploded"), relaxed("step limit", BENT * 1.02)]
    surface = Surface(dear)
    ends = dict(
        finish_set(["1", "2", "3"], runs, cheap, Settings(1e-3), tmp_path, {"it": 1}, surface)
    )
    assert ends[1].status == "not begun" and "exploded" in ends[1].reason
    for place in (0, 2):
        run = as_relaxation(runs[place], ends[place])
        apart = [np.linalg.norm(run.frames[1][i] - run.frames[1][j]) for i, j in
                 ((0, 1), (0, 2), (1, 2))]  # fmt: skip
        assert apart == pytest.approx(LENGTHS, abs=1e-3 / 15)
        assert np.array_equal(run.frames[0], BENT * 1.1) and len(run.frames) == 2
        assert (run.status, run.converged, run.stationary) == ("converged", True, True)
        assert run.energies == [1.5, pytest.approx(dear(run.frames[1])[0], abs=1e-9)]
        assert run.max_forces[1] < 1e-3 and run.steps == ends[place].gradients
    assert sum(ends[place].gradients for place in (0, 2)) == len(surface.asked)
    assert as_relaxation(runs[1], ends[1]) is runs[1] and len(runs[1].frames) == 3


@pytest.mark.parametrize(("status", "says"), [
    ("saddle point", "converged"), ("gradient limit", "step limit"),
    ("no lower energy", "step limit"), (FAILED, "exploded"),
])  # fmt: skip
def test_each_end_has_its_status_as_a_relaxation(status, says):
    before = relaxed()
    before.seconds = 2.0
    run = as_relaxation(before, Finished(status, "why", BENT, -3.0, 0.2, 4, seconds=5.0))
    assert run.seconds == 7.0
    assert (run.status, run.reason, run.converged) == (says, "why", says == "converged")


def test_another_molecule_in_the_end_says_so_and_what_was_not_computed_stays():
    far = BENT + np.array([[0, 0, 0], [3.0, 0, 0], [0, 0, 0]])
    run = as_relaxation(relaxed(), Finished("minimum", "", far, -3.0, 0.01, 4))
    assert run.status in ("bonds changed", "dissociated") and not run.converged
    before = relaxed()
    assert as_relaxation(before, Finished(UNDONE, "no memory", BENT)) is before
    assert before.energies == [1.5] * 3


def test_the_command_goes_to_hartree_focks_minimum(tmp_path, monkeypatch):
    """The largest force there, by PySCF called anew, is below the threshold."""

    def here(function, tasks, workers, seconds=None, megabytes=None):
        assert (workers, seconds, megabytes) == (2, 60, None)
        for place, task in enumerate(tasks):
            yield place, function(task), ""

    monkeypatch.setattr(pool, "run_limited", here)
    bent = np.array([[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    run = Relaxation(WATER, bent, status="converged", converged=True)
    run.record(bent, np.zeros_like(bent), 0.0, 0.01)
    refused = Relaxation(WATER, bent)
    refused.refuse("it is odd")
    write_relaxed(tmp_path / "relaxed.h5", ["000000962", "000000963"], [run, refused])
    dft = {**LEVEL, "time_limit": 60, "memory_limit": None}
    record = {"relaxation": "d_opt", "potential": XTB, "dft": dft}
    record |= {"force_threshold": 0.02, "max_gradients": 9}
    (tmp_path / "record.json").write_text(json.dumps(record))
    call = ["finish", "--settings", "record.json", "--relaxed", "relaxed.h5", "--points", "points",
            "--workers", "2", "--out", "out.h5", "--table", "table.csv"]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert not main(call)
    water, odd = read_runs(tmp_path / "out.h5")
    field = build_mean_field(WATER, water.frames[-1], Level(**LEVEL)).run(verbose=0)
    forces = np.linalg.norm(field.nuc_grad_method().kernel() * GRADIENT_TO_FORCE, axis=1)
    assert forces.max() == pytest.approx(water.max_forces[-1], abs=1e-4) and forces.max() < 0.02
    x = water.frames[-1]
    assert np.linalg.norm(x[1] - x[0]) == pytest.approx(0.9894, abs=2e-3)  # CCCBDB
    assert odd.status == "refused"
    one, other = csv.DictReader((tmp_path / "table.csv").open())
    assert one["status"] == "minimum" and 2 <= int(one["gradients"]) <= 6
    assert int(one["gradients"]) == water.steps
    assert (other["status"], other["gradients"]) == ("not begun", "0")
    assert read_relaxed(tmp_path / "out.h5").cids == ["000000962", "000000963"]
    # The limit is the record's: of the same points two are all that may be asked for.
    (tmp_path / "record.json").write_text(json.dumps(record | {"max_gradients": 2}))
    assert not main(call)
    one, _ = csv.DictReader((tmp_path / "table.csv").open())
    assert (one["status"], one["gradients"]) == ("gradient limit", "2")
    (tmp_path / "record.json").write_text(json.dumps(record))
    assert not main(call)
    # Called again it asks for nothing: points are there.
    monkeypatch.setattr(pool, "run_limited", None)
    with h5py.File("out.h5") as file:
        before = file["positions"][:]
    assert not main(call)
    with h5py.File("out.h5") as file:
        assert np.array_equal(file["positions"][:], before)
