"""Tables, figures and page from metrics and single points that are typed in here."""

import csv
import html
import json
import re

import h5py
import miniature_known as known
import numpy as np
import pandas as pd
import pytest

KCAL = 627.5094738898777  # of a Hartree
# Of each molecule of D_opt: DFT energies (kcal/mol above the reference) of start and end, and the
# largest DFT force at the end (eV/Å).
POINTS = {
    "Force2Geo": [(10.0, 0.5, 0.1), (4.0, 0.8, 0.2), (2.0, 3.0, 0.3)],
    "Springs": [(10.0, 0.9, 0.04), (4.0, 0.4, 0.02), (2.0, 0.6, 0.06)],
}
PROPERTY = {  # validation and test MAE, eV: exact in binary, and no two alike
    ("random", "painn"): (0.25, 0.5), ("random", "schnet"): (0.75, 1.0),
    ("random", "force2prop"): (1.25, 1.5), ("random", "geometry_rdkit"): (1.75, 2.0),
    ("random", "geometry_hf"): (2.25, 2.5), ("random", "geometry_force2geo"): (2.75, 3.0),
    ("scaffold", "painn"): (3.25, 3.5), ("scaffold", "schnet"): (3.75, 4.0),
    ("scaffold", "force2prop"): (4.25, 4.5), ("scaffold", "geometry_rdkit"): (4.75, 5.0),
    ("scaffold", "geometry_hf"): (5.25, 5.5), ("scaffold", "geometry_force2geo"): (5.75, 6.0),
    ("random", "geometry_force2geo.noise=0.05"): (6.25, 6.5),
    ("random", "geometry_force2geo.noise=0.3"): (6.75, 7.0),
    ("random", "geometry_force2geo.geometry_weight=0.05"): (7.25, 7.5),
}  # fmt: skip
POTENTIALS = {  # energy MAE, force RMSE of validation, of zero; the same of test
    "schnet": (11.0, 22.0, 99.0, 13.0, 24.0, 98.0),
    "painn": (15.0, 26.0, 97.0, 17.0, 28.0, 96.0),
    "pretrain": (19.0, 30.0, 60.0, 21.0, 36.0, 72.0),
}


def write_run(folder, metrics, predictions):
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    np.savez(folder / "predictions.npz", **predictions)
    record = {
        "stage": "typed", "code": "c", "settings": {}, "settings_hash": folder.name,
        "inputs": {}, "output_hash": "o",
    }  # fmt: skip
    for name in ("metrics.json", "predictions.npz"):
        (folder / f"{name}.provenance.json").write_text(json.dumps(record))


def write_potential(folder, values):
    names = ("energy_mae", "force_rmse", "force_rmse_zero")
    history = [{"epoch": 0.0, "seconds": 90.0} | {f"val_{name}": 1.0 for name in names}]
    metrics = {
        "val": dict(zip(names, values[:3], strict=True)) | {"force_rmse_vector": values[1] + 100},
        "test": dict(zip(names, values[3:], strict=True)),
        "sizes": {"train": 50, "val": 20, "test": 10},
        "seconds_per_epoch": 90.0, "epochs": 1, "parameters": 1234, "history": history,
        "peak_memory_mb": 567.5, "trained_per_second": 32.5, "predicted_per_second": 64.25,
    }  # fmt: skip
    ones = {"energy": np.ones(2), "forces": np.ones((4, 3)), "atoms": np.array([2, 2])}
    both = {f"{name}{end}": value for name, value in ones.items() for end in ("", "_true")}
    parts = {f"{part}/{name}": value for part in ("val", "test") for name, value in both.items()}
    write_run(folder, metrics, parts)


def write_property(folder, cids, values):
    """Every molecule is off by as much as the mean says."""
    predictions, metrics = {}, {"sizes": {part: len(own) for part, own in cids.items()}}
    for part, error in zip(("val", "test"), values, strict=True):
        true = np.array([known.gap(cid) for cid in cids[part]])
        sign = np.where(np.arange(len(true)) % 2, -1, 1)
        predictions |= {f"{part}/property": true + sign * error, f"{part}/property_true": true}
        predictions[f"{part}/cid"] = np.array(cids[part], dtype="S9")
        metrics[part] = {"property_mae": error}
    metrics |= {"seconds_per_epoch": 1.0, "epochs": 1, "parameters": 9, "history": []}
    write_run(folder, metrics, predictions)


def write_points(path, cids, rows):
    table = []
    for cid, (start, end, force) in zip(cids, rows, strict=True):
        for name, value in (("start", start), ("relaxed", end), ("reference", 0.0)):
            table.append({
                "cid": cid, "geometry": name, "energy": -100 + value / KCAL,
                "max_force": force if name == "relaxed" else None,
                "seconds": 1.0, "outcome": "computed", "error": "", "aid": "",
            })  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    pd.DataFrame(table).to_csv(path, index=False)


