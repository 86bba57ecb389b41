"""`judge`, `table` and `report` on a run of four molecules, whose numbers are typed in."""

import csv

import numpy as np
import pandas as pd
import pytest
import yaml

from force2geo.cli import main
from force2geo.config import resolve, stage_settings
from force2geo.files import record_provenance, write_json
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import write_relaxed
from force2geo.training_data.conformers import Conformers, write_conformers

CIDS = [f"{i:09d}" for i in range(1, 5)]
KCAL = 1 / 627.5094740631


def bond(length):
    return np.array([[0.0, 0, 0], [0, 0, length]])


def relaxation(status, force):
    run = Relaxation(np.array([6, 8]), bond(1.3), status=status)
    for length in (1.3, 1.2):
        run.record(bond(length), np.zeros((2, 3)), -1.0, force)
    return run


def points(path, ends, outcomes):
    """Starts 10 kcal/mol above the references, at their energy `ends`."""
    rows = [
        {"cid": cid, "geometry": name, "energy": value * KCAL if outcome == "computed" else None,
         "max_force": 0.2 if name == "relaxed" else 0.001, "seconds": 1.0, "outcome": outcome,
         "error": "" if outcome == "computed" else "took longer than 5 s", "aid": ""}
        for cid, end, last in zip(CIDS, ends, outcomes, strict=True)
        for name, value, outcome in (
            ("start", 10.0, "computed"), ("relaxed", end, last), ("reference", 0.0, "computed"),
        )
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(path, index=False)
    record_provenance(path, "dft", {}, [])


def training(folder, parts, **metrics):
    folder.mkdir(parents=True)
    history = [
        {"epoch": epoch, "seconds": 2.0, "val_force_rmse": 9.0, "val_energy_mae": 3.0,
         "val_force_rmse_zero": 99.0}
        for epoch in range(2)
    ]  # fmt: skip
    about = {"sizes": {"train": 5, "val": 2, "test": 2}, "history": history, "epochs": 2,
             "seconds_per_epoch": 2.0, "parameters": 11}  # fmt: skip
    write_json(folder / "metrics.json", about | metrics)
    np.savez(folder / "predictions.npz", **parts)
    for name in ("metrics.json", "predictions.npz"):
        record_provenance(folder / name, "train", {}, [])


@pytest.fixture
def run(tmp_path):
    """The files of a run, `results/small`."""
    home = tmp_path / "results/small"
    for name in ("store", "relax", "dft", "packed"):
        (home / name).mkdir(parents=True)
    stage = {"trajectories": 4, "snapshots": 8, "mean_snapshots": 2.0,
             "trajectories_by_steps": {"2": 4}}  # fmt: skip
    write_json(home / "store/statistics.json", {
        **dict.fromkeys(("pm3", "hf", "dft_1st", "dft_2nd", "dft_points"), stage),
        "trajectories": 4, "snapshots": 40, "mean_atoms": 2.0, "mean_heavy_atoms": 2.0,
        "elements": ["C", "O"], "rejected_logs": 0, "trajectories_with_breaks": 0,
        "molecules_by_atoms": {"2": 4}, "molecules_by_element": {"C": 4, "O": 4},
    })  # fmt: skip
    write_json(home / "store/audit.json", {
        "levels": [], "warnings": [], "tolerances": "Energies agree within so much.",
        "checks": [{"cid": CIDS[0], "stage": "hf", "verdict": "differs", "difference": 1.2e-3}],
    })  # fmt: skip
    potential = {"energy_mae": 3.0, "force_rmse": 9.0, "force_rmse_zero": 99.0}
    numbers = {"energy": np.ones(2), "energy_true": np.ones(2), "forces": np.ones((2, 3)),
               "forces_true": np.zeros((2, 3)), "atoms": np.array([2, 2])}  # fmt: skip
    parts = {f"test/{name}": value for name, value in numbers.items()}
    for folder in (home / "train/pretrain", home / "train/benchmark.painn"):
        training(folder, parts, val=potential, test=potential)
    values = {
        "painn": 0.25,
        "geometry_force2geo": 0.25,
        "geometry_force2geo.noise=0.05": 0.6,
        "geometry_force2geo.noise=0.3": 0.7,
        "geometry_force2geo.geometry_weight=0.2": 0.8,
    }
    for recipe, value in values.items():
        one = {"cid": np.array(CIDS[:2], dtype="S9"), "property": np.array([1.0, 2.0]),
               "property_true": np.array([1.0 + 2 * value, 2.0])}  # fmt: skip
        gaps = {f"{part}/{name}": array for part in ("val", "test") for name, array in one.items()}
        training(home / f"train/property.random.{recipe}", gaps, val={"property_mae": value},
                 test={"property_mae": 5 * value})  # fmt: skip
    runs = [relaxation("converged", 0.01)] * 2 + [relaxation("exploded", 0.01),
                                                 relaxation("step limit", 0.2)]  # fmt: skip
    for name in ("", ".other"):
        write_relaxed(home / f"relax/d_opt{name}.h5", CIDS, runs)
        record_provenance(home / f"relax/d_opt{name}.h5", "relax", {}, [])
    good = ["computed"] * 4
    points(home / "dft/d_opt.csv", [0.5, 5.0, 0.0, 2.0], good)
    points(home / "dft/d_opt.other.csv", [0.5, 0.5, 0.0, 0.0], [*good[:3], "not computed"])
    geometry = {name: np.concatenate([bond(1.1)] * 4) for name in ("dft", "hf", "rdkit")}
    write_conformers(home / "packed/downstream.h5", Conformers(
        CIDS, 2 * np.arange(5), np.tile([6, 8], 4), {}, geometry, np.zeros(4, int), np.ones(4, int),
    ))  # fmt: skip
    return home


def show(home, config, kind, name):
    """A table or figure made as the workflow makes it."""
    write_json(home / f"settings/{kind}/{name}.json", stage_settings(config, f"{kind}/{name}"))
    settings = f"{home}/settings/{kind}/{name}.json"
    out = f"{home}/{kind}s"
    assert main([kind, name, "--settings", settings, "--run", str(home), "--out", out]) == 0


@pytest.fixture
def config(repository, monkeypatch):
    monkeypatch.chdir(repository)
    config = resolve(yaml.safe_load((repository / "config.yaml").read_text()), models=False)
    config["compare"] = {"other": {"checkpoint": "config.yaml"}}
    config["benchmark"]["backbones"] = ["painn"]
    config["property"] |= {
        "splits": ["random"], "recipes": ["painn", "geometry_force2geo"],
        "sweeps": {"noise": [0.05], "geometry_weight": [0.2]},
    }  # fmt: skip
    return config


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return {row["Model"] if "Model" in row else next(iter(row.values())): row
                for row in csv.DictReader(handle)}  # fmt: skip


def test_the_run_s_numbers_reach_the_tables_and_the_page(run, config):
    for name in ("d_opt", "d_opt.other"):
        assert main([
            "judge", "--relaxed", f"{run}/relax/{name}.h5", "--dft", f"{run}/dft/{name}.csv",
            "--conformers", f"{run}/packed/downstream.h5", "--out", f"{run}/judged/{name}.csv",
        ]) == 0  # fmt: skip
    for name in ("table_a3", "table2", "table3", "table4", "table11", "table12"):
        show(run, config, "table", name)
    show(run, config, "figure", "residual")
    table = rows_of(run / "tables/table3.csv")
    # The fourth molecule was not computed for the other potential, and so for neither is judged.
    assert table["Force2Geo"]["Energy minimised (%)"] == "48.33"  # (95 + 50 + 0) / 3
    assert table["other"]["Energy minimised (%)"] == "63.33"  # (95 + 95 + 0) / 3
    assert table["Force2Geo"]["Chemical accuracy (%)"] == "33.33"
    assert table["other"]["Diverged (%)"] == "33.33"
    assert table["Force2Geo"]["Force converged, by the potential (%)"] == "66.67"
    assert table["Force2Geo"]["Force converged, by DFT (%)"] == "0"
    detail = pd.read_csv(run / "judged/d_opt.other.csv", dtype={"cid": str})
    assert detail["judged"].tolist() == [True, True, True, False]
    assert detail["rmsd"].tolist()[:2] == pytest.approx([0.05, 0.05])
    assert rows_of(run / "tables/table4.csv")["Force2Geo + PaiNN"]["Random val MAE (eV)"] == "0.25"
    sweep = rows_of(run / "tables/table11.csv")
    assert sweep["0.05"]["Random val MAE (eV)"] == "0.6"
    # 0.3 was trained once, but is none of the values of this run.
    assert sweep["0.3"]["Random val MAE (eV)"] == ""
    assert rows_of(run / "tables/table12.csv")["0.2"]["Random val MAE (eV)"] == "0.8"

    old = run / "relax/d_opt.older.h5"
    old.write_text("of a potential that is not compared any more")
    record_provenance(old, "relax", {}, [])
    write_json(run / "report.json", {
        "tables": ["table_a3", "table2", "table3", "table4", "table12"], "figures": ["residual"],
    })  # fmt: skip
    assert main(["report", "--settings", f"{run}/report.json", "--run", str(run),
                 "--out", f"{run}/report.html"]) == 0  # fmt: skip
    page = (run / "report.html").read_text()
    assert "Table 3." in page and "Table 12." in page and "Table 11." not in page
    assert "hf of 000000001: differs (+1.2e-03 Hartree)" in page
    assert "Energies agree within so much." in page
    for shown in ("dft/d_opt.other.csv", "relax/d_opt.h5", "train/pretrain/predictions.npz"):
        assert f"<summary><code>{shown}</code>" in page
    assert "older" not in page and page.count("data:image/png;base64,") == 1

    # A run without logs and potential shows nothing of those, whatever earlier ones left there.
    write_json(run / "bare.json", {
        "tables": ["table2"], "figures": [], "lacks": ["store", "pretrain"],
    })  # fmt: skip
    (run / "store/statistics.json").rename(run / "store/gone.json")
    command = ["report", "--run", str(run), "--out", f"{run}/bare.html"]
    assert main([*command, "--settings", f"{run}/bare.json"]) == 0
    bare = (run / "bare.html").read_text()
    assert "Table 2." in bare and "The potential learned" in page
    for part in ("<h2>Data", "<h2>Levels", "The potential learned", "predictions.npz</code> "):
        assert part not in bare
    write_json(run / "bare.json", {"tables": ["table2"], "figures": []})
    assert main([*command, "--settings", f"{run}/bare.json"]) == 2
