"""The benchmark over seeds: which trainings there are, their records, and what shows them."""

import copy
from pathlib import Path

import pytest
import yaml

from force2geo.config import resolve, stage_settings
from force2geo.errors import UserError
from force2geo.plan import trainings as plan
from force2geo.plan.benchmarks import by_seed, runs_of
from force2geo.plan.trainings import trainings


@pytest.fixture
def config(repository, monkeypatch):
    monkeypatch.chdir(repository)
    monkeypatch.setattr(plan, "missing", lambda name: ["mace"] if name == "mace" else [])
    config = resolve(yaml.safe_load((repository / "config.yaml").read_text()), models=False)
    config["benchmark"]["backbones"] = ["schnet", "painn", "mace"]
    return config


def with_seeds(config, *seeds):
    changed = copy.deepcopy(config)
    changed["benchmark"]["seeds"] = list(seeds)
    return changed


def test_without_seeds_it_is_the_run_s(config):
    config["seed"] = 5
    assert with_seeds(config, 5)["benchmark"] != config["benchmark"]
    assert trainings(with_seeds(config, 5)) == trainings(config)
    names = {name for name in trainings(config) if name.startswith("benchmark.")}
    assert names == {"benchmark.schnet", "benchmark.painn"}
    assert trainings(config)["benchmark.painn"]["seed"] == 5


@pytest.mark.parametrize("seeds", [(7, 8), (8, 7)])
def test_one_more_seed_is_one_more_training_a_backbone_and_changes_none(config, seeds):
    before, after = trainings(config), trainings(with_seeds(config, *seeds))
    assert {name: after[name] for name in before} == before
    more = {"benchmark.schnet.seed8", "benchmark.painn.seed8"}
    assert set(after) - set(before) == more
    for name in more:
        assert after[name] == before[name.removesuffix(".seed8")] | {"seed": 8}
    third = trainings(with_seeds(config, 9, *seeds))
    assert {name: third[name] for name in after} == after


def test_without_its_own_seed_a_run_keeps_the_training_of_that(config):
    """What `benchmark.painn` names is never another seed's."""
    names = {name for name in trainings(with_seeds(config, 1, 2)) if name.startswith("benchmark.p")}
    assert names == {"benchmark.painn.seed1", "benchmark.painn.seed2"}


def test_one_more_seed_is_the_business_of_what_shows_the_benchmark(config):
    changed = with_seeds(config, 7, 8)
    shown = [("table", name) for name in config["tables"]]
    shown += [("figure", name) for name in config["figures"]]
    asked = {one: stage_settings(config, "/".join(one)) for one in shown}
    differ = {one[1] for one in shown if stage_settings(changed, "/".join(one)) != asked[one]}
    assert differ == {"table2", "learning_curve", "cost_accuracy"}


def test_rows_have_their_seeds(config):
    config["models"]["wide"] = {"backbone": "painn", "layers": 9, "features": 8, "cutoff": 3.0}
    config["benchmark"]["backbones"].append("wide")
    config["benchmark"]["batch_size"] = 16
    asked = by_seed(with_seeds(config, 7, 8))
    assert asked["lacking"] == {"MACE": ["mace"]}
    folder = Path("r/train")
    # A model that the paper does not have goes by its own name.
    assert runs_of(asked, Path("r")) == {
        row: {
            7: folder / f"benchmark.{name}/metrics.json",
            8: folder / f"benchmark.{name}.seed8/metrics.json",
        }
        for row, name in (("SchNet", "schnet"), ("PaiNN", "painn"), ("wide", "wide"))
    }


def test_epochs_and_batches_are_one_number_or_each_model_s_own(config):
    config["benchmark"] |= {"epochs": {"schnet": 3, "painn": 5, "mace": 7}, "batch_size": 6}
    resolve(config, models=False)
    found = trainings(config)
    assert [found[f"benchmark.{name}"]["epochs"] for name in ("schnet", "painn")] == [3, 5]
    assert [found[f"benchmark.{name}"]["batch_size"] for name in ("schnet", "painn")] == [6, 6]
    config["benchmark"] |= {"epochs": 4, "batch_size": {"schnet": 2, "painn": 1, "mace": 1}}
    resolve(config, models=False)
    found = trainings(config)
    assert [found[f"benchmark.{name}"]["epochs"] for name in ("schnet", "painn")] == [4, 4]
    assert [found[f"benchmark.{name}"]["batch_size"] for name in ("schnet", "painn")] == [2, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": {"schnet": 3, "mace": 3}}, "benchmark.epochs: has no value for 'painn'"),
        ({"epochs": 0}, "benchmark.epochs: 0"),
        ({"batch_size": {"schnet": 0}}, "benchmark.batch_size.schnet: 0"),
        ({"seeds": []}, "benchmark.seeds: []"),
        ({"seeds": [7, 7]}, "benchmark.seeds: [7, 7]"),
        ({"seeds": 7}, "benchmark.seeds: 7"),
        ({"seeds": [-1]}, "benchmark.seeds.0: -1"),
    ],
)
def test_what_is_wrong_is_named(config, change, message):
    config["benchmark"] |= change
    with pytest.raises(UserError) as caught:
        resolve(config, models=False)
    assert message in str(caught.value)
