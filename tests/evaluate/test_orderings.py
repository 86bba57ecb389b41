"""Orderings: each verdict is that of errors typed in so that it must come out."""

import json
from pathlib import Path

import numpy as np
import pytest
from typed_runs import off_by, write_property_run

from force2geo.evaluate.report import _verdict
from force2geo.evaluate.table import frame
from force2geo.plan.orderings import ORDERINGS
from force2geo.tables import orderings

RNG = np.random.default_rng(2)
HARD = RNG.gamma(2.0, 0.05, 200)
COLUMN = "Difference of test MAE (eV)"
TUNED = "Geometry fine-tuning improves on the same predictor on the same relaxed geometries"
SCRATCH = "Geometry fine-tuning improves on training from scratch on relaxed geometries"
RELAXED = "Relaxed geometries improve on RDKit's, {}"


def close_to(shift, seeds=(7, 8)):
    """Errors of seeds, the same molecules hard for all."""
    return {seed: np.abs(HARD + shift + RNG.normal(0, 0.005, 200)) for seed in seeds}


def table_of(folder, rows, sizes=(), noise=()):
    """The table of errors by label and seed."""
    files = {}
    for told, seeds in rows.items():
        for seed, errors in seeds.items():
            name = f"{told}, seed {seed}"
            path = write_property_run(folder / name.replace(":", ""), *off_by(errors))
            files[name] = str(path)
            files[f"{name}, predictions"] = str(path.with_name("predictions.npz"))
    asked = {"files": files, "data": "qm9", "split": "random", "sizes": list(sizes),
             "noise": list(noise)}  # fmt: skip
    return orderings.build(asked, Path("/"))


def verdicts(table):
    return {row: cells["verdict"].value for row, cells in table.rows.items()}


def test_every_verdict_is_told(tmp_path):
    rows = {
        "random: untuned_force2geo": close_to(0.10),
        "random: geometry_force2geo": close_to(0.05),
        "random: scratch_force2geo": close_to(0.05, (7,)),
        "random: geometry_rdkit": close_to(0.02),
        "random: untuned_rdkit": close_to(0.15),
    }
    table = table_of(tmp_path, rows)
    found = verdicts(table)
    assert found[TUNED] == "shown"
    assert found[SCRATCH] == "not shown"
    assert found[RELAXED.format("both fine-tuned")] == "opposite"
    untuned = RELAXED.format("for the predictor that learnt on true ones")
    assert found[untuned] == found[TUNED.replace("the same relaxed", "RDKit's")] == "shown"
    assert table.rows[untuned]["difference"].value == pytest.approx(0.05, abs=0.01)
    assert found["Force2Prop improves on training from scratch"] is None
    cells = table.rows[TUNED]
    expected = np.mean([
        rows["random: untuned_force2geo"][s] - rows["random: geometry_force2geo"][s] for s in (7, 8)
    ])  # fmt: skip
    assert cells["difference"].value == pytest.approx(expected)
    low, high = cells["difference"].interval
    assert 0 < low < expected < high
    worse = np.mean(list(rows["random: untuned_force2geo"].values()))
    assert cells["relative"].value == pytest.approx(100 * expected / worse)
    assert (cells["seeds"].value, cells["molecules"].value) == (2, 200)
    one = table.rows[SCRATCH]
    assert one["seeds"].value == 1
    data = frame(table).set_index("Prediction")
    assert data.loc[TUNED, "Verdict"] == "shown"
    assert data.loc[RELAXED.format("both fine-tuned"), f"{COLUMN}, published"] == "0.0776"
    missing = data.loc["Geometry improves on the molecular graph", "Why empty"]
    assert missing == "not part of this run's config: random: gin_virtual"


def test_force2prop_s_gain_is_compared_between_sizes(tmp_path):
    rows = {}
    for size, gain in ((500, 0.10), (2000, 0.05), (8000, 0.02)):
        rows[f"random: from scratch, {size}"] = close_to(gain)
        rows[f"random: Force2Prop, {size}"] = close_to(0.0)
    table = table_of(tmp_path, rows, sizes=(500, 2000, 8000))
    name = "Force2Prop improves on training from scratch, {} molecules"
    gains = [table.rows[name.format(size)]["difference"].value for size in (500, 2000, 8000)]
    assert gains == pytest.approx([0.10, 0.05, 0.02], abs=0.01)
    most = table.rows["Force2Prop gains more with 500 than with 8000 molecules"]
    assert most["verdict"].value == "shown"
    assert most["difference"].value == pytest.approx(gains[0] - gains[2])


