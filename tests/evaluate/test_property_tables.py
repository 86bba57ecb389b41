"""Tables of property models: rows, seeds, intervals and what is compared, worked out by hand."""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typed_runs import off_by, write_property_run

from force2geo.evaluate.pooled import pooled
from force2geo.evaluate.table import frame, published, write_table_files
from force2geo.tables import table4, table5, table6, table9, table10, table13, targets

TABLES = ("table1", "table4", "table5", "table6", "table7", "table9", "table10", "table13")
# Typed from the paper: validation MAE of the random split, the first row and the last.
PAPER = {
    "table1": {"GIN": 0.1249, "DFT + PaiNN": 0.0562},
    "table5": {"SchNet": 0.1216, "Force2Prop w/ PaiNN": 0.0483},
    "table7": {"SchNet": 0.0718, "Force2Prop w/ SchNet": 0.0572},
    "table9": {"GIN-virtual": 0.1038, "Force2Prop w/ PaiNN": 0.0308},
    "table10": {"DeNS w/ PaiNN": 0.0560, "Denoising w/ PaiNN": 0.0533,
                "Force2Prop w/ PaiNN": 0.0471},
    "table13": {"Relaxed 3D": 0.4846, "Ground truth 3D": 0.1137},
}  # fmt: skip


def asked_for(runs):
    """What a table asks for: `runs` are metrics files by split and row, by seed."""
    files = {}
    for (split, row), seeds in runs.items():
        for seed, path in seeds.items():
            files[f"{split}: {row}, seed {seed}"] = str(path)
            files[f"{split}: {row}, seed {seed}, predictions"] = str(
                path.with_name("predictions.npz")
            )
    return {"files": files, "data": "qm9"}


def typed(folder, rows, split="random"):
    """Runs of errors (M,) by row and seed."""
    return {
        (split, row): {
            seed: write_property_run(folder / split / row.replace("/", "") / str(seed), *off_by(e))
            for seed, e in seeds.items()
        }
        for row, seeds in rows.items()
    }


@pytest.fixture
def errors():
    rng = np.random.default_rng(1)
    hard = rng.gamma(2.0, 0.05, 60)
    return {
        "Force2Geo + PaiNN": {s: hard + rng.uniform(0, 0.02, 60) for s in (7, 8, 9)},
        "RDKit 3D + PaiNN": {s: hard + 0.1 + rng.uniform(0, 0.02, 60) for s in (7, 8, 9)},
        "DFT 3D + PaiNN (ground truth)": {7: hard * 0.5},
    }


def test_a_row_of_several_seeds_has_mean_deviation_and_interval(tmp_path, errors):
    table = table4.build(asked_for(typed(tmp_path, errors)), Path("/"))
    own = errors["Force2Geo + PaiNN"]
    cell = table.rows["Force2Geo + PaiNN"]["random_test"]
    means = [values.mean() for values in own.values()]
    assert cell.value == pytest.approx(np.mean(means))
    assert cell.deviation == pytest.approx(np.std(means, ddof=1))
    assert list(cell.runs.values()) == pytest.approx(means)
    expected = pooled(np.stack(list(own.values())))
    assert cell.interval == pytest.approx([expected.low, expected.high])
    # Of one seed it is scipy's.
    alone = errors["DFT 3D + PaiNN (ground truth)"][7]
    theirs = stats.bootstrap((alone,), np.mean, method="percentile").confidence_interval
    found = table.rows["DFT 3D + PaiNN (ground truth)"]["random_test"].interval
    assert found == pytest.approx(theirs, abs=0.1 * (theirs.high - theirs.low))
    # Of validation, which networks are chosen by, none is told.
    assert table.rows["Force2Geo + PaiNN"]["random_val"].interval is None
    notes = "\n".join(table.notes)
    assert "n = 3 trainings a row, seeds 7, 8 and 9" in notes
    assert "of other seeds: DFT 3D + PaiNN (ground truth) (7)" in notes
    assert "The target 'gap' of the data set qm9; published numbers are of the gap of" in notes


def test_what_a_reader_sees_has_the_interval_beside_its_number(tmp_path, errors):
    table = table4.build(asked_for(typed(tmp_path, errors)), Path("/"))
    data = frame(table).set_index("Model")
    place = list(data).index("Random test MAE (eV)")
    assert list(data)[place + 1 : place + 3] == [
        "Random test MAE (eV), standard deviation", "Random test MAE (eV), 95 % interval",
    ]  # fmt: skip
    told = data.loc["RDKit 3D + PaiNN", "Random test MAE (eV), 95 % interval"]
    low, high = map(float, re.fullmatch(r"([\d.]+) to ([\d.]+)", told).groups())
    cell = table.rows["RDKit 3D + PaiNN"]["random_test"]
    assert (low, high) == pytest.approx(cell.interval, rel=1e-3)
    assert low < cell.value < high
    assert data.loc["PM3 & HF 3D + PaiNN", "Random test MAE (eV), 95 % interval"] == ""
    assert not any("val MAE (eV), 95 %" in name for name in data)
    write_table_files(table, tmp_path / "tables")
    cells = json.loads((tmp_path / "tables/table4.json").read_text())["cells"]
    one = next(c for c in cells if c["row"] == "RDKit 3D + PaiNN" and c["column"] == "random_test")
    assert one["interval"] == pytest.approx(list(cell.interval))
    assert "to" in (tmp_path / "tables/table4.tex").read_text()


