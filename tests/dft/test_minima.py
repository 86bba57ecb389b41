"""`force2geo minima`: Hartree-Fock's water and hydroxide, found, checked and put in one file."""

import csv

import numpy as np
import pytest

from force2geo.cli import main
from force2geo.dft import gradients as module
from force2geo.dft import pool
from force2geo.dft.level import Level
from force2geo.dft.minima import minimum_path
from force2geo.dft.single_points import converge
from force2geo.training_data.minima_file import read_minima, read_minimum
from force2geo.units import HARTREE_TO_EV

STO = '{"method": "hf", "basis": "sto-3g", "density_fit": false}'
LEVEL = Level(method="hf", basis="sto-3g", density_fit=False)
# HF/STO-3G (CCCBDB): 0.9894 Å, 100.03 degrees.
BOND, ANGLE = 0.9894, 100.03
WATER, HYDROXIDE = "000000962", "000000961"


@pytest.fixture
def here(monkeypatch, tmp_path):
    """A folder with a list of molecules; DFT's work is done in this process, and counted."""
    asked = []

    def run(function, tasks, workers, seconds=None, megabytes=None):
        for place, task in enumerate(tasks):
            asked.append(task)
            yield place, function(task), ""

    monkeypatch.setattr(pool, "run_limited", run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("cid,smiles,inchi\n962,O,\n961,[OH-],\n")
    return asked


def find(*more):
    return main(["minima", "find", "--molecules", "list.csv", "--out", "out", "--dft-level", STO,
                 *more])  # fmt: skip


def test_minima_are_found_checked_and_shipped(here, tmp_path, capsys):
    assert find() == 0
    out = tmp_path / "out"
    one = read_minimum(minimum_path(out, WATER, "rdkit"))
    arms = one.positions[1:] - one.positions[0]
    lengths = np.linalg.norm(arms, axis=1)
    assert lengths == pytest.approx([BOND, BOND], abs=1e-3)
    cosine = arms[0] @ arms[1] / lengths.prod()
    assert np.degrees(np.arccos(cosine)) == pytest.approx(ANGLE, abs=0.3)
    assert one.status == "minimum" and one.max_force < 0.01 and one.lowest_curvature > 0.1
    _, energy, _ = converge(one.numbers, one.positions, LEVEL)
    assert one.energy == pytest.approx(energy * HARTREE_TO_EV, abs=1e-5)
    ion = read_minimum(minimum_path(out, HYDROXIDE, "gfn2"))
    assert (ion.charge, ion.multiplicity, ion.smiles) == (-1, 1, "[OH-]")
    _, energy, _ = converge(ion.numbers, ion.positions, LEVEL, None, -1, 1)
    assert ion.energy == pytest.approx(energy * HARTREE_TO_EV, abs=1e-5)
    # Without a potential both starts come to one place, and DFT is asked once.
    starts = [read_minimum(minimum_path(out, WATER, start)) for start in ("rdkit", "gfn2")]
    np.testing.assert_array_equal(starts[0].positions, starts[1].positions)
    assert not np.allclose(starts[0].start_positions, starts[1].start_positions)
    np.testing.assert_allclose(starts[0].relaxed, starts[1].start_positions)
    assert len(here) == starts[0].gradients + ion.gradients

    before = len(here)
    capsys.readouterr()
    assert find() == 0 and len(here) == before
    assert "4 found before" in capsys.readouterr().out

    # The first of every six is checked: geomeTRIC, with its own steps, has the same energy.
    check = ["minima", "check", "--out", "out"]
    assert main(check) == 0 and len(here) == before + 1
    assert main(check) == 0 and len(here) == before + 1
    assert main(["minima", "collect", "--out", "out", "--file", "m.h5"]) == 0
    found = read_minima(tmp_path / "m.h5")
    assert found.texts("cid") == [WATER, HYDROXIDE] and found.starts == ["rdkit", "gfn2"]
    checked = found.columns["rdkit/checked_energy"]
    kcal = 23.0605
    assert abs(checked[0] - one.energy) * kcal < 0.02 and np.isnan(checked[1])
    assert found.texts("rdkit/checked") == ["converged", ""]
    assert found.columns["gfn2/energy"].tolist() == [starts[1].energy, ion.energy]
    assert found.columns["rdkit/gradients"].tolist() == [one.gradients, ion.gradients]
    assert found.columns["charge"].tolist() == [0, -1]
    np.testing.assert_allclose(found.columns["rdkit/position"][:3], one.positions, atol=1e-6)
    np.testing.assert_allclose(found.columns["gfn2/start"][3:], ion.start_positions, atol=1e-6)
    assert found.about["level"]["basis"] == "sto-3g" and found.about["force_threshold"] == 0.01


def test_a_killed_search_goes_on(here, tmp_path, monkeypatch):
    real, left = module.compute, [3]

    def killed(task):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return real(task)

    with monkeypatch.context() as broken:
        broken.setattr(module, "compute", killed)
        assert find() == 130
    here.clear()
    assert find() == 0
    ends = [
        read_minimum(minimum_path(tmp_path / "out", cid, "rdkit")) for cid in (WATER, HYDROXIDE)
    ]
    assert sum(one.gradients for one in ends) == len(here) + 3


def test_what_rdkit_cannot_embed_has_no_start_and_no_minimum(here, tmp_path, capsys):
    """A ring with two cumulated bonds."""
    (tmp_path / "list.csv").write_text("cid,smiles,inchi\n141137,CC1CN=S=N1,\n962,O,\n")
    assert find() == 0
    one = read_minimum(minimum_path(tmp_path / "out", "000141137", "gfn2"))
    assert one.status == "not begun" and "no geometry to begin with" in one.reason
    assert np.isnan(one.positions).all() and len(one.numbers) == 12
    capsys.readouterr()
    # It would be the first to be checked.
    assert main(["minima", "check", "--out", "out"]) == 0 and capsys.readouterr().out == ""
    assert main(["minima", "collect", "--out", "out", "--file", "m.h5"]) == 0
    assert read_minima(tmp_path / "m.h5").lowest().tolist() == [-1, 0]


def test_a_folder_is_of_one_search(here, capsys):
    assert find() == 0
    assert find("--fmax", "0.02") == 2
    assert "out: holds minima of other molecules or settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (["find"], "give --molecules"),
        (["find", "--molecules", "list.csv", "--fmax", "0"], "--fmax 0.0: give a number above 0"),
        (["find", "--molecules", "list.csv", "--workers", "0"], "--workers 0: give 1 or more"),
        (["check"], "made_of.json: no such file"),
        (["collect"], "give --file"),
    ],
)
def test_mistakes_are_one_line(here, capsys, call, message):
    assert main(["minima", *call, "--out", "out"]) == 2
    assert message in capsys.readouterr().err


def test_none_of_the_molecules_is_among_those_to_learn_from(repository):
    """By skeleton, the first block of the InChIKey: the demo's, the labelled and those to label."""
    from rdkit import Chem

    resources = repository / "workflow/resources"

    def skeletons(path):
        with path.open(newline="") as handle:
            return {Chem.InchiToInchiKey(row["inchi"])[:14] for row in csv.DictReader(handle)}

    tested = skeletons(resources / "labels/d_opt_120.csv")
    assert len(tested) == 120
    for name in ("demo/molecules.csv", "labels/molecules.csv", "labels/pool.csv"):
        assert not tested & skeletons(resources / name), name
