"""Relaxations as records: what a run relaxes, from where, by what, and how it is cut."""

import pytest
import yaml

from force2geo.config import resolve, stage_settings
from force2geo.errors import UserError
from force2geo.plan.finishes import finished_rows, finishes
from force2geo.plan.relaxations import (
    counted,
    earlier,
    judged,
    piece_size,
    pieces,
    planned,
    relaxations,
)

XTB = {"calculator": "tblite.ase:TBLite", "options": {"method": "GFN2-xTB", "verbosity": 0}}
BFGS = {"optimizer": "bfgs", "force_threshold": 0.05, "max_steps": 500}


@pytest.fixture
def config(repository, monkeypatch):
    monkeypatch.chdir(repository)
    return resolve(yaml.safe_load((repository / "config.yaml").read_text()), models=False)


def test_a_run_relaxes_its_subset_and_d_opt_by_each_potential(config):
    small = {"layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
    config["compare"] |= {
        "mine": {"model": small, "training": {"epochs": 3}}, "file": {"checkpoint": "m.pt"},
    }  # fmt: skip
    own = {"training": "pretrain"}
    expected = {
        "subset": ("subset", own), "d_opt": ("d_opt", own), "d_opt.GFN2-xTB": ("d_opt", XTB),
        "d_opt.mine": ("d_opt", {"training": "pretrain.mine"}),
        "d_opt.file": ("d_opt", {"checkpoint": "m.pt"}),
    }  # fmt: skip
    assert relaxations(config) == {
        name: {"data": "downstream", "molecules": molecules, "start": "hf",
               "potential": potential, **BFGS}
        for name, (molecules, potential) in expected.items()
    }  # fmt: skip
    assert stage_settings(config, "relax/d_opt.mine")["potential"] == {"training": "pretrain.mine"}


def test_other_starts_are_rows_of_their_own(config):
    config["relax"]["starts"] = ["hf", "rdkit"]
    found = relaxations(config)
    assert list(found) == [
        "subset", "d_opt", "d_opt.GFN2-xTB", "d_opt.start=rdkit", "d_opt.GFN2-xTB.start=rdkit",
    ]  # fmt: skip
    assert found["d_opt.GFN2-xTB.start=rdkit"] == found["d_opt.GFN2-xTB"] | {"start": "rdkit"}
    assert judged(config) == {
        "Force2Geo": "judged/d_opt.csv", "GFN2-xTB": "judged/d_opt.GFN2-xTB.csv",
        "Force2Geo, from rdkit": "judged/d_opt.start=rdkit.csv",
        "GFN2-xTB, from rdkit": "judged/d_opt.GFN2-xTB.start=rdkit.csv",
    }  # fmt: skip
    # The single points that two have in common are computed by one of them.
    assert {name: earlier(name) for name in found if name != "subset"} == {
        "d_opt": None, "d_opt.GFN2-xTB": "d_opt", "d_opt.start=rdkit": "d_opt",
        "d_opt.GFN2-xTB.start=rdkit": "d_opt.start=rdkit",
    }  # fmt: skip


def test_equal_relaxations_are_judged_once(config):
    config["compare"]["same"] = config["compare"]["GFN2-xTB"]
    assert judged(config)["same"] == "judged/d_opt.GFN2-xTB.csv"


def test_pieces_are_named_by_what_they_hold(config, tmp_path):
    assert pieces(2500, 1000) == ["0-1000.h5", "1000-2000.h5", "2000-2500.h5"]
    assert pieces(16, 1000) == pieces(16, 16) == ["0-16.h5"]
    assert pieces(2000, 1000) == pieces(2500, 1000)[:2]
    records = relaxations(config)
    assert piece_size(config, records["subset"]) == piece_size(config, records["d_opt"]) == 1000
    assert piece_size(config, records["d_opt.GFN2-xTB"]) == 100
    config["select"] |= {"d_opt_size": 5, "subset_size": None}
    assert planned(config, "d_opt") == 5 and planned(config, "subset") is None
    config["select"]["subset_size"] = 40979
    assert planned(config, "subset") == 40979
    (tmp_path / "s.json").write_text('{"subset": ["1", "2", "3"], "random": {}}')
    assert counted(str(tmp_path / "s.json"), {"molecules": "subset"}) == 3


def test_a_finish_is_a_relaxation_of_its_own_beside_the_one_it_goes_on_from(config):
    assert finishes(config) == finished_rows(config) == {}
    asked = {"potentials": ["Force2Geo", "GFN2-xTB"], "force_threshold": 0.03, "max_gradients": 9}
    config["finish"] = asked | {"starts": []}
    limits = {"force_threshold": 0.03, "max_gradients": 9, "dft": config["dft"]}
    own = {"relaxation": "d_opt", "potential": {"training": "pretrain"}, **limits}
    xtb = {"relaxation": "d_opt.GFN2-xTB", "potential": XTB, **limits}
    assert finishes(config) == {"d_opt.finished": own, "d_opt.GFN2-xTB.finished": xtb}
    assert finished_rows(config) == {
        "Force2Geo, finished by DFT": "d_opt.finished",
        "GFN2-xTB, finished by DFT": "d_opt.GFN2-xTB.finished",
    }
    assert stage_settings(config, "finish/d_opt.finished") == own
    # Start and reference are computed by the relaxation without potentials' names.
    assert earlier("d_opt.GFN2-xTB.finished") == "d_opt"
    files = stage_settings(config, "table/table3")["files"]
    assert files["GFN2-xTB, finished by DFT"] == "judged/d_opt.GFN2-xTB.finished.csv"
    assert files["finishing of GFN2-xTB, finished by DFT"] == "finish/d_opt.GFN2-xTB.finished.csv"
    # The same files, but for the trainings'.
    pairs = stage_settings(config, "table/table3_paired")["files"]
    assert pairs == {row: path for row, path in files.items() if not path.startswith("train/")}


def test_each_start_may_be_finished(config):
    config["relax"]["starts"] = ["rdkit"]
    config["finish"] = {"potentials": ["Force2Geo"], "starts": ["hf", "rdkit"],
                        "force_threshold": 0.05, "max_gradients": 20}  # fmt: skip
    assert finished_rows(config) == {
        "Force2Geo, finished by DFT": "d_opt.finished",
        "Force2Geo, from rdkit, finished by DFT": "d_opt.start=rdkit.finished",
    }
    assert finishes(config)["d_opt.start=rdkit.finished"]["relaxation"] == "d_opt.start=rdkit"
    assert earlier("d_opt.start=rdkit.finished") == "d_opt.start=rdkit"


def test_a_start_that_is_not_relaxed_is_not_finished(repository, monkeypatch):
    monkeypatch.chdir(repository)
    values = yaml.safe_load((repository / "config.yaml").read_text())
    values["finish"] = {"starts": ["rdkit"]}
    with pytest.raises(UserError, match=r"finish.starts: nothing is relaxed from 'rdkit', only hf"):
        resolve(values, models=False)


def test_a_finish_of_what_does_not_relax_is_named(repository, monkeypatch):
    monkeypatch.chdir(repository)
    values = yaml.safe_load((repository / "config.yaml").read_text())
    values["finish"] = {"potentials": ["GFN1"]}
    with pytest.raises(UserError, match=r"finish.potentials: 'GFN1' relaxes nothing; there are "
                                        r"Force2Geo, GFN2-xTB"):  # fmt: skip
        resolve(values, models=False)
