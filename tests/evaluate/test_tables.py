"""Tables: every cell is the number of its own row, column, split and part, worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from force2geo.errors import UserError
from force2geo.evaluate.table import frame, published, trace, write_table_files
from force2geo.files import provenance_path, record_provenance, write_json
from force2geo.tables import table2, table4, table6, table11, table_a3


def built(table, **files):
    """A table of files by label."""
    return table.build({"files": files}, Path("/"))


def asked_for(runs, rows):
    """What a table of property models asks for: `runs` maps split and recipe to metrics by seed."""
    labels = {recipe: row for row, recipe in rows.items()}
    files = {}
    for (split, recipe), seeds in runs.items():
        for seed, path in (seeds if isinstance(seeds, dict) else {7: seeds}).items():
            files[f"{split}: {labels[recipe]}, seed {seed}"] = str(path)
            predictions = str(path.with_name("predictions.npz"))
            files[f"{split}: {labels[recipe]}, seed {seed}, predictions"] = predictions
    return {"files": files, "data": "known"}


def gaps(module, runs):
    """A table of property models from metrics files by split and recipe."""
    own = {key: path for key, path in runs.items() if key[1] in module.ROWS.values()}
    return module.build(asked_for(own, module.ROWS), Path("/"))


def sweep(runs):
    """Table 11 from metrics files by value."""
    return table11.build(
        asked_for({("random", v): p for v, p in runs.items()}, {v: v for v in runs}), Path("/")
    )


def metrics_file(folder, value, parts=None):
    """A run with MAE `value` in validation and three times that in the test, or as predicted.

    `parts` are {part: {cid: (true, predicted)}}.
    """
    path = folder / "metrics.json"
    content = {
        "val": {"property_mae": value, "energy_mae": value, "force_rmse": 2 * value,
                "force_rmse_zero": 9.0},
        "test": {"property_mae": 3 * value}, "seconds_per_epoch": 30.0,
        "sizes": {"train": 8, "val": 1, "test": 1},
    }  # fmt: skip
    if parts is not None:
        arrays = {}
        for part, molecules in parts.items():
            arrays[f"{part}/cid"] = np.array(list(molecules), dtype="S9")
            arrays[f"{part}/property_true"], arrays[f"{part}/property"] = np.array(
                list(molecules.values()), dtype=np.float32
            ).T
            content["sizes"][part] = len(molecules)
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "predictions.npz", **arrays)
        record_provenance(folder / "predictions.npz", "test", {"value": value}, [])
    write_json(path, content)
    record_provenance(path, "test", {"value": value}, [])
    return path


def test_one_molecule_of_a_sweep_is_not_molecules(tmp_path):
    swept = sweep({"0.2": metrics_file(tmp_path / "m", 0.2)})
    assert swept.notes and not any("1 molecules" in note for note in swept.notes)


def test_table_a3_counts_the_stages(tmp_path):
    def stage(trajectories, snapshots):
        return {"trajectories": trajectories, "snapshots": snapshots,
                "mean_snapshots": snapshots / trajectories if trajectories else 0}  # fmt: skip

    path = tmp_path / "statistics.json"
    write_json(path, {
        "pm3": stage(4, 40), "hf": stage(3, 12), "dft_1st": stage(2, 22), "dft_2nd": stage(0, 0),
        "dft_points": stage(1, 5), "trajectories": 4, "snapshots": 79, "mean_atoms": 9.25,
        "mean_heavy_atoms": 4.5, "elements": ["H", "C"], "rejected_logs": 7,
        "trajectories_with_breaks": 1,
    })  # fmt: skip
    table = built(table_a3, statistics=path)
    data = frame(table).set_index("Stage")
    ours = ["Trajectories", "Snapshots", "Snapshots a trajectory"]
    assert data.loc["PM3", ours].tolist() == ["4", "40", "10"]
    assert data.loc["Hartree-Fock", ours].tolist() == ["3", "12", "4"]
    assert data.loc["DFT 1st", ours].tolist() == ["2", "22", "11"]
    assert data.loc["DFT 2nd", ours].tolist() == ["", "", ""]
    assert data.loc["DFT 2nd", "Why empty"] == "the store has no such stage"
    assert data.loc["All stages", ours].tolist() == ["4", "79", "19.75"]
    assert data.loc["PM3", "Snapshots, published"] == "163015359"
    assert "with 5 single points" in table.notes[-1] and table.notes[1].startswith(
        "7 logs rejected; 1 trajectory with a stage"
    )


def test_a_sweep_is_judged_by_validation(tmp_path):
    runs = {value: metrics_file(tmp_path / value, float(value)) for value in ("0.20", "0.07")}
    data = frame(sweep(runs)).set_index("Noise (Å) in geometry fine-tuning")
    assert data.loc["0.2", "Random val MAE (eV)"] == "0.2"  # 0.6 in the test
    assert data.loc["0.07", "Random val MAE (eV)"] == "0.07"
    assert data.loc["0.2", "Random val MAE (eV), published"] and "0.20" not in data.index
    assert list(data.index) == sorted(data.index, key=float) and len(data) > 2
    untried = data.drop(["0.2", "0.07"])
    assert (untried["Random val MAE (eV)"] == "").all() and (untried["Why empty"] != "").all()


def test_every_recipe_stands_in_its_own_row(tmp_path):
    recipes = {"geometry_rdkit": 0.5, "geometry_hf": 0.4, "geometry_force2geo": 0.3, "painn": 0.2,
               "schnet": 0.7, "force2prop": 0.1}  # fmt: skip
    runs = {
        (split, recipe): metrics_file(tmp_path / split / recipe, value + shift)
        for split, shift in (("random", 0), ("scaffold", 1))
        for recipe, value in recipes.items()
    }
    for module, expected in (
        (table4, {
            "RDKit 3D + PaiNN": 0.5, "PM3 & HF 3D + PaiNN": 0.4, "Force2Geo + PaiNN": 0.3,
            "DFT 3D + PaiNN (ground truth)": 0.2,
        }),
        (table6, {"SchNet": 0.7, "PaiNN": 0.2, "Force2Prop w/ PaiNN": 0.1}),
    ):  # fmt: skip
        table = gaps(module, runs)
        for row, cells in table.rows.items():
            if row not in expected:
                assert all(cell.value is None and cell.reason for cell in cells.values())
                continue
            value = expected[row]
            assert {key: cell.value for key, cell in cells.items()} == pytest.approx({
                "random_val": value, "random_test": 3 * value,
                "scaffold_val": 1 + value, "scaffold_test": 3 * (1 + value),
            })  # fmt: skip


def test_models_are_judged_on_the_molecules_that_all_could_take(tmp_path):
    easy = {"000000001": (5.0, 5.1), "000000002": (6.0, 5.7)}
    hard = {"000000003": (7.0, 9.0)}
    runs = {
        # Without the molecule that RDKit could not embed; in another order.
        ("random", "geometry_rdkit"): metrics_file(
            tmp_path / "a", 9.0, {"val": easy, "test": dict(reversed(easy.items()))}
        ),
        ("random", "painn"): metrics_file(
            tmp_path / "b", 9.0,
            {"val": {"000000002": (6.0, 6.5), **hard},
             "test": {**hard, "000000002": (6.0, 6.0), "000000001": (5.0, 5.2)}},
        ),
    }  # fmt: skip
    table = gaps(table4, runs)
    rdkit, truth = table.rows["RDKit 3D + PaiNN"], table.rows["DFT 3D + PaiNN (ground truth)"]
    assert rdkit["random_val"].value == pytest.approx(0.3)
    assert truth["random_val"].value == pytest.approx(0.5)
    assert rdkit["random_test"].value == pytest.approx((0.1 + 0.3) / 2)
    assert truth["random_test"].value == pytest.approx((0.2 + 0.0) / 2)
    assert rdkit["random_val"].source.name == "predictions.npz"
    assert table.notes[1] == (
        "Random split: 8 molecules to train on; the same 1 to validate for all; the same 2 to "
        "test for all."
    )


def test_runs_without_names_of_molecules_say_how_many_each_had(tmp_path):
    path = metrics_file(tmp_path / "b", 0.2)
    content = json.loads(path.read_text())
    content["sizes"] = {"train": 7, "val": 2, "test": 1}
    write_json(path, content)
    runs = {("random", "geometry_rdkit"): metrics_file(tmp_path / "a", 0.3),
            ("random", "painn"): path}  # fmt: skip
    table = gaps(table4, runs)
    truth = "DFT 3D + PaiNN (ground truth)"
    assert table.rows[truth]["random_test"].value == pytest.approx(0.6)
    assert f"8 (RDKit 3D + PaiNN), 7 ({truth}) molecules to train on" in table.notes[1]
    assert f"1 (RDKit 3D + PaiNN), 2 ({truth}) to validate, each its own" in table.notes[1]


def test_predictions_of_other_data_are_not_compared(tmp_path):
    part = {"000000001": (5.0, 5.1)}
    runs = {("random", "painn"): metrics_file(tmp_path / "a", 1.0, {"val": part, "test": part})}
    other = {"000000001": (5.5, 5.1)}
    runs["random", "schnet"] = metrics_file(tmp_path / "b", 1.0, {"val": other, "test": part})
    with pytest.raises(UserError, match="other data"):
        gaps(table6, runs)
    other = {"000000009": (5.5, 5.1)}
    runs["random", "schnet"] = metrics_file(tmp_path / "b", 1.0, {"val": other, "test": part})
    with pytest.raises(UserError, match="no val molecule is in the predictions of all"):
        gaps(table6, runs)


def test_cells_of_several_versions_of_the_code_are_warned_of(tmp_path):
    paths = {f"{row}, seed 7": metrics_file(tmp_path / row, 1.0) for row in ("PaiNN", "SchNet")}
    write_table_files(built(table2, **paths), tmp_path / "tables")
    assert "Warning" not in (tmp_path / "tables/table2.md").read_text()
    # The data that one of them was trained on came from an older version.
    shard = tmp_path / "shard.lmdb"
    shard.write_text("x")
    record_provenance(shard, "curate", {}, [])
    record = provenance_path(shard)
    content = json.loads(record.read_text())
    same = content["code"].partition(" commit ")[0]
    record.write_text(json.dumps(content | {"code": "0.0.1 source 123 commit 4"}))
    record_provenance(paths["PaiNN, seed 7"], "train", {}, [shard])
    write_table_files(built(table2, **paths), tmp_path / "tables")
    text = (tmp_path / "tables/table2.md").read_text()
    assert "Warning: made by 2 versions of the code (0.0.1 source 123; " in text
    # Another commit of the same source is no other version, and evaluation only counts.
    record.write_text(json.dumps(content | {"code": f"{same} commit f00d"}))
    write_table_files(built(table2, **paths), tmp_path / "tables")
    assert "Warning" not in (tmp_path / "tables/table2.md").read_text()
    record.write_text(json.dumps(content | {"code": "0.0.1 source 123", "stage": "judge"}))
    write_table_files(built(table2, **paths), tmp_path / "tables")
    assert "Warning" not in (tmp_path / "tables/table2.md").read_text()


def test_cells_come_from_their_runs_or_say_why_not(tmp_path):
    path = metrics_file(tmp_path / "random/painn", 0.5)
    table = gaps(table6, {("random", "painn"): path})
    data = frame(table).set_index("Model")
    assert data.loc["PaiNN", "Random val MAE (eV)"] == "0.5"
    assert data.loc["PaiNN", "Random test MAE (eV)"] == "1.5"
    assert data.loc["PaiNN", "Scaffold val MAE (eV)"] == ""
    assert data.loc["GIN-virtual", "Random val MAE (eV)"] == ""
    assert data.loc["GIN-virtual", "Random val MAE (eV), published"] == "0.1249"
    assert data.loc["GIN-virtual", "Why empty"] and data.loc["PaiNN", "Why empty"]
    cells = trace(table)
    assert len(cells) == 2 and all(cell["source_hash"] and cell["settings_hash"] for cell in cells)


def test_a_row_says_what_its_network_lacks(tmp_path):
    asked = {"files": {"PaiNN, seed 7": metrics_file(tmp_path / "painn", 4.0)}, "lacking": {
        "Allegro": ["allegro", "nequip"],
    }}  # fmt: skip
    table = table2.build(asked, Path("/"))
    told = "Allegro: not trained, allegro and nequip not installed; `make envs` installs it."
    assert told in table.notes and not any("MACE" in note for note in table.notes)
    data = frame(table).set_index("Model")
    assert data.loc["Allegro", "Why empty"] == "allegro and nequip not installed: make envs"
    assert data.loc["MACE", "Why empty"] == "not part of this run's config"
    assert data.loc["PaiNN", "Energy MAE (meV/atom)"] == "4" and len(data) == 9


def test_table_files_are_written_whole(tmp_path):
    table = built(table2, **{"PaiNN, seed 7": metrics_file(tmp_path / "painn", 4.0)})
    write_table_files(table, tmp_path / "tables")
    data = pd.read_csv(tmp_path / "tables/table2.csv").set_index("Model")
    assert data.loc["PaiNN", "Energy MAE (meV/atom)"] == 4.0
    assert data.loc["PaiNN", "Time (min/epoch)"] == 0.5
    assert data.loc["PaiNN", "Force RMSE, of components (meV/Å)"] == 8.0
    assert np.isnan(data.loc["PaiNN", "Peak memory (MB)"])
    assert data.loc["PaiNN", "Why empty"] == "not measured by the version that trained it"
    assert np.isnan(data.loc["SchNet", "Force RMSE, of components (meV/Å)"])
    assert "& " in (tmp_path / "tables/table2.tex").read_text()
    traced = json.loads((tmp_path / "tables/table2.json").read_text())
    assert {cell["row"] for cell in traced["cells"]} == {"PaiNN"}


def test_published_tables_are_complete():
    assert len(published("table2")) == 9 and len(published("table6")) == 8
    assert published("table3")["Force2Geo"]["pct_success"] == 10.29
    assert published("table4")["Force2Geo + PaiNN"]["scaffold_test"] == 0.1832
