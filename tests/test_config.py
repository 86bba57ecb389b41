"""The configuration: what is valid, and what the errors say."""

import copy

import pytest
import yaml

from force2geo.config import STAGES, check, generated_shards, shard_sources, stage_settings
from force2geo.errors import UserError
from force2geo.potentials.registry import BACKBONES
from force2geo.train.recipes import RECIPES


@pytest.fixture
def config(repository, monkeypatch):
    monkeypatch.chdir(repository)
    return yaml.safe_load((repository / "config.yaml").read_text())


@pytest.fixture
def schema(repository):
    return repository / "workflow/schemas/config.schema.json"


def merge(base, extra):
    for key, value in extra.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        else:
            base[key] = value
    return base


def test_shipped_configs_are_valid(config, schema, repository):
    check(config, schema)
    for path in (repository / "workflow/config").glob("*.yaml"):
        check(merge(copy.deepcopy(config), yaml.safe_load(path.read_text())), schema)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pretrian": {}}, "unknown key 'pretrian'"),
        ({"pretrain": {"epoch": 3}}, "unknown key 'pretrain.epoch'"),
        ({"pretrain": {"epochs": 0}}, "pretrain.epochs: 0"),
        ({"pretrain": {"optimizer": {"name": "sgd"}}}, "pretrain.optimizer.name: 'sgd'"),
        ({"pretrain": {"schedule": {"name": "step"}}}, "pretrain.schedule: '"),
        ({"run": "a/b"}, "run: 'a/b'"),
        ({"raw": {"logs": ["/nowhere"]}}, "raw.logs[0]: no such file or folder '/nowhere'"),
        ({"raw": {"identifiers": "no.csv"}}, "raw.identifiers: no such file or folder 'no.csv'"),
        ({"property": {"recipes": ["magic"]}}, "property.recipes.0: 'magic'"),
        ({"compare": {"x": {}}}, "compare.x: "),
        ({"compare": {"x": {"calculator": "a:B", "training": {}}}}, "compare.x"),
        ({"compare": {"x": {"model": {}, "training": {}}}}, "compare.x.model: 'cutoff'"),
        ({"resources": {"gpus": -1}}, "resources.gpus: -1"),
    ],
)
def test_errors_are_one_line_and_name_the_key(config, schema, change, message):
    with pytest.raises(UserError) as caught:
        check(merge(config, change), schema)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_stage_s_settings_hold_what_it_depends_on_and_nothing_else(config):
    before = {stage: stage_settings(config, stage) for stage in STAGES}
    config["relax"]["max_steps"] = 7
    config["models"]["schnet"]["layers"] = 9
    changed = {stage for stage in STAGES if stage_settings(config, stage) != before[stage]}
    assert changed == {"relax", "compare", "benchmark", "property"}
    config["seed"] += 1
    changed = {stage for stage in STAGES if stage_settings(config, stage) != before[stage]}
    assert {"curate", "pack", "dft"} & changed == set()


def test_another_recipe_is_pretraining_but_for_what_it_says(config, schema):
    model = {"variant": "published", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
    config["compare"]["mine"] = {"model": model, "training": {"epochs": 3}}
    check(config, schema)
    plain, mine = (stage_settings(config, name) for name in ("pretrain", "pretrain.mine"))
    assert mine["epochs"] == 3 and mine["models"] == {"painn": {"name": "painn", **model}}
    same = set(plain) - {"epochs", "models"}
    assert {key: plain[key] for key in same} == {key: mine[key] for key in same}
    assert set(stage_settings(config, "compare")["potentials"]) == {"GFN2-xTB"}


def test_schema_knows_the_backbones_and_recipes_of_the_code(schema):
    properties = yaml.safe_load(schema.read_text())["properties"]
    listed = properties["benchmark"]["properties"]["backbones"]["items"]["enum"]
    assert set(listed) == set(BACKBONES)
    listed = properties["property"]["properties"]["recipes"]["items"]["enum"]
    assert set(listed) == set(RECIPES)


def test_shards_are_archives_or_folders_of_logs_or_generated(tmp_path):
    (tmp_path / "many").mkdir()
    for name in ("b.tar.xz", "a.tar", "c.zip", "notes.txt"):
        (tmp_path / "many" / name).touch()
    (tmp_path / "plain").mkdir()
    logs = [str(tmp_path / "many"), str(tmp_path / "plain")]
    config = {"run": "x", "raw": {"logs": logs}, "generate": {"molecules": None, "shard_size": 2}}
    assert list(shard_sources(config)) == ["a", "b", "c", "plain"]
    with pytest.raises(UserError, match="two shards"):
        shard_sources(config | {"raw": {"logs": [*logs, logs[0]]}})
    with pytest.raises(UserError, match="neither"):
        shard_sources(config | {"raw": {"logs": []}})
    (tmp_path / "mine.smi").write_text("O\nC\nN water\n")
    config |= {"raw": {"logs": []}}
    config["generate"]["molecules"] = str(tmp_path / "mine.smi")
    shards = {"generated_00000": ["990000001", "990000002"], "generated_00001": ["990000003"]}
    assert generated_shards(config) == shards
    assert shard_sources(config)["generated_00001"] == "results/x/generated/generated_00001.tar"
