"""The configuration: what is valid, and what the errors say."""

import copy
import json
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from force2geo.config import (
    STAGES,
    made_by_other_code,
    missing_import,
    resolve,
    shard_sources,
    stage_settings,
)
from force2geo.dft.generate import Settings
from force2geo.errors import UserError
from force2geo.files import code_version
from force2geo.plan import trainings as plan
from force2geo.plan.baselines import baselines, name_of
from force2geo.plan.compared import compared
from force2geo.plan.relaxations import relaxations
from force2geo.plan.shown import KINDS
from force2geo.plan.trainings import trainings
from force2geo.train.recipes import USUAL
from merged import merge

SHARDS = [f"shard_{i:03d}" for i in range(12)]
NINE = ("schnet", "painn", "faenet", "pace", "equiformer", "nequip", "allegro", "sevennet", "mace")
SMALL = {"layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}


@pytest.fixture
def config(repository, monkeypatch):
    monkeypatch.chdir(repository)
    return resolve(yaml.safe_load((repository / "config.yaml").read_text()), models=False)


def test_shipped_configs_stand_alone_and_what_they_give_is_resolved_already(config, repository):
    shipped = [*(repository / "workflow/config").glob("*.yaml"), repository / "config.yaml"]
    for path in [*shipped, repository / "tests/workflow/mini.yaml"]:
        values = yaml.safe_load(path.read_text())
        folders = [
            Path(one["folder"]) for one in values.get("data", {}).values() if "folder" in one
        ]
        # What others published is not everywhere.
        there = all(folder.exists() for folder in folders)
        if any(one["from"] == "qm9" for one in values.get("data", {}).values()):
            there = there and find_spec("qm9pack") is not None
        resolved = resolve(values, models=there)
        assert resolve(resolved, models=False) == resolved, path


def test_table3_is_the_demo_with_more_rows(config, repository):
    text = (repository / "workflow/config/table3.yaml").read_text()
    more = resolve(yaml.safe_load(text), models=False)
    rows = more.pop("compare")
    assert rows.pop("GFN2-xTB") == config.pop("compare")["GFN2-xTB"]
    assert set(rows) == {"published", "published-small", "DFT", "GFN1-xTB", "MMFF94", "ANI-1x"}
    assert more == config


def test_charge_states_are_packed_as_the_config_says(config):
    for use in ("benchmark", "pretrain"):
        config["data"][use]["charge_states"] = [[0, 1], [-1, 1], [0, 2]]
    resolve(config)
    packed = stage_settings(config, "data/pretrain")
    assert packed["charge_states"] == [[0, 1], [-1, 1], [0, 2]]


def everything(config):
    """The settings of every job that a configuration asks for."""
    shown = [f"{kind}/{name}" for kind in KINDS for name in config[f"{kind}s"]]
    trained = [f"train/{name}" for name in trainings(config)]
    others = [f"relax/{name}" for name in relaxations(config)]
    others += [f"data/{name}" for name in config["data"]]
    return {job: stage_settings(config, job) for job in (*STAGES, *trained, *others, *shown)}


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        ({"relax": {"max_steps": 7}}, {"relax/subset", "relax/d_opt", "relax/d_opt.GFN2-xTB"}),
        ({"relax": {"chunk": {"potential": 7, "calculator": 7}}}, set()),
        ({"relax": {"starts": ["rdkit"]}}, {"table/table3"}),
        ({"select": {"d_opt_size": 7}}, {"d_opt"}),
        # Memory, and where a training is looked at, are no reason to do anything again.
        ({"relax": {"batch_atoms": 7}}, set()),
        ({"tracking": {"uri": "http://nowhere", "experiment": "x"}}, set()),
        ({"models": {"schnet": {"layers": 9}}},
         {"train/benchmark.schnet", "train/property.random.schnet",
          "train/property.scaffold.schnet"}),
        ({"benchmark": {"batch_size": dict.fromkeys(NINE, 16) | {"painn": 7}}},
         {"train/benchmark.painn"}),
        ({"benchmark": {"backbones": ["painn"]}},
         {"table/table2", "figure/learning_curve", "figure/cost_accuracy"}),
        ({"data": {"pretrain": {"sources": ["dft_1st"]}}}, {"data/pretrain", "audit"}),
        ({"data": {"other": {"from": "pubchemqcr", "as": "molecules", "split": "d_opt"}}}, set()),
        ({"pretrain": {"data": "benchmark"}}, {"train/pretrain", "seen"}),
        ({"pretrain": {"epochs": 7}}, {"train/pretrain"}),
        ({"pretrain": {"baseline": "gfn2-xtb"}}, {"train/pretrain"}),
        ({"pretrain": {"baseline": None}}, set()),
        ({"property": {"noise": 0.2}},
         {f"train/property.{split}.geometry_{name}" for split in ("random", "scaffold")
          for name in ("rdkit", "hf", "force2geo")}),
        # Another value of a sweep is another training, and its table's business.
        ({"property": {"sweeps": {"noise": [0.3]}}}, set()),
        ({"tables": ["table2", "table11"]}, {"report"}),
        ({"compare": {"GFN2-xTB": {"options": {"method": "GFN1-xTB"}}}},
         {"relax/d_opt.GFN2-xTB"}),
        ({"compare": {"other": {"calculator": "ase.calculators.lj:LennardJones"}}},
         {"table/table3"}),
    ],
)  # fmt: skip
def test_a_changed_value_changes_the_jobs_that_depend_on_it(config, change, jobs):
    before = everything(config)
    after = everything(merge(copy.deepcopy(config), change))
    assert {job for job in before if job in after and before[job] != after[job]} == jobs


