"""Rounds of labels as records: what is chosen after what, and what is trained on it."""

import pytest
import yaml

from force2geo.config import resolve, stage_settings
from force2geo.errors import UserError
from force2geo.plan.rounds import choices, request, rounds, told_by
from force2geo.plan.trainings import same, trainings

ACTIVE = {"start": 20, "budget": 10, "rounds": 2, "choose": ["spread", "random"], "seeds": [7, 9],
          "members": 2, "per_molecule": 3, "distance": 0.1}  # fmt: skip


@pytest.fixture
def config(repository):
    values = yaml.safe_load((repository / "tests/workflow/mini.yaml").read_text())
    values["tables"], values["figures"] = ["active"], ["active"]
    values["raw"]["logs"] = [str(repository / values["raw"]["logs"][0])]
    values["raw"]["identifiers"] = str(repository / values["raw"]["identifiers"])
    return resolve(values | {"active": ACTIVE}, models=False)


def test_both_ways_have_one_start_and_then_as_many_labels(config):
    found = choices(config)
    assert list(found) == [
        f"active.seed{seed}.{told}" for seed in (7, 9)
        for told in ("start", "spread.1", "spread.2", "random.1", "random.2")
    ]  # fmt: skip
    assert {name: record["budget"] for name, record in found.items()} == {
        name: 20 if name.endswith("start") else 10 for name in found
    }
    assert found["active.seed9.start"] == {
        "data": "pretrain", "choose": "random", "seed": 9, "round": 0, "budget": 20,
        "earlier": [], "ensemble": [],
    }  # fmt: skip
    assert found["active.seed9.spread.2"] == {
        "data": "pretrain", "choose": "spread", "seed": 9, "round": 2, "budget": 10,
        "per_molecule": 3, "distance": 0.1,
        "earlier": ["active.seed9.start", "active.seed9.spread.1"],
        "ensemble": ["active.seed9.spread.1.member0", "active.seed9.spread.1.member1"],
    }  # fmt: skip
    # Chance asks no ensemble and has no limits: its rounds do not wait for trainings.
    assert found["active.seed7.random.2"] == {
        "data": "pretrain", "choose": "random", "seed": 7, "round": 2, "budget": 10,
        "earlier": ["active.seed7.start", "active.seed7.random.1"], "ensemble": [],
    }  # fmt: skip
    assert stage_settings(config, "choose/active.seed7.random.2") == found["active.seed7.random.2"]


def test_members_are_the_run_s_potential_with_other_data_and_seeds_and_as_many_steps(config):
    found = {k: v for k, v in trainings(config).items() if k.startswith("active.")}
    assert len(found) == 2 * 2 * 5 and len(set(same(found).values())) == 20
    own = trainings(config)["pretrain"]
    # Two epochs of 40 labels are four of 20.
    assert found["active.seed7.start.member0"] == own | {
        "data": "active.seed7.start", "seed": 7, "epochs": 4,
    }  # fmt: skip
    assert found["active.seed9.spread.2.member1"] == own | {
        "data": "active.seed9.spread.2", "seed": 1009, "epochs": 2,
    }  # fmt: skip
    assert len({record["seed"] for record in found.values()}) == 4


def test_the_comparison_is_of_every_member_and_the_start_is_in_both(config):
    asked = request(config)
    assert len(asked["files"]) == 2 * 2 * 3 * 2 and len(set(asked["files"].values())) == 20
    counted = {told_by(name) for name in asked["files"]}
    assert counted == {
        (way, labels, seed) for way in ("spread", "random") for labels in (20, 30, 40)
        for seed in (7, 9)
    }  # fmt: skip
    assert (
        asked["files"]["spread, 20, seed 7, member 1"]
        == asked["files"]["random, 20, seed 7, member 1"]
        == "train/active.seed7.start.member1/metrics.json"
    )
    assert asked["files"]["random, 40, seed 9, member 0"] == (
        "train/active.seed9.random.2.member0/metrics.json"
    )


def test_molecules_without_labels_are_labelled_after_the_first_round(config, tmp_path):
    (tmp_path / "pool.csv").write_text("cid,smiles\n")
    values = {key: dict(value) if key == "active" else value for key, value in config.items()}
    values["active"] |= {"pool": str(tmp_path / "pool.csv"), "apart": [str(tmp_path / "pool.csv")]}
    found = choices(resolve(values, models=False))
    assert found["active.seed7.start"] == choices(config)["active.seed7.start"]
    files = {"pool": str(tmp_path / "pool.csv"), "apart": [str(tmp_path / "pool.csv")]}
    assert found["active.seed7.spread.2"] == files | {
        "choose": "spread", "seed": 7, "budget": 10, "per_molecule": 3, "distance": 0.1,
        "earlier": ["active.seed7.start", "active.seed7.spread.1"],
        "ensemble": ["active.seed7.spread.1.member0", "active.seed7.spread.1.member1"],
    }  # fmt: skip
    # The first committee says which molecules potentials of this run know the elements of.
    assert found["active.seed7.random.2"] == files | {
        "choose": "random", "seed": 7, "budget": 10,
        "earlier": ["active.seed7.start", "active.seed7.random.1"],
        "ensemble": ["active.seed7.start.member0", "active.seed7.start.member1"],
    }  # fmt: skip
    values["active"]["pool"] = "nowhere.csv"
    with pytest.raises(UserError, match=r"config: active\.pool: no such file 'nowhere.csv'"):
        resolve(values, models=False)
    values["active"]["pool"] = str(tmp_path / "pool.csv")
    values["data"] = values["data"] | {"pretrain": {"from": "rmd17", "folder": "x"}}
    with pytest.raises(UserError, match=r"config: active\.pool: 'pretrain' is not of the run"):
        resolve(values, models=False)


def test_a_run_without_rounds_has_none_and_its_table_says_so():
    with pytest.raises(UserError, match="config: active: needs the section pretrain"):
        resolve({"run": "x", "active": ACTIVE}, models=False)
    with pytest.raises(UserError, match="config: tables: active: the run has no section active"):
        resolve({"run": "x", "tables": ["active"]}, models=False)
    assert rounds(resolve({"run": "x"}, models=False)) == {}
