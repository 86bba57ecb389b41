"""Another set in D_opt's place: what relaxes, from where, and that nothing learns from it."""

import copy

import pytest
import yaml

from force2geo.config import resolve, stage_settings
from force2geo.errors import UserError
from force2geo.plan.finishes import finished_rows, finishes
from force2geo.plan.relaxations import d_opt_data, is_judged, judged, relaxations
from force2geo.plan.shown import request

LIST = "workflow/resources/labels/d_opt_120.csv"


@pytest.fixture
def values(repository, monkeypatch):
    monkeypatch.chdir(repository)
    values = yaml.safe_load((repository / "config.yaml").read_text())
    values["data"]["apart"] = {"from": "d_opt_120"}
    values["relax"] = {"d_opt": "apart", "starts": ["gfn2"]}
    values["select"]["test_sets"] = [LIST]
    values["finish"] = {"potentials": ["Force2Geo"], "starts": ["rdkit", "gfn2"]}
    return values


def test_all_of_the_set_relax_and_are_judged(values):
    config = resolve(values, models=False)
    found = relaxations(config)
    assert list(found) == [
        "subset", "d_opt.start=rdkit", "d_opt.GFN2-xTB.start=rdkit", "d_opt.start=gfn2",
        "d_opt.GFN2-xTB.start=gfn2",
    ]  # fmt: skip
    own = {name: one for name, one in found.items() if name != "subset"}
    assert all(is_judged(name) for name in own) and not is_judged("subset")
    assert {(one["data"], one["molecules"]) for one in own.values()} == {("apart", "all")}
    assert (found["subset"]["data"], found["subset"]["start"]) == ("downstream", "hf")
    assert found["d_opt.start=gfn2"]["start"] == "gfn2" and d_opt_data(config) == "apart"
    assert list(judged(config)) == [
        "Force2Geo, from rdkit", "GFN2-xTB, from rdkit", "Force2Geo, from gfn2",
        "GFN2-xTB, from gfn2",
    ]  # fmt: skip
    assert list(finished_rows(config)) == [
        "Force2Geo, from rdkit, finished by DFT", "Force2Geo, from gfn2, finished by DFT",
    ]  # fmt: skip
    assert finishes(config)["d_opt.start=gfn2.finished"]["relaxation"] == "d_opt.start=gfn2"
    assert stage_settings(config, "table/table3")["molecules"] == "D_opt-120"
    assert request(config, "figure", "residual")["files"] == {
        "molecules": "judged/d_opt.start=rdkit.csv"
    }
    assert request(config, "figure", "relaxation")["files"] == {
        "relaxed": "relax/d_opt.start=rdkit.h5"
    }


def test_d_opt_itself_is_the_selection_s(values):
    plain = copy.deepcopy(values)
    del plain["relax"]["d_opt"], plain["finish"]
    plain["relax"]["starts"] = []
    config = resolve(plain, models=False)
    assert d_opt_data(config) == "downstream"
    assert {relaxations(config)["d_opt"][key] for key in ("data", "molecules", "start")} == {
        "downstream", "d_opt", "hf",
    }  # fmt: skip
    assert "molecules" not in stage_settings(config, "table/table3")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"select": {"test_sets": []}}, f"name {LIST} under select.test_sets"),
        ({"relax": {"d_opt": "downstream"}}, "'downstream' is of this run's own molecules"),
        ({"relax": {"d_opt": "nothing"}}, "relax.d_opt: 'nothing' is not described under data"),
        ({"relax": {"d_opt": "benchmark"}}, "relax.d_opt: 'benchmark' has no molecules"),
        ({"finish": {"starts": ["hf"]}}, "nothing is relaxed from 'hf', only rdkit, gfn2"),
    ],
)
def test_what_cannot_be_judged_is_told(values, change, message):
    for section, more in change.items():
        values[section] |= more
    with pytest.raises(UserError, match=message):
        resolve(values, models=False)


def test_a_run_that_learns_from_nothing_of_its_own_needs_no_list(values):
    values["select"]["test_sets"] = []
    for section in ("pretrain", "property", "finish"):
        values.pop(section, None)
    values |= {"tables": ["table3"], "figures": []}
    assert list(judged(resolve(values, models=False))) == [
        "GFN2-xTB, from rdkit", "GFN2-xTB, from gfn2",
    ]  # fmt: skip