def test_the_seed_is_in_what_is_drawn(config):
    config["seed"] = 8
    drawn = {job for job, settings in everything(config).items() if settings.get("seed") == 8}
    assert drawn == {"audit", "select", "data/downstream", *(
        f"train/{name}" for name in trainings(config)
    )}  # fmt: skip


def test_what_is_not_installed_is_not_trained(config, monkeypatch):
    def missing(name):
        return ["nequip"] if name == "nequip" else []

    monkeypatch.setattr(plan, "missing", missing)
    names = set(trainings(config))
    assert "benchmark.nequip" not in names and "benchmark.mace" in names
    asked = stage_settings(config, "table/table2")
    assert asked["lacking"] == {"NequIP": ["nequip"]} and "NequIP" not in asked["files"]
    assert asked["files"]["MACE, seed 7"] == "train/benchmark.mace/metrics.json"
    assert {label.removesuffix(", seed 7") for label in asked["files"]} == {
        "SchNet", "PaiNN", "SevenNet", "Allegro", "FAENet", "MACE", "PACE", "Equiformer",
    }  # fmt: skip
    for figure in ("learning_curve", "cost_accuracy"):
        assert stage_settings(config, f"figure/{figure}")["files"] == asked["files"]


def test_a_property_model_starts_from_its_own_split_s(config):
    for split in ("random", "scaffold"):
        starts = {name: trainings(config)[f"property.{split}.{name}"]["start"] for name in USUAL}
        assert starts == {
            "painn": None, "schnet": None, "force2prop": "pretrain",
            **dict.fromkeys(("geometry_rdkit", "geometry_hf", "geometry_force2geo"),
                            f"property.{split}.painn"),
        }  # fmt: skip


def test_figures_are_made_of_what_their_captions_say(config):
    statistics = {"store/statistics.json"}
    config["benchmark"]["backbones"] = ["schnet"]
    made = {name: set(stage_settings(config, f"figure/{name}")["files"].values())
            for name in config["figures"]}  # fmt: skip
    assert made == {
        "snapshots": statistics, "steps": statistics, "atoms": statistics, "elements": statistics,
        "learning_curve": {"train/benchmark.schnet/metrics.json"},
        "cost_accuracy": {"train/benchmark.schnet/metrics.json"},
        "pretrain": {"train/pretrain/metrics.json"},
        "parity_potential": {"train/pretrain/predictions.npz"},
        "relaxation": {"relax/d_opt.h5"}, "residual": {"judged/d_opt.csv"},
        "parity_gap": {f"train/property.random.{name}/predictions.npz" for name in USUAL},
    }  # fmt: skip


def test_equal_trainings_are_one(config):
    config["property"]["sweeps"] = {"noise": [0.1, 0.2], "geometry_weight": [0.1]}
    names = plan.same(trainings(config))
    own = "property.random.geometry_force2geo"
    # The value of the run itself is no training of its own, in neither table.
    assert names[f"{own}.noise=0.1"] == names[f"{own}.geometry_weight=0.1"] == own
    assert names[f"{own}.noise=0.2"] == f"{own}.noise=0.2"
    assert plan.path(config, f"{own}.noise=0.1", "model.pt") == f"train/{own}/model.pt"
    asked = stage_settings(config, "table/table11")["files"]
    assert {told: path for told, path in asked.items() if "predictions" not in told} == {
        "random: 0.1, seed 7": f"train/{own}/metrics.json",
        "random: 0.2, seed 7": f"train/{own}.noise=0.2/metrics.json",
    }


def test_a_benchmark_needs_a_batch_size_for_each_of_its_backbones(config):
    config["benchmark"]["batch_size"] = dict.fromkeys(set(NINE) - {"painn"}, 16)
    with pytest.raises(UserError, match=r"benchmark\.batch_size: has no value for 'painn'"):
        resolve(config)
    config["benchmark"]["backbones"] = ["schnet"]
    resolve(config)
    config["benchmark"]["epochs"] = {"painn": 3}
    with pytest.raises(UserError, match=r"benchmark\.epochs: has no value for 'schnet'"):
        resolve(config)