@pytest.mark.parametrize(
    ("shifts", "expected"),
    [
        ({0.0: 0.05, 0.1: 0.0, 0.2: 0.01, 0.4: 0.05}, ["shown", "shown"]),
        ({0.0: 0.05, 0.1: 0.02, 0.2: 0.01, 0.4: 0.0}, ["shown", "opposite"]),
    ],
)
def test_the_noise_s_optimum_lies_inside_or_not(tmp_path, shifts, expected):
    rows = {f"random: noise {value}": close_to(shift) for value, shift in shifts.items()}
    table = table_of(tmp_path, rows, noise=sorted(shifts))
    best = min((0.1, 0.2), key=shifts.get)
    found = {row: word for row, word in verdicts(table).items() if row.startswith("Noise")}
    assert found == {
        f"Noise has an optimum: {best:g} Å improves on 0 Å": expected[0],
        f"Noise has an optimum: {best:g} Å improves on 0.4 Å": expected[1],
    }
    assert any(f"Noise {best:g} Å is the best in validation" in note for note in table.notes)


def test_the_noise_s_optimum_is_chosen_on_validation(tmp_path):
    rows = {f"random: noise {value}": {7: HARD + shift} for value, shift in
            {0.0: 0.05, 0.1: 0.01, 0.2: 0.0, 0.4: 0.05}.items()}  # fmt: skip
    table_of(tmp_path, rows, noise=(0.0, 0.1, 0.2, 0.4))
    # Validation says 0.1, the test 0.2.
    path = tmp_path / "random noise 0.1, seed 7/metrics.json"
    metrics = json.loads(path.read_text())
    metrics["val"]["property_mae"] = 0.0
    path.write_text(json.dumps(metrics))
    files = {}
    for told in rows:
        folder = tmp_path / f"{told}, seed 7".replace(":", "")
        files[f"{told}, seed 7"] = str(folder / "metrics.json")
    asked = {"files": files, "data": "qm9", "split": "random", "sizes": [],
             "noise": [0.0, 0.1, 0.2, 0.4]}  # fmt: skip
    found = orderings.build(asked, Path("/")).rows
    assert "Noise has an optimum: 0.1 Å improves on 0 Å" in found


def test_too_few_values_of_noise_have_no_inside(tmp_path):
    rows = {f"random: noise {value}": close_to(0.0) for value in (0.0, 0.1)}
    table = table_of(tmp_path, rows, noise=(0.0, 0.1))
    (cells,) = [c for row, c in table.rows.items() if row.startswith("Noise")]
    assert cells["verdict"].value is None and "property.sweeps.noise" in cells["verdict"].reason


def test_the_page_says_of_few_molecules_only_what_the_orderings_do_not(tmp_path):
    errors = {"force_rmse": 30.0, "force_rmse_zero": 60.0, "energy_mae": 5.0}
    (tmp_path / "train/pretrain").mkdir(parents=True)
    (tmp_path / "train/pretrain/metrics.json").write_text(
        json.dumps({"val": errors, "test": errors, "sizes": {"train": 50, "test": 10}})
    )
    assert "within their noise" in _verdict(tmp_path, ["table4"])
    assert "within their noise" not in _verdict(tmp_path, ["table4", "orderings"])


def test_every_claim_has_a_row_of_its_own(tmp_path):
    table = table_of(tmp_path, {})
    assert len(table.rows) == len(ORDERINGS) + 1
    assert all(cells["verdict"].reason for cells in table.rows.values())


def test_a_run_s_config_says_which_trainings_are_compared(repository, monkeypatch):
    import yaml

    from force2geo.config import resolve

    monkeypatch.chdir(repository)
    given = yaml.safe_load((repository / "config.yaml").read_text())
    given["property"] |= {"sizes": [20, 40], "sweeps": {"noise": [0.0, 0.1, 0.2]}}
    asked = orderings.request(resolve(given, models=False))
    files = {told: path for told, path in asked["files"].items() if "predictions" not in told}
    assert files["random: from scratch, seed 7"] == "train/property.random.painn/metrics.json"
    assert files["random: force2prop, seed 7"] == "train/property.random.force2prop/metrics.json"
    assert files["random: Force2Prop, 20, seed 7"] == (
        "train/property.random.force2prop.train_size=20/metrics.json"
    )
    assert files["random: noise 0.2, seed 7"] == (
        "train/property.random.geometry_force2geo.noise=0.2/metrics.json"
    )
    assert (asked["sizes"], asked["noise"]) == ([20, 40], [0.0, 0.1, 0.2])
