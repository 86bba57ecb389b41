"""Which property models a configuration asks for, and what their records say."""

import copy
from pathlib import Path

import pytest
import yaml

from force2geo.config import resolve
from force2geo.errors import UserError
from force2geo.plan import trainings as plan
from force2geo.plan.properties import by_row, by_share, by_size, by_target, by_value, runs_of
from force2geo.plan.shown import request
from force2geo.plan.trainings import same, trainings

OWN = "property.random.geometry_force2geo"


@pytest.fixture
def given(repository, monkeypatch):
    monkeypatch.chdir(repository)
    config = yaml.safe_load((repository / "config.yaml").read_text())
    config |= {"tables": [], "figures": [], "benchmark": None, "compare": {}}
    config["property"]["splits"] = ["random"]
    return config


def resolved(given, **more):
    changed = copy.deepcopy(given)
    changed["property"] |= more
    return resolve(changed, models=False)


def made(given, **more):
    return trainings(resolved(given, **more))


def test_a_run_that_names_nothing_new_has_the_trainings_of_before(given):
    names = ["painn", "schnet", "force2prop", *(f"geometry_{g}" for g in ("rdkit", "hf"))]
    found = made(given)
    assert set(found) == {
        "pretrain", OWN, *(f"property.random.{name}" for name in names)
    }  # fmt: skip
    keys = {"train_size", "frozen_backbone", "train_share"}
    assert not any(keys & set(record) for record in found.values())


def test_a_seed_more_is_a_training_more_of_each_and_renames_none(given):
    one, three = made(given), made(given, seeds=[8, 7, 9])
    assert {name: three[name] for name in one} == one
    assert set(three) - set(one) == {
        f"{name}.seed{seed}" for name in one if name != "pretrain" for seed in (8, 9)
    }  # fmt: skip
    tuned = three[f"{OWN}.seed8"]
    assert (tuned["seed"], tuned["start"]) == (8, "property.random.painn.seed8")
    # There is one potential: only what it is fine-tuned to differs.
    assert three["property.random.force2prop.seed8"]["start"] == "pretrain"
    without = {key: value for key, value in tuned.items() if key not in ("seed", "start")}
    assert without == {k: v for k, v in one[OWN].items() if k not in ("seed", "start")}


def test_seeds_that_leave_the_run_s_own_out_are_those_alone(given):
    config = resolved(given, seeds=[8], recipes=["painn"], once=["schnet"])
    assert set(trainings(config)) == {
        "pretrain", "property.random.painn.seed8", "property.random.schnet",
    }  # fmt: skip
    runs = runs_of(by_row(config, {"PaiNN": "painn", "SchNet": "schnet"}), Path())
    assert {told: list(seeds) for told, seeds in runs.items()} == {
        "random: PaiNN": [8], "random: SchNet": [7],
    }  # fmt: skip


def test_recipes_say_what_they_are(given):
    recipes = [
        "untuned_force2geo", "scratch_rdkit", "force2prop", "force2prop_frozen", "random_frozen",
        "force2prop_schnet", "force2prop_denoising", "force2prop_dens",
    ]  # fmt: skip
    config = resolved(given, recipes=recipes)
    found = {n.removeprefix("property.random."): r for n, r in trainings(config).items()}
    assert set(found) == {*recipes, "painn", "pretrain", "pretrain.network=schnet",
                          "pretrain.denoising", "pretrain.dens"}  # fmt: skip
    untuned = found["untuned_force2geo"]
    assert (untuned["epochs"], untuned["start"]) == (0, "property.random.painn")
    assert untuned["geometry"] == "force2geo" and "noise" not in untuned
    scratch = found["scratch_rdkit"]
    assert scratch == found["painn"] | {"geometry": "rdkit"}
    assert scratch["start"] is None and scratch["mixed"] is False
    frozen, random = found["force2prop_frozen"], found["random_frozen"]
    assert frozen == found["force2prop"] | {"frozen_backbone": True}
    assert random == frozen | {"start": None}
    schnet = found["force2prop_schnet"]
    assert (schnet["start"], schnet["backbone"]["name"]) == ("pretrain.network=schnet", "schnet")
    pretrain = found["pretrain"]
    other = found["pretrain.network=schnet"]
    assert other == pretrain | {"backbone": other["backbone"]}
    assert other["backbone"]["name"] == "schnet"
    denoiser = found["pretrain.denoising"]
    assert (denoiser["objective"], denoiser["noise"]) == ("denoising", 0.2)
    assert all(
        denoiser[key] == pretrain[key] for key in ("data", "epochs", "batch_size", "backbone")
    )
    assert found["force2prop_denoising"]["start"] == "pretrain.denoising"
    dens = denoiser | {"given_forces": True, "backbone": denoiser["backbone"] | {"forces": True}}
    assert found["pretrain.dens"] == dens
    assert found["force2prop_dens"] == found["force2prop_denoising"] | {"start": "pretrain.dens"}