def test_models_left_out_are_named(config):
    del config["models"]["painn"]["basis_size"]
    with pytest.raises(UserError, match=r"config: models\.painn: backbone painn: 'basis_size' is"):
        resolve(config)


def test_rows_of_table_3_are_those_that_the_config_names(config):
    config["compare"] = {"file": {"checkpoint": "config.yaml"}}
    found = resolve(config, models=False)
    assert compared(found, "calculator") == [] and compared(found, "checkpoint") == ["file"]


def test_a_property_model_s_network_is_described(config):
    config["benchmark"]["backbones"] = ["painn"]
    del config["models"]["schnet"]
    with pytest.raises(UserError, match=r"property\.recipes: schnet: 'schnet' is not described"):
        resolve(config)


def test_a_run_has_the_jobs_of_the_sections_that_it_has(config):
    """Each section taken away takes its trainings, rows and settings with it, and nothing else."""
    whole = everything(config)
    shown = {"tables": ["table2"], "figures": ["learning_curve"]}
    for left_out, lost in (
        (["property"], {job for job in whole if job.startswith("train/property.")}),
        (
            ["property", "pretrain"],
            {
                job
                for job in whole
                if job.startswith("train/pr") or job in ("relax/subset", "relax/d_opt")
            },
        ),
        (["benchmark"], {job for job in whole if job.startswith("train/benchmark.")}),
        (["compare"], {"relax/d_opt.GFN2-xTB"}),
    ):
        if "benchmark" in left_out:
            shown = {"tables": ["table4"], "figures": ["pretrain"]}
        kept = {key: one for key, one in config.items() if key not in left_out}
        jobs = everything(resolve(kept | shown, models=False))
        gone = {job for job in whole if job not in jobs and not job.startswith(("table/", "fig"))}
        assert gone == lost, left_out
        assert {job for job in jobs if job in whole and jobs[job] != whole[job]} <= {
            "report", "select", "seen", "audit", "table/table3",
        }  # fmt: skip


def test_what_a_run_lacks_is_in_no_stage_s_settings(config):
    kept = {key: one for key, one in config.items() if key not in ("property", "pretrain")}
    found = resolve(kept | {"tables": ["table2", "table3"], "figures": []}, models=False)
    assert stage_settings(found, "report")["lacks"] == ["pretrain"]
    assert stage_settings(found, "select")["splits"] == []
    assert stage_settings(found, "table/table3")["files"] == {
        "GFN2-xTB": "judged/d_opt.GFN2-xTB.csv"
    }
    assert "lacks" not in stage_settings(config, "report")
    bare = resolve({"run": "x"})
    assert shard_sources(bare) == {} and trainings(bare) == {}
    assert stage_settings(bare, "report")["lacks"] == ["store", "pretrain"]


def test_little_has_to_be_said_and_the_paper_s_values_are_the_defaults(repository, monkeypatch):
    """Force2Geo, appendices C and F, table 8 and section 4, typed from the paper."""
    monkeypatch.chdir(repository)
    found = resolve({
        "run": "x", "raw": {"logs": ["workflow/resources/demo"]}, "pretrain": {}, "property": {},
        "benchmark": {"backbones": ["painn"], "batch_size": {"painn": 32}},
        "models": {"painn": SMALL, "schnet": SMALL},
    })  # fmt: skip
    adam = {"name": "adam", "betas": [0.9, 0.999], "weight_decay": 0.0}
    loss = {"energy": "mae", "forces": "rmse", "energy_weight": 1.0, "force_weight": 1.0,
            "energy_per_atom": True, "force_scale": None}  # fmt: skip
    plateau = {"name": "plateau", "factor": 0.5, "patience": 2}
    potential = {"objective": "energy_forces", "seed": 7, "loss": loss, "reference": "mean",
                 "schedule": plateau, "ema": 0.0, "gradient_clip": 0.0,
                 "backbone": {"name": "painn", **SMALL}}  # fmt: skip
    assert stage_settings(found, "train/pretrain") == potential | {
        "data": "pretrain", "judged_on": "dft_1st", "batch_size": 64, "epochs": 9,
        "optimizer": adam | {"learning_rate": 1e-3},
    }  # fmt: skip
    assert stage_settings(found, "train/benchmark.painn") == potential | {
        "data": "benchmark", "judged_on": None, "batch_size": 32, "epochs": 100,
        "optimizer": adam | {"learning_rate": 5e-4},
    }  # fmt: skip
    geometry = stage_settings(found, "train/property.random.geometry_force2geo")
    assert geometry["optimizer"] == adam | {"learning_rate": 5e-4}
    assert geometry["schedule"] == {"name": "step", "step_size": 40, "gamma": 0.5}
    assert (geometry["noise"], geometry["geometry_weight"]) == (0.1, 0.1)
    assert (geometry["batch_size"], geometry["epochs"]) == (256, 200)
    assert stage_settings(found, "relax/d_opt") == {
        "data": "downstream", "molecules": "d_opt", "start": "hf",
        "potential": {"training": "pretrain"},
        "optimizer": "bfgs", "force_threshold": 0.05, "max_steps": 500,
    }  # fmt: skip
    assert stage_settings(found, "dft") == {
        "method": "b3lyp5", "basis": "6-31g*", "cartesian": True, "density_fit": False,
        "grid_level": 3, "conv_tol": 1e-8, "time_limit": 1800, "memory_limit": None,
    }  # fmt: skip
    assert stage_settings(found, "data/pretrain") == {
        "from": "pubchemqcr", "split": "pretrain", "sources": ["dft_1st"], "shards": SHARDS,
    }  # fmt: skip
    assert stage_settings(found, "data/downstream") == {
        "from": "pubchemqcr", "as": "molecules", "split": "subset", "shards": SHARDS, "seed": 7,
    }  # fmt: skip