@pytest.fixture(scope="module")
def evaluated(sprung, selection):
    """A folder with the tables of typed numbers; relaxations on springs."""
    out = sprung / "typed"
    for name, values in POTENTIALS.items():
        training = name if name == "pretrain" else f"benchmark.{name}"
        write_potential(out / "train" / training, values)
    for (split, recipe), values in PROPERTY.items():
        write_property(out / f"train/property.{split}.{recipe}", selection[split], values)
    for name, rows in POINTS.items():
        suffix = "" if name == "Force2Geo" else f".{name}"
        write_points(out / f"dft/d_opt{suffix}.csv", selection["d_opt"], rows)
    (out / "store").mkdir()
    sprung("audit", "--store", "@store", "--out", "@typed/store/audit.json")
    (out / "store/statistics.json").write_bytes((sprung / "store/statistics.json").read_bytes())
    (out / "relax").mkdir()
    springs = (sprung / "relax/d_opt.Springs.h5").read_bytes()
    for name in ("d_opt", "d_opt.Springs"):
        (out / f"relax/{name}.h5").write_bytes(springs)
        sprung(
            "judge", "--relaxed", f"@typed/relax/{name}.h5", "--dft", f"@typed/dft/{name}.csv",
            "--conformers", "@packed/downstream.h5", "--out", f"@typed/judged/{name}.csv",
            settings="no",
        )  # fmt: skip
    shown = sprung.json("settings/report.json")
    for kind in ("table", "figure"):
        for name in shown[f"{kind}s"]:
            sprung(kind, name, "--run", "@typed", "--out", f"@typed/{kind}s",
                   settings=f"{kind}/{name}")  # fmt: skip
    sprung("report", "--run", "@typed", "--out", "@typed/report.html")
    return sprung


def table(run, name):
    return pd.read_csv(run / f"typed/tables/{name}.csv", dtype={0: str}).pipe(
        lambda data: data.set_index(data.columns[0])
    )


def test_table_a3_counts_the_store(evaluated):
    found = table(evaluated, "table_a3")
    assert found["Snapshots"].tolist() == [45, 30, 68, 8, 157]
    assert found["Trajectories"].tolist() == [15, 15, 15, 4, 15]
    expected = [3, 2, 68 / 15, 2, 157 / 15]
    assert found["Snapshots a trajectory"].tolist() == pytest.approx(expected, rel=1e-3)
    assert found["Snapshots, published"]["PM3"] == 163015359


def test_table2_is_validation(evaluated):
    found = table(evaluated, "table2")
    for row, name in (("SchNet", "schnet"), ("PaiNN", "painn")):
        values = found.loc[row]
        assert values["Energy MAE (meV/atom)"] == POTENTIALS[name][0]
        assert values["Force RMSE, of components (meV/Å)"] == POTENTIALS[name][1]
        assert values["Force RMSE, of atoms (meV/Å)"] == POTENTIALS[name][1] + 100
        assert values["Parameters"] == 1234 and values["Peak memory (MB)"] == 567.5
        assert values["Training (snapshots/s)"] == 32.5
        assert values["Inference (snapshots/s)"] == 64.25
        assert values["Time (min/epoch)"] == 1.5
    assert found["Force RMSE, of atoms (meV/Å), published"]["PaiNN"] == 46.34


def cells(run, name):
    listed = run.json(f"typed/tables/{name}.json")["cells"]
    return {(cell["row"], cell["column"]): cell for cell in listed}


