"""Potentials that relax together and those for the box: their records and what names them."""

import copy

import pytest
import yaml

from force2geo.config import resolve, stage_settings
from force2geo.errors import UserError
from force2geo.plan.box import boxed
from force2geo.plan.finishes import finishes
from force2geo.plan.relaxations import relaxations
from force2geo.plan.trainings import trainings

ABOUT = {"title": "t", "data": "d", "limits": ["l"], "licence": "MIT", "made_by": "m"}


@pytest.fixture
def values(repository, monkeypatch):
    monkeypatch.chdir(repository)
    found = yaml.safe_load((repository / "workflow/config/weights.yaml").read_text())
    demo = yaml.safe_load((repository / "config.yaml").read_text())
    # Calculators are compared and DFT finishes elsewhere.
    found["compare"] |= demo["compare"]
    return found | {"finish": {"potentials": ["Force2Geo"]}, "tables": ["table3"]}


def changed(values, **sections):
    found = copy.deepcopy(values)
    for name, section in sections.items():
        found[name] = {**found.get(name, {}), **section}
    return resolve(found, models=False)


def test_a_committee_is_a_training_a_seed_and_changes_none(values):
    before = changed(values, pretrain={"committee": []})
    after = changed(values, pretrain={"committee": [9, 8]})
    alone, together = trainings(before), trainings(after)
    assert {name: together[name] for name in alone} == alone
    assert set(together) - set(alone) == {"pretrain.seed=8", "pretrain.seed=9"}
    assert together["pretrain.seed=8"] == alone["pretrain"] | {"seed": 8}
    assert stage_settings(after, "train/pretrain.seed=9")["seed"] == 9
    assert alone["pretrain.plain"] == together["pretrain.plain"]
    assert "baseline" not in alone["pretrain.plain"] and "baseline" in alone["pretrain"]


def test_a_committee_relaxes_and_finishes_together(values):
    before = changed(values, pretrain={"committee": []})
    after = changed(values, pretrain={"committee": [8, 9]})
    members = {"trainings": ["pretrain", "pretrain.seed=8", "pretrain.seed=9"]}
    assert relaxations(before)["d_opt"]["potential"] == {"training": "pretrain"}
    for name, record in relaxations(after).items():
        own = relaxations(before)[name]
        whole = own["potential"] == {"training": "pretrain"}
        assert record == own | ({"potential": members} if whole else {}), name
    assert finishes(after)["d_opt.finished"]["potential"] == members


def test_what_goes_in_the_box(values):
    config = changed(values)
    records = boxed(config)
    assert set(records) == set(config["box"]) == {"delta", "plain"}
    assert records["delta"]["trainings"] == relaxations(config)["d_opt"]["potential"]["trainings"]
    assert records["plain"]["trainings"] == ["pretrain.plain"]
    for name, record in records.items():
        assert record["packed"] == "pretrain" and record["source"] == "dft_1st"
        assert stage_settings(config, f"box/{name}") == record
    assert boxed(changed(values | {"box": {}})) == {}


def test_seeds_of_a_recipe_are_one_model_in_the_box(repository, monkeypatch):
    """As the shipped configuration has it, on molecules that need no download."""
    monkeypatch.chdir(repository)
    values = yaml.safe_load((repository / "workflow/config/properties.yaml").read_text())
    demo = yaml.safe_load((repository / "config.yaml").read_text())
    kept = {key: demo[key] for key in ("raw", "pretrain", "models")}
    values |= kept | {"data": demo["data"], "select": demo.get("select", {})}
    values["property"] |= {"data": "downstream", "target": "gap"}
    record = boxed(resolve(values, models=False))["qm9"]
    assert record["trainings"] == ["property.random.painn", "property.random.painn.seed8"]
    assert (record["packed"], record["source"]) == ("downstream", None)
    both = values | {"property": values["property"] | {"splits": ["scaffold", "random"]}}
    first = boxed(resolve(both, models=False))["qm9"]["trainings"][0]
    assert first == "property.scaffold.painn"
    assert "B3LYP/6-31G*" in record["level"] and "potential" not in record
    for entry, message in (
        ({**ABOUT}, "box.x: give one of 'potential' and 'recipe'"),
        ({**ABOUT, "potential": "Force2Geo", "recipe": "painn"}, "box.x: give one of"),
        ({**ABOUT, "recipe": "schnet"}, "box.x.recipe: 'schnet' is not one of .*painn"),
    ):
        with pytest.raises(UserError, match=message):
            resolve(values | {"box": {"x": entry}}, models=False)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"pretrain": {"committee": [7]}}, "pretrain.committee: 7 is the run's own seed"),
        ({"pretrain": {"committee": [8, 8]}}, "committee"),
        ({"box": {"x": {**ABOUT, "potential": "GFN2-xTB"}}},
         "box.x.potential: 'GFN2-xTB' is trained nowhere in this run; there are Force2Geo, plain"),
        ({"box": {"x": {"potential": "plain"}}}, "title"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(values, sections, message):
    with pytest.raises(UserError, match=message):
        changed(values, **sections)
