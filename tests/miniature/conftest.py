"""The miniature through the command line, stage by stage as tests ask for them."""

import copy
import json
import re
from pathlib import Path

import miniature_known as known
import numpy as np
import pandas as pd
import pytest
import yaml

from force2geo.cli import main
from force2geo.config import STAGES, resolve, stage_settings
from force2geo.plan.relaxations import relaxations
from force2geo.plan.shown import KINDS
from force2geo.plan.trainings import trainings

TINY = {"layers": 1, "features": 8, "basis_size": 8, "cutoff": 3.5}
FROZEN = {"name": "adam", "learning_rate": 1e-12, "betas": [0.9, 0.999], "weight_decay": 0.0}
CHANGES = {
    "seed": 3,
    "audit": {"sample": 0},
    "select": {"d_opt_size": 3, "fractions": {"train": 0.5, "val": 0.25, "test": 0.25}},
    "models": {"schnet": TINY, "painn": TINY},
    "benchmark": {"epochs": 1, "backbones": ["schnet", "painn"]},
    "pretrain": {"epochs": 2, "ema": 0.5},
    "relax": {"max_steps": 60},
    "dft": {"method": "hf", "basis": "sto-3g", "density_fit": False, "conv_tol": 1e-10},
    # Fine-tuning moves no weight: what it starts from and what it is judged on is laid open.
    "property": {
        "from_scratch": {"epochs": 2},
        "fine_tuning": {"epochs": 1, "optimizer": FROZEN},
        "sweeps": {"noise": [0.05, 0.3], "geometry_weight": [0.05]},
    },
    "tables": ["table_a3", "table2", "table3", "table4", "table6", "table11", "table12"],
}