def test_rows_are_compared_with_the_method_s_molecule_by_molecule(tmp_path, errors):
    table = table4.build(asked_for(typed(tmp_path, errors)), Path("/"))
    (note,) = [note for note in table.notes if "paired" in note]
    found = re.search(r"RDKit 3D \+ PaiNN ([+-][\d.]+) \(([+-][\d.]+) to ([+-][\d.]+)\)", note)
    mean, low, high = map(float, found.groups())
    own, rdkit = errors["Force2Geo + PaiNN"], errors["RDKit 3D + PaiNN"]
    difference = np.mean([rdkit[s] - own[s] for s in own])
    assert mean == pytest.approx(difference, abs=1e-4) and low < mean < high
    # Paired, the molecules' own difficulty is gone from it.
    assert high - low < 0.5 * np.diff(table.rows["RDKit 3D + PaiNN"]["random_test"].interval)[0]
    assert "test MAE less that of Force2Geo + PaiNN" in note
    truth = re.search(r"truth\) (-[\d.]+)", note)
    expected = np.mean(errors["DFT 3D + PaiNN (ground truth)"][7] - own[7])
    assert float(truth[1]) == pytest.approx(expected, abs=1e-4)  # of the one seed in common


def test_errors_have_the_target_s_unit(tmp_path, errors):
    own = errors["Force2Geo + PaiNN"]
    paths = {s: write_property_run(tmp_path / str(s), *off_by(e), unit="D") for s, e in own.items()}
    asked = asked_for({("random", "Force2Geo + PaiNN"): paths}) | {"target": "dipole"}
    table = table4.build(asked, Path("/"))
    assert list(table.columns.values())[:2] == ["Random val MAE (D)", "Random test MAE (D)"]
    assert "The target 'dipole'" in table.notes[0]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_s_rows_are_the_paper_s(name):
    module = importlib.import_module(f"force2geo.tables.{name}")
    table = module.build({"files": {}, "data": "qm9"}, Path("/"))
    known = published(name)
    assert list(table.rows)[: len(known)] == list(known)
    assert set(module.ROWS) <= set(table.rows)
    for row, cells in table.rows.items():
        reasons = {cell.reason for cell in cells.values()}
        assert reasons == {
            "not part of this run's config" if row in module.ROWS
            else "no training of it in this version"
        }  # fmt: skip
    for row, value in PAPER.get(name, {}).items():
        assert known[row]["random_val"] == value


@pytest.mark.parametrize(
    ("module", "row", "recipe"),
    [
        (table4, "RDKit 3D + PaiNN", "geometry_rdkit"),
        (table4, "Force2Geo + PaiNN", "geometry_force2geo"),
        (table4, "PM3 & HF 3D + Uni-Mol+", "unimol_hf"),
        (table6, "Uni-Mol+", "unimol_rdkit"),
        (table6, "GIN-virtual", "gin_virtual"),
        (table10, "DeNS w/ PaiNN", "force2prop_dens"),
        (table10, "Denoising w/ PaiNN", "force2prop_denoising"),
        (table13, "Relaxed 3D", "scratch_force2geo"),
        (table13, "Ground truth 3D", "painn"),
    ],
)
def test_rows_are_of_the_training_that_they_say(module, row, recipe):
    assert module.ROWS[row] == recipe


def test_tables_of_other_data_say_what_they_need(repository, monkeypatch):
    import yaml

    from force2geo.config import resolve

    monkeypatch.chdir(repository)
    config = resolve(yaml.safe_load((repository / "config.yaml").read_text()), models=False)
    for module, said in ((table5, "nabladft"), (table9, "molecule3d, without a sample")):
        asked = module.request(config)
        assert asked["files"] == {} and asked["data"] == "pubchemqcr"
        table = module.build(asked, Path("/"))
        assert all(said in cell.reason for cell in table.rows["SchNet"].values())
    whole = {"from": "molecule3d", "as": "molecules", "folder": "m"}
    config["data"]["downstream"] = whole
    assert table9.request(config)["files"] and not table5.request(config)["files"]
    config["data"]["downstream"] = whole | {"sample": 600_000}
    assert not table9.request(config)["files"]
    config["data"]["downstream"] = {"from": "nabladft", "as": "molecules", "folder": "n"}
    assert table5.request(config)["files"] and "reason" not in table5.request(config)


def test_a_package_that_is_not_there_is_the_row_s_reason():
    asked = {"files": {}, "data": "qm9", "lacking": {"TorchMD-Net": ["torchmd-net"]}}
    cells = table6.build(asked, Path("/")).rows["TorchMD-Net"].values()
    assert {cell.reason for cell in cells} == {"torchmd-net not installed: make envs"}


def test_targets_have_their_own_units(tmp_path):
    rows = {"homo": ("eV", [0.1, 0.2, 0.3]), "dipole": ("D", [1.0, 1.0, 4.0])}
    runs = {
        ("random", row): {7: write_property_run(tmp_path / row, *off_by(errors), unit=unit)}
        for row, (unit, errors) in rows.items()
    }
    data = frame(targets.build(asked_for(runs), Path("/"))).set_index("Target")
    assert data["Unit"].to_dict() == {"homo": "eV", "dipole": "D"}
    assert data["Test MAE"].to_dict() == {"homo": "0.2", "dipole": "2"}
    deviation = np.std([5.0, 6.0, 7.0])
    share = data["Test MAE / deviation of the test's values (%)"].astype(float)
    assert share["homo"] == pytest.approx(100 * 0.2 / deviation, rel=1e-3)
    assert data.loc["dipole", "Test MAE, 95 % interval"] == "1 to 4"
