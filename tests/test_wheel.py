"""The wheel: what is in it, and that it trains, relaxes and predicts where it is installed."""

import csv
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from force2geo.training_data.conformers import Conformers, Target, write_conformers
from force2geo.training_data.packed import PackedWriter

RECORD = {
    "objective": "energy_forces", "judged_on": None, "start": None, "seed": 1, "epochs": 2,
    "batch_size": 4, "ema": 0.9, "gradient_clip": 10.0, "reference": "per_element",
    # No loops to compile: the copy installed here has none compiled.
    "backbone": {"name": "egnn", "layers": 1, "features": 8, "cutoff": 4.5},
    "optimizer": {"name": "adam", "learning_rate": 1e-3, "betas": [0.9, 0.999],
                  "weight_decay": 0.0},
    "schedule": {"name": "plateau", "factor": 0.5, "patience": 2},
    "loss": {"energy": "mae", "forces": "rmse", "energy_weight": 1.0, "force_weight": 1.0,
             "energy_per_atom": True},
}  # fmt: skip
WATER = np.array([[0, 0, 0.12], [0, 0.76, -0.47], [0, -0.76, -0.47]])
PREDICT = """
import json
import force2geo
model = force2geo.load("model.pt")
found = model.predict("O")[0]
shape = list(found["forces"].shape)
print(json.dumps([force2geo.__file__, float(found["energy"]), shape]))
"""


@pytest.fixture(scope="module")
def wheel(repository, tmp_path_factory):
    """Build it from a copy: building leaves files behind."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(repository / name, copy)
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(repository / "src", copy / "src", ignore=left_out)
    call = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*call, "--no-index", "--wheel-dir", out, copy], check=True)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Return what calls a program of an environment of the wheel and of what it depends on."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home / "venv", symlinks=True)
    own = sysconfig.get_paths(vars={"base": str(home / "venv")})["purelib"]
    # The packages of this environment, without what editable installs add to it.
    others = sysconfig.get_paths()["purelib"]
    python = home / "venv" / "bin" / "python"
    # What lies on the path already would count as installed.
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    call = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*call, "--no-index", wheel], check=True, env=clean)
    Path(own, "others.pth").write_text(others + "\n")

    def run(program, *arguments, status=0):
        done = subprocess.run(
            [home / "venv" / "bin" / program, *map(str, arguments)],
            cwd=home, env=clean, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == status, done.stderr[-3000:]
        return done.stdout

    run.home = home
    return run


def test_every_file_of_the_package_travels(wheel, repository):
    package = repository / "src"
    wanted = {
        path.relative_to(package).as_posix()
        for path in (package / "force2geo").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == wanted and "force2geo/evaluate/published.json" in held


def test_torch_is_a_range_that_holds_the_version_installed(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    (torch,) = (r for r in map(Requirement, project["dependencies"]) if r.name == "torch")
    lines = (repository / "envs/torch.txt").read_text().splitlines()
    (pin,) = (Requirement(line) for line in lines if not line.startswith("#"))
    (version,) = (one.version for one in pin.specifier)
    assert pin.name == "torch" and version in torch.specifier
    assert {one.operator for one in torch.specifier} == {">=", "<"}


def test_pinned_packages_of_networks_are_in_the_range_of_their_extra(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    files = {path.stem: path for path in (repository / "envs").glob("*.txt")}
    families = set(files) - {"lock", "torch", "overrides"}
    assert families == {"nequip", "allegro", "sevennet", "torchmd-net", "mace"}
    for family in families:
        (wanted,) = map(Requirement, extras[family])
        lines = files[family].read_text().splitlines()
        pins = {r.name: r for r in map(Requirement, (x for x in lines if not x.startswith("-r")))}
        (version,) = (one.version for one in pins[wanted.name].specifier)
        assert version in wanted.specifier, family


def test_it_trains_relaxes_and_predicts(installed):
    home = installed.home
    rng = np.random.default_rng(0)
    writer = PackedWriter(home / "x.h5", ["dft_1st"])
    for number, split in enumerate(["train"] * 4 + ["val", "test"]):
        moves = 0.05 * rng.normal(size=(3, 3, 3))
        energy = -2000.0 + (moves**2).sum(axis=(1, 2))
        cid, frames = f"{number:09d}", WATER + moves
        writer.add(cid, np.array([8, 1, 1]), frames, energy, -2 * moves, "dft_1st", split)
    writer.close()
    (home / "train.json").write_text(json.dumps(RECORD))
    installed(
        "force2geo", "train", "--settings", "train.json", "--data", "x.h5", "--out", "model.pt"
    )
    metrics = json.loads((home / "metrics.json").read_text())
    assert metrics["epochs"] == 2 and np.isfinite(metrics["test"]["energy_mae"])
    (home / "in.smi").write_text("O water\n")
    installed(
        "force2geo", "relax", "in.smi", "out.xyz", "--model", "model.pt", "--fmax", 100,
        "--device", "cpu",
    )  # fmt: skip
    out = (home / "out.xyz").read_text().splitlines()
    assert out[0].strip() == "3" and "relaxed_energy=" in out[1] and len(out) == 5
    where, energy, shape = json.loads(installed("python", "-c", PREDICT))
    assert where.startswith(str(home)) and shape == [3, 3]
    # All snapshots are waters near -2000 eV, which the reference energies take.
    assert energy == pytest.approx(-2000, abs=20)


GAPS = {key: value for key, value in RECORD.items() if key not in ("judged_on", "loss")} | {
    "objective": "property", "target": "gap", "split": "random", "geometry": "dft", "mixed": False,
}  # fmt: skip


def test_it_predicts_properties(installed):
    home = installed.home
    cids = [f"{number:09d}" for number in range(8)]
    positions = np.tile(WATER, (8, 1)) + 0.05 * np.random.default_rng(0).normal(size=(24, 3))
    gap = {"gap": Target(7 + 0.1 * np.arange(8.0), "eV")}
    write_conformers(home / "c.h5", Conformers(
        cids, 3 * np.arange(9), np.tile([8, 1, 1], 8), gap,
        dict.fromkeys(("dft", "hf", "rdkit"), positions), np.zeros(8, int), np.ones(8, int),
    ))  # fmt: skip
    parts = {"train": cids[:4], "val": cids[4:6], "test": cids[6:]}
    (home / "selection.json").write_text(json.dumps({"random": parts}))
    (home / "gap.json").write_text(json.dumps(GAPS))
    (home / "gap").mkdir()
    installed(
        "force2geo", "train", "--settings", "gap.json", "--data", "c.h5", "--selection",
        "selection.json", "--out", "gap/model.pt",
    )  # fmt: skip
    (home / "gaps.smi").write_text("O water\nCl acid\nO again\n")
    arguments = "gaps.smi", "--property", "gap", "--model", "gap/model.pt", "--out", "gaps.csv"
    done = installed("force2geo", "predict", *arguments, status=1)
    rows = list(csv.DictReader((home / "gaps.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["water", "acid", "again"] and done == ""
    # The mean of those trained on and what two epochs have added.
    assert float(rows[0]["gap (eV)"]) == pytest.approx(7.15, abs=0.5)
    assert rows[2]["gap (eV)"] == rows[0]["gap (eV)"] and rows[1]["gap (eV)"] == ""
    assert rows[1]["reason"] == "the model has never seen Cl"
    assert rows[0]["applicability"] in ("in", "edge", "outside")
    assert "delta: " in installed("force2geo", "models")
    (home / "water.smi").write_text("O water\n")
    assert "converged" in installed("force2geo", "relax", "water.smi", "relaxed.xyz")