def merged(base: dict, changes: dict) -> dict:
    result = copy.deepcopy(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


class Miniature:
    """A run's folder; calling it runs a command with the stage's settings."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder = folder
        config = merged(yaml.safe_load((repository / "config.yaml").read_text()), CHANGES)
        config["raw"] = {
            "logs": [str(folder / "logs")],
            "identifiers": str(folder / "molecules.csv"),
        }
        config["select"]["test_sets"] = [str(folder / "foreign.csv")]
        config["compare"] = {
            "Springs": {
                "calculator": "miniature_springs:Springs",
                "options": {"minima": str(folder / "minima.npz")},
            }
        }
        config = resolve(config)
        shown = [f"{kind}/{name}" for kind in KINDS for name in config[f"{kind}s"]]
        trained = [f"train/{name}" for name in trainings(config)]
        trained += [f"data/{name}" for name in config["data"]]
        relaxed = [f"relax/{name}" for name in relaxations(config)]
        for stage in (*STAGES, *trained, *relaxed, *shown):
            settings = stage_settings(config, stage)
            if "shards" in settings:
                settings["shards"] = ["logs"]
            path = folder / f"settings/{stage}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings))

    def __call__(self, command: str, *arguments: object, settings: str = "") -> None:
        """Run a command; `@name` stands for a path in the folder."""
        given = ["--settings", f"@settings/{settings or command}.json"] if settings != "no" else []
        words = [re.sub("^@", f"{self.folder}/", str(word)) for word in (*given, *arguments)]
        assert main([command, *words]) == 0

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def json(self, name: str):
        return json.loads((self.folder / name).read_text())

    def predictions(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / name, allow_pickle=False) as file:
            return dict(file)


@pytest.fixture(scope="session")
def curated(repository, tmp_path_factory):
    folder = tmp_path_factory.mktemp("miniature")
    known.write_logs(folder)
    run = Miniature(folder, repository)
    run(
        "curate", "--logs", "@logs", "--identifiers", "@molecules.csv",
        "--store", "@store/logs.lmdb", "--index", "@store/logs.index.parquet",
        "--rejects", "@store/logs.rejects.csv",
    )  # fmt: skip
    run(
        "statistics", "--store", "@store", "--index", "@store/index.parquet",
        "--rejects", "@store/rejects.csv", "--out", "@store/statistics.json",
    )  # fmt: skip
    return run


@pytest.fixture(scope="session")
def selected(curated):
    curated("select", "--index", "@store/index.parquet", "--out", "@selection.json")
    curated(
        "d-opt", "--index", "@store/index.parquet", "--selection", "@selection.json",
        "--out", "@d_opt.json", settings="d_opt",
    )  # fmt: skip
    return curated


@pytest.fixture(scope="session")
def selection(selected):
    return selected.json("selection.json") | selected.json("d_opt.json")


@pytest.fixture(scope="session")
def packed(selected):
    for use in ("benchmark", "pretrain"):
        selected(
            "data", "--selection", "@selection.json", "--store", "@store",
            "--out", f"@packed/{use}.h5", settings=f"data/{use}",
        )  # fmt: skip
    return selected


@pytest.fixture(scope="session")
def downstream(selected):
    selected(
        "data", "--selection", "@selection.json", "--store", "@store",
        "--out", "@packed/downstream.h5", settings="data/downstream",
    )  # fmt: skip
    return selected


def train(run, name: str, *arguments: str) -> None:
    run("train", *arguments, "--out", f"@train/{name}/model.pt", settings=f"train/{name}")


@pytest.fixture(scope="session")
def pretrained(packed):
    train(packed, "pretrain", "--data", "@packed/pretrain.h5")
    return packed


@pytest.fixture(scope="session")
def benchmarked(packed):
    train(packed, "benchmark.schnet", "--data", "@packed/benchmark.h5")
    return packed


def relax(run, name: str, selection: str, *arguments: str) -> None:
    run(
        "relax", "--conformers", "@packed/downstream.h5", "--selection", selection,
        *arguments, settings=f"relax/{name}",
    )  # fmt: skip


@pytest.fixture(scope="session")
def sprung(downstream, selection):
    """D_opt on springs, whose minima lie near the reference."""
    minima = {}
    for index, cid in enumerate(selection["d_opt"]):
        numbers, minimum = known.base(cid)[0], known.reference(cid) + 0.02 * known.pattern(cid, 9)
        minima |= {f"z{index}": numbers, f"x{index}": minimum}
    np.savez(downstream / "minima.npz", **minima)
    for piece in ("0-2", "2-3"):
        out = f"@relax/d_opt.Springs/{piece}.h5"
        relax(downstream, "d_opt.Springs", "@d_opt.json", "--range", piece, "--out", out)
    downstream(
        "gather", "--selection", "@d_opt.json", "--pieces", "@relax/d_opt.Springs", "--size", 2,
        "--out", "@relax/d_opt.Springs.h5", settings="relax/d_opt.Springs",
    )  # fmt: skip
    return downstream


@pytest.fixture(scope="session")
def relaxed(pretrained, downstream):
    """The subset on the pretrained potential, a few steps."""
    record = downstream.json("settings/relax/subset.json") | {"max_steps": 3}
    (downstream / "settings/relax/subset.json").write_text(json.dumps(record))
    relax(
        downstream, "subset", "@selection.json", "--model", "@train/pretrain/model.pt",
        "--out", "@relax/subset.h5",
    )  # fmt: skip
    return downstream


@pytest.fixture(scope="session")
def computed(sprung):
    """Single points of the springs' ends, RHF/STO-3G."""
    sprung(
        "dft", "--relaxed", "@relax/d_opt.Springs.h5", "--conformers", "@packed/downstream.h5",
        "--cache", "@dft/cache", "--out", "@dft/d_opt.Springs.csv",
    )  # fmt: skip
    return sprung


STARTS = {"force2prop": "@train/pretrain/model.pt"} | dict.fromkeys(
    ("geometry_rdkit", "geometry_hf", "geometry_force2geo"), "@train/property.random.painn/model.pt"
)


@pytest.fixture(scope="session")
def properties(relaxed, benchmarked):
    """Every recipe on the random split, one on the scaffold split."""
    recipes = [("random", name) for name in ("painn", "schnet", *STARTS)] + [("scaffold", "schnet")]
    for split, recipe in recipes:
        given = ["--start", STARTS[recipe]] if recipe in STARTS else []
        if recipe == "geometry_force2geo":
            given += ["--relaxed", "@relax/subset.h5"]
        train(
            relaxed, f"property.{split}.{recipe}", "--data", "@packed/downstream.h5",
            "--selection", "@selection.json", *given,
        )  # fmt: skip
    return relaxed


@pytest.fixture(scope="session")
def points_table():
    """A reader of the single points' table."""

    def read(path: Path) -> pd.DataFrame:
        return pd.read_csv(path, dtype={"cid": str}).set_index(["cid", "geometry"])

    return read
