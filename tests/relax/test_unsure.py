"""Relaxations by several potentials: what is told of their spread, and when they are unsure."""

import json

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read
from rdkit import Chem

import force2geo
from force2geo.cli import main
from force2geo.dft.finished_file import why_not
from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential
from force2geo.relax.batched import relax_runs
from force2geo.relax.journal import Journal
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import read_relaxed, read_runs

PAINN = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 3.0}
REASON = "models differ by {:.2g} eV/Å at the end, 95 % of held-out molecules by less than {:.2g}"


@pytest.fixture
def pair(tmp_path):
    """Two potentials that were not trained, and a file of molecules."""
    for seed in (1, 2):
        torch.manual_seed(seed)
        save(Potential(PAINN).double(), tmp_path / f"{seed}.pt", {})
    (tmp_path / "a.smi").write_text("O water\nCO methanol\n")
    return [str(tmp_path / f"{seed}.pt") for seed in (1, 2)]


def relaxed(folder, *options, out="b.sdf"):
    assert main(["relax", str(folder / "a.smi"), str(folder / out), *map(str, options)]) == 0
    if out.endswith(".sdf"):
        return list(Chem.SDMolSupplier(str(folder / out), removeHs=False))
    return read(folder / out, ":")


def calibration(folder, limit):
    path = folder / "calibration.json"
    spread = {"quantile_95": limit, "unit": "eV/Å", "molecules": 7, "on": "none"}
    path.write_text(json.dumps({"spread": spread}))
    return ["--calibration", path]


def test_structures_carry_the_spread_where_they_end(pair, tmp_path):
    model = force2geo.load(pair)
    options = ["--paths", tmp_path / "p.h5", "--steps", 30, "--model", *pair]
    for molecule in relaxed(tmp_path, *options):
        numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
        (row,) = model.predict(Atoms(numbers, molecule.GetConformer().GetPositions()))
        told = float(molecule.GetProp("force_spread"))
        assert told == pytest.approx(row["force_spread"], rel=0.02) and told > 0
    for atoms in relaxed(tmp_path, *options, out="b.xyz"):
        bare = Atoms(atoms.numbers, atoms.positions)
        expected = model.predict(bare)[0]["force_spread"]
        assert atoms.info["force_spread"] == pytest.approx(expected, rel=1e-3)
    spreads = [run.force_spread for run in read_runs(tmp_path / "p.h5")]
    assert spreads[-1] == pytest.approx(atoms.info["force_spread"], rel=1e-6)
    # One potential alone differs from none, and a note of before goes.
    again = ["relax", str(tmp_path / "b.sdf"), str(tmp_path / "c.sdf"), "--model", pair[0]]
    assert main([*again, "--steps", "1"]) == 0
    for molecule in Chem.SDMolSupplier(str(tmp_path / "c.sdf"), removeHs=False):
        assert not molecule.HasProp("force_spread") and molecule.HasProp("max_force")


def test_beyond_the_calibrated_spread_nothing_is_converged(pair, tmp_path):
    options = ["--model", *pair, "--fmax", 0.1]
    free = relaxed(tmp_path, *options)
    spreads = [float(molecule.GetProp("force_spread")) for molecule in free]
    assert [molecule.GetProp("status") for molecule in free] == ["converged"] * 2
    limit = float(np.mean(spreads))
    assert min(spreads) < limit < max(spreads)
    paths = ["--paths", tmp_path / "p.h5"]
    found = relaxed(tmp_path, *options, *calibration(tmp_path, limit), *paths)
    for molecule, spread in zip(found, spreads, strict=True):
        unsure = spread > limit
        reason = REASON.format(spread, limit)
        assert molecule.GetProp("status") == (f"unsure: {reason}" if unsure else "converged")
        assert molecule.GetProp("converged") == str(not unsure)
    for run, spread in zip(read_runs(tmp_path / "p.h5"), spreads, strict=True):
        assert run.stationary and run.converged == (spread <= limit)
        assert why_not(run) == ""  # DFT may go on from there, and is what helps
    assert sorted(read_relaxed(tmp_path / "p.h5").status) == ["converged", "unsure"]


def test_only_what_would_be_converged_is_unsure():
    water = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])

    def judged(force, spread, end=water):
        run = Relaxation(np.array([8, 1, 1]), water, force_spread=spread)
        for place in (water, end):
            run.record(place, np.zeros((3, 3)), -1.0, force)
        run.judge(0.05, 1, unsure_above=0.2)
        return run.status, run.converged, run.stationary

    assert judged(0.01, 0.21) == ("unsure", False, True)
    assert judged(0.01, 0.2) == judged(0.01, np.nan) == ("converged", True, True)
    assert judged(0.1, 0.9) == ("step limit", False, False)
    assert judged(np.nan, 0.9)[0] == "exploded"
    apart = water * [[1], [3], [1]]
    assert judged(0.01, 0.9, apart) == ("dissociated", False, True)


def test_a_journal_keeps_it(tmp_path):
    start = Relaxation(np.array([8, 1]), np.array([[0.0, 0, 0], [0, 0, 1.0]]))
    journal = Journal(tmp_path / "o.h5", {}, [start])

    def evaluate(batch):
        zero = torch.zeros_like(batch.positions)
        return torch.zeros(batch.size), zero, [""], torch.full((batch.size,), 0.3)

    relax_runs(journal.left(), evaluate, on_finished=journal.finished, unsure_above=0.25)
    journal.flush()
    (again,) = Journal(tmp_path / "o.h5", {}, [start]).results()
    assert again.force_spread == pytest.approx(0.3) and again.status == "unsure"
    assert again.reason == REASON.format(0.3, 0.25)


def test_what_cannot_be_meant(pair, tmp_path, capsys):
    def says(*options):
        arguments = ["relax", tmp_path / "a.smi", tmp_path / "b.sdf", *options]
        assert main(list(map(str, arguments))) == 2
        return capsys.readouterr().err

    good = calibration(tmp_path, 0.1)
    assert "one potential differs from no other" in says("--model", pair[0], *good)
    emt = ["--calculator", "ase.calculators.emt:EMT"]
    assert "is of several potentials" in says(*emt, *good)
    assert "either --model or --calculator" in says("--model", pair[0], *emt)
    for text, message in (("{}", "not a calibration"), ('{"spread": {"unit": "eV/Å"}}', "missing")):
        (tmp_path / "calibration.json").write_text(text)
        assert message in says("--model", *pair, *good)
    assert "no such file" in says("--model", *pair, "--calibration", tmp_path / "x.json")
    assert not (tmp_path / "b.sdf").exists()


def test_models_may_stand_before_the_files(pair, tmp_path):
    files = [str(tmp_path / name) for name in ("a.smi", "b.xyz")]
    assert main(["relax", "--steps", "1", "--model", *pair, *files]) == 0
    first = (tmp_path / "b.xyz").read_text()
    assert main(["relax", *files, "--model", pair[0], "--steps", "1", "--model", pair[1]]) == 0
    assert (tmp_path / "b.xyz").read_text() == first and "force_spread" in first