def test_generating_has_the_defaults_of_the_library(config, tmp_path):
    (tmp_path / "a.smi").write_text("C\n")
    found = resolve(config | {"generate": {"molecules": str(tmp_path / "a.smi")}}, models=False)
    assert stage_settings(found, "generate") == asdict(Settings())


def test_a_calculator_is_found_without_importing_it(tmp_path, monkeypatch):
    (tmp_path / "lazy_one.py").write_text("import nothing_such\nfrom x import A as B\nC = 1\n")
    (tmp_path / "starred.py").write_text("from x import *\n")
    monkeypatch.syspath_prepend(tmp_path)
    lennard_jones = "ase.calculators.lj:LennardJones"
    for path in ("lazy_one:B", "lazy_one:C", "starred:D", "math:sin", lennard_jones):
        assert missing_import(path) == "", path
    assert missing_import("lazy_one:A") == "the module 'lazy_one' has no 'A'"
    assert missing_import("lazy_one.more:A") == "no module 'lazy_one.more' is installed"


def test_results_of_other_code_are_told(tmp_path):
    for name, code in (("select", code_version()), ("relax", "0.1.0 source 0123456789ab")):
        record = {"stage": name, "code": code}
        (tmp_path / f"{name}.provenance.json").write_text(json.dumps(record))
    assert made_by_other_code(tmp_path) == ["relax"]
    # Another commit of the same sources is the same code.
    record = {"stage": "select", "code": code_version().partition(" commit ")[0] + " commit abc"}
    (tmp_path / "select.provenance.json").write_text(json.dumps(record))
    assert made_by_other_code(tmp_path) == ["relax"]


def test_another_recipe_is_pretraining_but_for_what_it_says(config):
    model = {"variant": "published", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
    config["compare"]["mine"] = {"model": model, "training": {"epochs": 3}}
    resolve(config)
    plain, mine = (
        stage_settings(config, f"train/{name}") for name in ("pretrain", "pretrain.mine")
    )
    assert mine["epochs"] == 3 and mine["backbone"] == {"name": "painn", **model}
    assert plain | {"epochs": 3, "backbone": mine["backbone"]} == mine


def test_a_baseline_is_computed_once_of_each_data_set(config):
    config["benchmark"] |= {"backbones": ["painn", "schnet"], "baseline": "gfn1-xtb"}
    config["pretrain"]["baseline"] = "gfn2-xtb"
    emt = {"calculator": "ase.calculators.emt:EMT"}
    for name, value in (("none", None), ("same", "gfn2-xtb"), ("emt", emt)):
        config["compare"][name] = {"model": dict(SMALL), "training": {"baseline": value}}
    found = baselines(resolve(config, models=False))
    emt_name = next(name for name in found if "EMT" in name)
    assert set(found) == {"benchmark.gfn1-xtb", "pretrain.gfn2-xtb", emt_name}
    assert stage_settings(config, f"baseline/{emt_name}") == {
        "data": "pretrain", "baseline": emt | {"options": {}},
    }  # fmt: skip
    records = trainings(config)
    assert "baseline" not in records["pretrain.none"]
    same, own = records["pretrain.same"], records["pretrain"]
    assert same["baseline"] == own["baseline"] == found["pretrain.gfn2-xtb"]["baseline"]
    assert own["baseline"]["options"]["method"] == "GFN2-xTB"
    assert name_of(records["benchmark.painn"]) == "benchmark.gfn1-xtb" and not name_of({})