def test_the_potential_s_own_network_is_trained_once(given):
    given = given | {"pretrain": given["pretrain"] | {"backbone": "schnet"}}
    found = made(given, recipes=["force2prop", "force2prop_schnet"])
    assert "pretrain.network=schnet" not in found
    assert found["property.random.force2prop_schnet"] == found["property.random.force2prop"]
    assert found["property.random.force2prop"]["backbone"]["name"] == "schnet"


def test_uni_mol_learns_the_way_to_the_true_geometry(given):
    given["models"]["unimol_plus"] = {"layers": 1}
    record = made(given, recipes=["unimol_rdkit"])["property.random.unimol_rdkit"]
    assert (record["geometry"], record["mixed"], record["start"]) == ("rdkit", True, None)
    assert (record["noise"], record["geometry_weight"]) == (0.1, 0.1)


def test_sizes_shares_and_targets(given):
    config = resolved(
        given, recipes=["painn", "force2prop"], sizes=[20, 40], shares=[0.1], seeds=[7, 8],
        train_size=40,
    )  # fmt: skip
    config["property"]["targets"] = ["homo"]
    found = trainings(config)
    assert set(found) == {
        "pretrain", "pretrain.share=0.1",
        *(f"property.random.{recipe}{size}{seed}"
          for recipe in ("painn", "force2prop") for size in ("", ".train_size=20", ".train_size=40")
          for seed in ("", ".seed8")),
        *(f"property.random.force2prop.share=0.1{seed}" for seed in ("", ".seed8")),
        "property.random.painn.target=homo",
    }  # fmt: skip
    assert {record["train_size"] for name, record in found.items() if "property" in name} == {
        20,
        40,
    }
    assert found["pretrain.share=0.1"] == found["pretrain"] | {"train_share": 0.1}
    assert found["property.random.force2prop.share=0.1"]["start"] == "pretrain.share=0.1"
    assert found["property.random.painn.target=homo"]["target"] == "homo"
    # The run's own size is no training of its own.
    ids = same(found)
    assert ids["property.random.painn.train_size=40.seed8"] == "property.random.painn.seed8"
    assert ids["property.random.painn.train_size=20"] == "property.random.painn.train_size=20"


def test_small_sets_may_train_for_as_many_batches(given):
    found = made(given, sizes=[20, 40, 80], train_size=40, same_steps=True)
    own = "property.random.painn"
    epochs = given["property"]["from_scratch"]["epochs"]
    assert found[own]["epochs"] == found[f"{own}.train_size=80"]["epochs"] == epochs
    assert not {"passes"} & {*found[own], *found[f"{own}.train_size=80"]}
    half = found[f"{own}.train_size=20"]
    assert (half["epochs"], half["passes"]) == (epochs, 2)
    odd = made(given, sizes=[25], train_size=40, same_steps=True)[f"{own}.train_size=25"]
    assert odd["passes"] == 2 and odd["epochs"] == round(epochs * 1.6 / 2)
    assert same(found)[f"{own}.train_size=40"] == own
    potentials = made(given, shares=[0.25], train_size=40, same_steps=True)
    whole = potentials["pretrain"]
    less = {"train_share": 0.25, "passes": 4}
    assert potentials["pretrain.share=0.25"] == whole | less
    with pytest.raises(UserError, match=r"property\.same_steps: needs property\.train_size"):
        resolved(given, sizes=[20], same_steps=True)


def test_the_potential_s_fine_tuning_may_be_its_own(given):
    own = {"epochs": 3}
    one, other = made(given), made(given, force2prop=own)
    changed = {name for name in one if one[name] != other[name]}
    assert changed == {"property.random.force2prop"}
    assert other["property.random.force2prop"]["epochs"] == 3


def test_tables_ask_for_every_seed_and_share_what_is_equal(given):
    config = resolved(
        given, recipes=["painn", "geometry_force2geo"], seeds=[7, 8], sweeps={"noise": [0.1, 0.2]}
    )
    rows = {"Tuned": "geometry_force2geo", "Truth": "painn", "Graph": "gin_virtual"}
    asked = by_row(config, rows)
    assert asked["data"] == "pubchemqcr" and asked["lacking"] == {}
    assert {told: path for told, path in asked["files"].items() if "metrics" in path} == {
        "random: Tuned, seed 7": f"train/{OWN}/metrics.json",
        "random: Tuned, seed 8": f"train/{OWN}.seed8/metrics.json",
        "random: Truth, seed 7": "train/property.random.painn/metrics.json",
        "random: Truth, seed 8": "train/property.random.painn.seed8/metrics.json",
    }
    for told, path in asked["files"].items():
        if "metrics" in path:
            other = path.replace("metrics.json", "predictions.npz")
            assert asked["files"][f"{told}, predictions"] == other
    swept = by_value(config, "noise")["files"]
    # The run's own noise is the training of table 4, of each seed.
    assert swept["random: 0.1, seed 8"] == asked["files"]["random: Tuned, seed 8"]
    assert swept["random: 0.2, seed 8"] == f"train/{OWN}.noise=0.2.seed8/metrics.json"