ROWS = {
    "table4": {
        "RDKit 3D + PaiNN": "geometry_rdkit", "PM3 & HF 3D + PaiNN": "geometry_hf",
        "Force2Geo + PaiNN": "geometry_force2geo", "DFT 3D + PaiNN (ground truth)": "painn",
    },
    "table6": {"SchNet": "schnet", "PaiNN": "painn", "Force2Prop w/ PaiNN": "force2prop"},
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_gap_tables_show_their_recipes(evaluated, name):
    found, traced = table(evaluated, name), cells(evaluated, name)
    for row, recipe in ROWS[name].items():
        for split in ("random", "scaffold"):
            for part, value in zip(("val", "test"), PROPERTY[split, recipe], strict=True):
                column = f"{split.capitalize()} {part} MAE (eV)"
                assert float(str(found[column][row]).split()[0]) == pytest.approx(value)
                cell = traced[row, f"{split}_{part}"]
                assert (
                    cell["value"] == pytest.approx(value)
                    and cell["settings_hash"] == f"property.{split}.{recipe}"
                )
                assert f"/train/property.{split}.{recipe}/" in cell["source"]


def test_sweeps_are_judged_on_validation(evaluated):
    noise, weight = table(evaluated, "table11"), table(evaluated, "table12")
    column = "Random val MAE (eV)"
    assert noise[column].dropna().to_dict() == {"0.05": 6.25, "0.3": 6.75}
    assert weight[column].dropna().to_dict() == {"0.05": 7.25}
    assert noise[f"{column}, published"]["0.05"] == 0.0807
    assert weight[f"{column}, published"]["0.05"] == 0.0802


def expected_rates(name):
    start, end, force = np.array(POINTS[name]).T
    return {
        "pct_energy": np.mean(100 * (start - end) / start),
        "pct_success": 100 * np.mean(end < 1.0),
        "pct_diverged": 100 * np.mean(end > start),
        "pct_force": 100.0,  # springs are converged, by their own forces
        "pct_force_dft": 100 * np.mean(force < 0.05),
    }


@pytest.mark.parametrize("name", POINTS)
def test_table3_is_arithmetic_of_the_single_points(evaluated, name):
    expected = expected_rates(name)
    assert name == "Springs" or len(set(expected.values())) == 5  # whatever is exchanged shows
    traced = {
        column: cell for (row, column), cell in cells(evaluated, "table3").items() if row == name
    }
    assert {"pct_energy", "pct_success", "pct_diverged", "pct_force"} <= set(traced)
    with h5py.File(evaluated / "typed/relax/d_opt.h5") as data:
        seconds = data["seconds"][:]
    assert traced.pop("seconds")["value"] == pytest.approx(seconds.mean()) and (seconds > 0).all()
    for column, cell in traced.items():
        assert cell["value"] == pytest.approx(expected[column], abs=1e-6), column
    shown = table(evaluated, "table3").loc[name]
    assert shown["Energy minimised (%)"] == pytest.approx(expected["pct_energy"], rel=1e-3)
    assert shown["Chemical accuracy (%)"] == pytest.approx(expected["pct_success"], rel=1e-3)
    assert shown["Diverged (%)"] == pytest.approx(expected["pct_diverged"], rel=1e-3)


def test_published_numbers_stand_beside_table3(evaluated):
    shown = table(evaluated, "table3").loc["Force2Geo"]
    assert shown["Energy minimised (%), published"] == 57.37
    assert shown["Chemical accuracy (%), published"] == 10.29
    assert shown["Diverged (%), published"] == 8.1


def kabsch(moving, fixed):
    from scipy.spatial.transform import Rotation

    one, other = moving - moving.mean(axis=0), fixed - fixed.mean(axis=0)
    return Rotation.align_vectors(other, one)[1] / np.sqrt(len(one))


@pytest.mark.parametrize("name", POINTS)
def test_molecules_of_table3_one_by_one(evaluated, selection, name):
    suffix = "" if name == "Force2Geo" else f".{name}"
    found = pd.read_csv(evaluated / f"typed/judged/d_opt{suffix}.csv", dtype={"cid": str})
    assert found["cid"].tolist() == selection["d_opt"]
    found = found.set_index("cid")
    with h5py.File(evaluated / "typed/relax/d_opt.Springs.h5") as data:
        ends = np.split(data["positions"][:], data["ptr"][1:-1])
    for cid, end, (begun, ended, force) in zip(selection["d_opt"], ends, POINTS[name], strict=True):
        row = found.loc[cid]
        assert row["to_gain"] == pytest.approx(begun, abs=1e-4)
        assert row["gained"] == pytest.approx(begun - ended, abs=1e-4)
        assert row["residual"] == pytest.approx(ended, abs=1e-4)
        assert row["percent"] == pytest.approx(100 * (begun - ended) / begun, rel=1e-4)
        assert row["max_force_dft"] == force
        assert row["diverged"] == (ended > begun)
        reference = known.reference(cid)
        assert row["rmsd"] == pytest.approx(kabsch(end, reference), rel=1e-4)
        assert row["rmsd_start"] == pytest.approx(kabsch(known.start(cid), reference), rel=1e-4)
        assert row["rmsd_start"] != pytest.approx(row["rmsd"], rel=1e-2)


def test_page_shows_the_tables(evaluated):
    page = (evaluated / "typed/report.html").read_text()
    for name in ("table_a3", "table2", "table3", "table4", "table6", "table11", "table12"):
        number = name[5:].strip("_").upper()
        text = page[page.index(f"<caption>Table {number}.") :]
        text = text[: text.index("</table>")]
        shown = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in text.split("<tr>")[2:]]
        with (evaluated / f"typed/tables/{name}.csv").open(newline="") as handle:
            header, *rows = csv.reader(handle)
        assert [html.unescape(h) for h in re.findall(r"<th [^>]*>(.*?)</th>", text)] == header[
            : len(shown[0])
        ]
        for cells_shown, row in zip(shown, rows, strict=True):
            assert [html.unescape(cell) for cell in cells_shown] == row[: len(cells_shown)]
    # 30 of 60 on validation, 36 of 72 on test.
    assert "Validation: force RMSE 30 meV/Å, 0.50 of predicting zero (60)" in page
    assert "Test: force RMSE 36 meV/Å, 0.50 of predicting zero (72), energy MAE 21.0" in page
    assert "15 molecules, 157 snapshots" in page and "1 log rejected" in page
    assert page.count("data:image/png;base64,") == 11
