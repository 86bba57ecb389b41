"""Which of several entries property models learn from: the first that is there."""

from __future__ import annotations

import copy

import pytest
import yaml

from force2geo.config import resolve
from force2geo.errors import UserError
from force2geo.evaluate.gaps import gap_table
from force2geo.plan.data import geometries
from force2geo.plan.shown import request
from force2geo.plan.trainings import trainings

HERE = {"from": "pubchemqcr", "as": "molecules", "split": "subset"}


@pytest.fixture
def values(repository, monkeypatch):
    monkeypatch.chdir(repository)
    return yaml.safe_load((repository / "config.yaml").read_text())


def chosen(values, data, asked):
    changed = copy.deepcopy(values)
    changed["data"] = {"pretrain": values["data"]["pretrain"], **data}
    changed["data"]["benchmark"] = values["data"]["benchmark"]
    changed["property"]["data"] = asked
    found = resolve(changed, models=False)
    return found["property"]["data"], set(found["data"]) - {"pretrain", "benchmark"}


@pytest.fixture
def raw(tmp_path):
    return {
        "from": "qm9", "origin": "raw", "folder": str(tmp_path),
        "train": 8, "validation": 1, "test": 1,
    }  # fmt: skip


def put(folder):
    (folder / "dsgdb9nsd.xyz.tar.bz2").touch()
    (folder / "uncharacterized.txt").touch()


def test_the_first_that_is_there_is_learnt_from(values, raw, tmp_path):
    data = {"mols": raw, "downstream": HERE}
    # Of what is not there the run knows nothing: else its files would be asked for.
    assert chosen(values, data, ["mols", "downstream"]) == ("downstream", {"downstream"})
    assert chosen(values, data, ["downstream", "mols"]) == ("downstream", {"downstream"})
    put(tmp_path)
    assert chosen(values, data, ["mols", "downstream"]) == ("mols", {"mols", "downstream"})
    assert chosen(values, data, ["downstream", "mols"]) == ("downstream", {"mols", "downstream"})


def test_one_alone_must_be_there(values, raw, tmp_path):
    data = {"mols": raw, "downstream": HERE}
    with pytest.raises(UserError, match=r"property.data: none of mols is there"):
        chosen(values, data, ["mols"])
    with pytest.raises(UserError, match=r"property.data: 'other' is not described under data"):
        chosen(values, data, ["mols", "other"])
    with pytest.raises(UserError, match=r"data.mols.from: missing"):
        chosen(values, {"mols": {}, "downstream": HERE}, ["mols", "downstream"])


def test_models_of_geometries_that_the_molecules_lack_are_left_out_and_tables_say_so(
    values, raw, tmp_path
):
    put(tmp_path)
    changed = copy.deepcopy(values)
    changed["data"] |= {"qm9": raw}
    wanted = ["painn", "geometry_rdkit", "geometry_hf", "geometry_force2geo"]
    changed["property"] |= {"recipes": wanted, "splits": ["random"]}
    found = resolve(changed, models=False)
    names = {name for name in trainings(found) if name.startswith("property")}
    assert names == {f"property.random.{one}" for one in wanted if one != "geometry_hf"}
    about = request(found, "table", "table4")
    assert set(about["absent"].values()) == {"hf"}
    (row, *_) = about["absent"]
    table = gap_table("table4", "", about | {"files": {}}, tmp_path, [row], ("random",))
    reason = table.rows[row]["random_test"].reason
    assert reason == "the data set qm9 has no geometry 'hf'"
    changed["property"]["data"] = "downstream"
    own = resolve(changed, models=False)
    assert "property.random.geometry_hf" in trainings(own)
    assert request(own, "table", "table4")["absent"] == {}
    files = request(found, "figure", "parity_gap")["files"]
    assert set(files) == {one for one in wanted if one != "geometry_hf"}


def test_geometries_that_data_sets_bring(raw, tmp_path):
    own = {"from": "molecule3d", "folder": str(tmp_path)}
    config = {"data": {"m": own, "a": own | {"align": "pubchemqcr"}, "q": raw, "here": HERE}}
    found = {name: set(geometries(config, name)) - {"force2geo"} for name in config["data"]}
    assert found == {
        "m": {"dft", "rdkit"}, "a": {"dft", "rdkit", "hf"}, "q": {"dft", "rdkit"},
        "here": {"dft", "rdkit", "hf"},
    }  # fmt: skip
