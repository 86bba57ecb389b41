"""Which molecules property models and relaxations are of, and which splits."""

import copy

import numpy as np
import pytest
import yaml

from force2geo.config import resolve, stage_settings
from force2geo.errors import UserError
from force2geo.plan.data import selects
from force2geo.plan.relaxations import (
    counted,
    planned,
    relaxations,
    relaxed_by,
    selected_data,
    whole,
)
from force2geo.plan.trainings import trainings
from force2geo.train.subsets import of_size
from force2geo.training_data.conformers import ConformersWriter, Row


@pytest.fixture
def config(repository, monkeypatch):
    monkeypatch.chdir(repository)
    return yaml.safe_load((repository / "config.yaml").read_text())


def with_qm9(config, **more):
    changed = copy.deepcopy(config)
    changed["data"]["mols"] = {"from": "qm9", "train": 1600, "validation": 200, "test": 200}
    changed["property"] |= {"data": "mols", "recipes": ["painn", "geometry_force2geo"], **more}
    changed["tables"] = ["table4"]
    return resolve(changed, models=False)


def test_molecules_with_splits_of_their_own_relax_whole(config):
    before, after = resolve(config, models=False), with_qm9(config)
    found = relaxations(after)
    assert found["all.mols"] == found["subset"] | {
        "data": "mols", "molecules": "all", "start": "rdkit",
    }  # fmt: skip
    assert set(found) == {*relaxations(before), "all.mols"}
    # What the store's molecules do is none of their business.
    assert {name: found[name] for name in relaxations(before)} == relaxations(before)
    assert (selects(after, "downstream"), selects(after, "mols")) == (True, False)
    assert relaxed_by(after, "mols") == "all.mols" and relaxed_by(after, "downstream") == "subset"
    assert planned(after, "all") is None and planned(before, "d_opt") == 16
    assert stage_settings(after, "data/mols")["seed"] == after["seed"]
    # Splits that the store's molecules could not fill are not asked of them.
    splits = [stage_settings(one, "select")["splits"] for one in (before, after)]
    assert splits == [["random", "scaffold"], []]
    records = {name: one for name, one in trainings(after).items() if name.startswith("property")}
    assert {(one["data"], one["target"]) for one in records.values()} == {("mols", "gap")}


def test_of_a_larger_set_no_more_relaxes_than_models_on_relaxed_geometries_read(config, tmp_path):
    sized = with_qm9(config, train_size=40, sizes=[20, 80])
    record = relaxations(sized)["all.mols"]
    assert record == relaxations(with_qm9(config))["all.mols"] | {
        "train_sizes": {"random": 40, "scaffold": 40}
    }
    # An independent answer: what trainings on relaxed geometries look for, and no more.
    names = [f"dsgdb9nsd_{number:06d}" for number in range(200)]
    splits = {
        "random": {"train": names[:160], "val": names[160:180], "test": names[180:]},
        "scaffold": {"train": names[40:], "val": names[:20], "test": names[20:40]},
    }
    packed = packed_file(tmp_path, names, splits)
    looked_for = {
        name
        for training in trainings(sized).values()
        if training.get("geometry") == "force2geo" and training["data"] == "mols"
        for part in of_size(splits[training["split"]], training).values()
        for name in part
    }
    found = whole(packed, record)
    assert set(found) == looked_for and found == sorted(found) and 80 < len(found) < 200
    assert counted(str(packed), record) == len(found)
    assert whole(packed, {"molecules": "all"}) == names
    one = with_qm9(config, train_size=40, splits=["random"], sizes=[])
    assert relaxations(one)["all.mols"]["train_sizes"] == {"random": 40}
    assert len(whole(packed, relaxations(one)["all.mols"])) == 80


def packed_file(folder, names, splits):
    with ConformersWriter(folder / "packed.h5", {}) as writer:
        for name in names:
            writer.add(Row(name, np.array([1]), 0, 2, {}, {"dft": np.zeros((1, 3))}))
        writer.close(splits)
    return folder / "packed.h5"


def test_another_potential_relaxes_what_property_models_learn_from(config):
    own = relaxations(with_qm9(config))
    delta = {"model": {"cutoff": 4.5}, "training": {"baseline": "gfn2-xtb"}}
    config["compare"]["delta"] = delta
    config["relax"] = {"potential": "delta"}
    changed = with_qm9(config)
    found = relaxations(changed)
    for name in ("subset", "all.mols"):
        assert found[name] == own[name] | {"potential": {"training": "pretrain.delta"}}
    # The others are judged by table 3 as before.
    assert {name: found[name] for name in own if "d_opt" in name} == {
        name: record for name, record in own.items() if "d_opt" in name
    }
    config["relax"]["potential"] = "GFN2-xTB"
    asked = with_qm9(config)
    found = relaxations(asked)
    assert found["all.mols"]["potential"] == asked["compare"]["GFN2-xTB"]
    config["relax"]["potential"] = "GFN1"
    with pytest.raises(UserError, match=r"relax.potential: 'GFN1' relaxes nothing; there are "
                                        r"Force2Geo, GFN2-xTB, delta"):  # fmt: skip
        with_qm9(config)


def test_molecules_that_no_model_relaxes_do_not(config):
    assert "all.mols" not in relaxations(with_qm9(config, recipes=["painn"]))


def test_without_conformers_nothing_relaxes_and_no_recipe_begins_there(config):
    recipes = ["painn", "geometry_force2geo", "scratch_rdkit"]
    config["data"]["plain"] = {"from": "qm9", "conformers": False}
    config["property"] |= {"data": "plain", "recipes": recipes}
    config["tables"] = ["table4"]
    bare = resolve(config, models=False)
    made = {name for name in trainings(bare) if name.startswith("property")}
    assert made == {"property.random.painn", "property.scaffold.painn"}
    assert "all.plain" not in relaxations(bare)
    config["data"]["plain"]["conformers"] = True
    whole = resolve(config, models=False)
    made = {name for name in trainings(whole) if name.startswith("property.random")}
    assert made == {f"property.random.{recipe}" for recipe in recipes}
    assert "all.plain" in relaxations(whole)


def test_the_store_s_molecules_go_by_the_name_that_property_models_give(config):
    assert selected_data(resolve(config, models=False)) == "downstream"
    config["data"]["own"] = config["data"]["downstream"]
    config["property"]["data"] = "own"
    named = resolve(config, models=False)
    assert selected_data(named) == "own"
    assert {one["data"] for one in relaxations(named).values()} == {"own"}
    del config["data"]["downstream"]
    assert selected_data(with_qm9(config)) == "own"


@pytest.mark.parametrize("target", ["dipole", ["homo", "lumo"]])
def test_any_target_of_the_data_is_predicted(config, target):
    found = trainings(with_qm9(config, target=target))
    assert found["property.random.painn"]["target"] == target


def test_a_target_that_the_data_lack_is_named(config):
    with pytest.raises(UserError, match=r"property.target: 'mols' has no target 'mass', only dip"):
        with_qm9(config, target=["gap", "mass"])
