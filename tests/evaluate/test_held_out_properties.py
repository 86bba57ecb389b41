"""`force2geo calibrate` of property models, beside what their trainings predicted."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from force2geo.cli import main
from force2geo.training_data.conformers import Conformers, Target, write_conformers

COUNT = 60
CIDS = [f"{number:03d}" for number in range(COUNT)]
RECORD = {
    "objective": "property", "target": ["gap", "dipole"], "split": "random", "geometry": "rdkit",
    "start": None, "mixed": False, "epochs": 3, "batch_size": 8, "ema": 0.0, "gradient_clip": 10.0,
    "backbone": {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5},
    "optimizer": {"name": "adam", "learning_rate": 0.01, "betas": [0.9, 0.999],
                  "weight_decay": 0.0},
    "schedule": {"name": "step", "step_size": 9, "gamma": 0.5},
    "tracking": {"uri": "", "experiment": ""},
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two seeds on sixty molecules, waters but for two methanes in the test part."""
    folder = tmp_path_factory.mktemp("properties")
    rng = np.random.default_rng(0)
    numbers = [[8, 1, 1]] * COUNT
    numbers[58] = numbers[59] = [6, 1, 1, 1, 1]
    positions = np.concatenate([1.5 * rng.normal(size=(len(one), 3)) for one in numbers])
    dipole = rng.normal(size=COUNT)
    dipole[57] = np.nan
    write_conformers(folder / "c.h5", Conformers(
        CIDS, np.cumsum([0, *map(len, numbers)]), np.concatenate(numbers),
        {"gap": Target(rng.normal(size=COUNT), "eV"), "dipole": Target(dipole, "D")},
        {"dft": positions + 9.0 * rng.normal(size=positions.shape), "rdkit": positions},
        np.zeros(COUNT, int), np.ones(COUNT, int),
        {"random": {"train": CIDS[:24], "val": CIDS[24:30], "test": CIDS[30:]}},
    ))  # fmt: skip
    paths = []
    for seed in (7, 8):
        paths.append(folder / str(seed) / "model.pt")
        paths[-1].parent.mkdir()
        record = folder / f"{seed}.json"
        record.write_text(json.dumps(RECORD | {"seed": seed}))
        told = ["--settings", record, "--data", folder / "c.h5", "--out", paths[-1]]
        assert main(["train", *map(str, told), "--tracking", ""]) == 0
    return folder, paths


def calibrate(folder, paths, *more):
    out = folder / "measured.json"
    told = ["--model", *paths, "--data", folder / "c.h5", "--out", out, *more]
    code = main(["calibrate", *map(str, told)])
    if code:
        return code, None
    table = pd.read_csv(out.with_suffix(".csv"), dtype={"cid": str})
    return json.loads(out.read_text()), table


def test_several_answer_with_their_mean_and_differ_by_their_deviation(trained):
    folder, paths = trained
    found, table = calibrate(folder, paths)
    seen = [dict(np.load(path.with_name("predictions.npz"))) for path in paths]
    names = [cid.decode() for cid in seen[0]["test/cid"]]
    # Of an element never seen there is no number, of one molecule no truth.
    assert names == CIDS[30:57] and table["cid"].tolist() == names
    assert sum(found["left_out"].values()) == 3
    assert found["left_out"]["no value of dipole"] == 1
    assert any("never seen C" in why for why in found["left_out"])
    for name, unit in (("gap", "eV"), ("dipole", "D")):
        both = np.array([one[f"test/{name}"] for one in seen])
        error = both.mean(axis=0) - seen[0][f"test/{name}_true"]
        np.testing.assert_allclose(table[f"{name}_error"], error, atol=1e-5)
        np.testing.assert_allclose(
            table[f"{name}_spread"], np.abs(both[0] - both[1]) / np.sqrt(2), atol=1e-5
        )
        assert found["errors"][name] == {
            "mae": pytest.approx(np.abs(error).mean(), rel=1e-4), "unit": unit, "molecules": 27,
            "on": "test part of c.h5",
        }  # fmt: skip
        rank = stats.spearmanr(np.abs(both[0] - both[1]), np.abs(error)).statistic
        assert found["calibrated"][name]["spearman"] == pytest.approx(rank, abs=0.02)
        assert found["calibrated"][name]["unit"] == unit
    words = [row for row in found["rows"] if row["by"] == "applicability"]
    assert {row["of"] for row in words} == set(table["applicability"]) <= {"in", "edge", "outside"}
    for row in words:
        chosen = table["applicability"] == row["of"]
        assert row["gap"] == pytest.approx(table[chosen]["gap_error"].abs().mean())
        assert row["molecules"] == chosen.sum()
    assert folder.joinpath("measured.png").stat().st_size > 1000


def test_one_tells_no_spread_and_is_judged_as_it_was_tested(trained):
    folder, paths = trained
    kept = paths[0].with_name("predictions.npz")
    found, table = calibrate(folder, paths[:1], "--tested", kept)
    metrics = json.loads(paths[0].with_name("metrics.json").read_text())["test"]
    for name in ("gap", "dipole"):
        assert found["errors"][name]["mae"] == pytest.approx(metrics[f"{name}_mae"], rel=1e-5)
    assert len(table) == 27 and found["left_out"] == {} and "calibrated" not in found
    assert not any("spread" in column for column in table)


def test_what_cannot_be_judged_is_told(trained, capsys, tmp_path):
    folder, paths = trained
    code, _ = calibrate(folder, paths, "--source", "dft_1st")
    assert code == 2 and "property models are judged on molecules" in capsys.readouterr().err
    other = tmp_path / "c.h5"
    other.write_bytes((folder / "c.h5").read_bytes())
    told = ["--model", paths[0], "--data", other, "--out", tmp_path / "o.json"]
    for lost, message in (
        ("split", "no split 'random' of its own; give --tested"),
        ("target/dipole", "has no target 'dipole' to judge by, only gap"),
    ):
        with h5py.File(other, "a") as file:
            del file[lost]
        assert main(["calibrate", *map(str, told)]) == 2
        assert message in capsys.readouterr().err