def test_a_table_asks_for_no_split_that_it_does_not_show(given):
    given["property"]["splits"] = ["random", "scaffold"]
    config = resolved(given)
    for name, splits in (("table4", {"random", "scaffold"}), ("table7", {"random"})):
        asked = request(config, "table", name)["files"]
        assert {told.partition(":")[0] for told in asked} == splits


def test_curves_name_their_points(given, tmp_path):
    config = resolved(given, sizes=[20], shares=[0.25], seeds=[7, 8])
    config["property"]["targets"] = ["homo"]
    runs = runs_of(by_size(config), tmp_path)
    assert {told: sorted(seeds) for told, seeds in runs.items()} == {
        f"random: {row}, {size}": [7, 8]
        for row in ("from scratch", "Force2Prop") for size in ("main", 20)
    }  # fmt: skip
    assert runs["random: from scratch, main"][8] == (
        tmp_path / "train/property.random.painn.seed8/metrics.json"
    )
    asked = by_share(config)
    assert asked["potentials"] == {
        "0.25": "train/pretrain.share=0.25/metrics.json", "1": "train/pretrain/metrics.json",
    }  # fmt: skip
    shares = runs_of(asked, tmp_path)
    assert {told: path[7].parent.name for told, path in shares.items()} == {
        "random: 0": "property.random.painn", "random: 1": "property.random.force2prop",
        "random: 0.25": "property.random.force2prop.share=0.25",
    }  # fmt: skip
    targets = runs_of(by_target(config), tmp_path)
    assert targets["random: homo"] == {
        7: tmp_path / "train/property.random.painn.target=homo/metrics.json"
    }
    assert set(targets) == {"random: homo", "random: gap"}


def test_a_network_that_is_not_installed_costs_its_row_alone(given, monkeypatch):
    def missing(name):
        return ["torchmd-net"] if name == "torchmd_net" else []

    monkeypatch.setattr(plan, "missing", missing)
    given["models"]["torchmd_net"] = {}
    config = resolved(given, once=["torchmd_net", "schnet"])
    assert "property.random.torchmd_net" not in trainings(config)
    asked = by_row(config, {"TorchMD-Net": "torchmd_net", "SchNet": "schnet"})
    assert asked["lacking"] == {"TorchMD-Net": ["torchmd-net"]}
    assert {told.partition(",")[0] for told in asked["files"]} == {"random: SchNet"}


def test_tables_show_one_target(given):
    config = resolved(given)
    config["property"]["target"] = ["gap", "homo"]
    asked = by_row(config, {"PaiNN": "painn"})
    assert asked["files"] == {} and "property.target names several" in asked["reason"]
    assert trainings(config)["property.random.painn"]["target"] == ["gap", "homo"]


def test_what_is_trained_once_may_be_a_recipe(given):
    found = made(given, recipes=["painn"], once=["force2prop", "schnet"], seeds=[7, 8])
    assert set(found) == {
        "pretrain", "property.random.painn", "property.random.painn.seed8",
        "property.random.force2prop", "property.random.schnet",
    }  # fmt: skip
    assert found["property.random.force2prop"]["start"] == "pretrain"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"once": ["egnn"]}, "property.recipes: egnn: 'egnn' is not described under models"),
        ({"recipes": ["unimol_hf"]}, "property.recipes: unimol_hf: 'unimol_plus' is not described"),
        ({"shares": [1.0]}, "property.shares.0: 1.0, not a number above 0 and below 1"),
        ({"sizes": [0]}, "property.sizes.0: 0, not a whole number of at least 1"),
        ({"recipes": ["magic"]}, "property.recipes.0: 'magic'"),
    ],
)
def test_what_cannot_be_trained_is_named(given, change, message):
    with pytest.raises(UserError) as caught:
        resolved(given, **change)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recipes": ["random_frozen"]}, "property.recipes: random_frozen needs the section pret"),
        ({"recipes": ["scratch_force2geo"]}, "property.recipes: scratch_force2geo needs the sec"),
        ({"recipes": ["painn"], "sizes": [5]}, "property.sizes: needs the section pretrain"),
        ({"recipes": ["painn"], "shares": [0.5]}, "property.shares: needs the section pretrain"),
    ],
)
def test_what_needs_a_potential_says_so(given, change, message):
    del given["pretrain"]
    with pytest.raises(UserError) as caught:
        resolved(given, **change)
    assert message in str(caught.value)


def test_a_plan_looks_for_what_other_packages_bring_no_more_than_it_must(repository, monkeypatch):
    """A look goes through all installed packages, and trainings are asked for again and again."""
    from force2geo import registered

    looks = []
    look = registered.entry_points
    monkeypatch.setattr(registered, "entry_points", lambda **by: (looks.append(by), look(**by))[1])
    monkeypatch.chdir(repository)
    resolve(yaml.safe_load(Path("workflow/config/paper.yaml").read_text()), models=False)
    assert not looks
