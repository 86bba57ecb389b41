"""Metrics of appendix D and the tables."""

import json

import numpy as np
import pandas as pd
import pytest

from force2geo.evaluate.geometry import intervals, per_molecule, summary
from force2geo.evaluate.tables import (
    TABLE6_RECIPES,
    frame,
    gap_table,
    published,
    table2,
    trace,
    write_table_files,
)
from force2geo.files import record_provenance, write_json
from force2geo.relax.result import Relaxed
from force2geo.store.conformers import Conformers

KCAL = 1 / 627.5094740631


def case(energies, max_forces):
    """Molecules of two atoms with (start, relaxed, reference) energies in kcal/mol."""
    count = len(energies)
    cids = [f"{i:09d}" for i in range(count)]
    geometry = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    rows = [
        {"cid": cid, "geometry": name, "energy": value * KCAL, "max_force": 0.01}
        for cid, triple in zip(cids, energies, strict=True)
        for name, value in zip(("start", "relaxed", "reference"), triple, strict=True)
    ]
    relaxed = Relaxed(
        cids=cids, atomic_numbers=[np.array([6, 8])] * count, energy=np.zeros(count),
        max_force=np.array(max_forces), steps=np.ones(count), status=["converged"] * count,
        frames=[np.array([geometry, geometry * 1.1])] * count, forces=[np.zeros((2, 2, 3))] * count,
        frame_energy=[np.zeros(2)] * count, frame_max_force=[np.zeros(2)] * count,
    )  # fmt: skip
    conformers = Conformers(
        cids=cids, ptr=2 * np.arange(count + 1), atomic_numbers=np.tile([6, 8], count),
        gap=np.ones(count), geometry={"dft": np.tile(geometry, (count, 1))},
        charge=np.zeros(count, int), multiplicity=np.ones(count, int),
    )  # fmt: skip
    return per_molecule(pd.DataFrame(rows), relaxed, conformers)


def test_rates_are_equations_10_to_14():
    molecules = case(
        [
            (10.0, 0.5, 0.0),  # nearly all gained, within chemical accuracy
            (10.0, 5.0, 0.0),  # half gained
            (4.0, 6.0, 0.0),  # uphill: diverged
            (8.0, np.nan, 0.0),  # single point failed: diverged, no success
        ],
        [0.01, 0.04, 0.06, 0.2],
    )
    assert molecules["percent"].tolist()[:3] == pytest.approx([95.0, 50.0, -50.0])
    found = summary(molecules)
    assert found["pct_energy"] == pytest.approx((95 + 50 - 50) / 3)
    assert found["pct_energy_median"] == pytest.approx(50.0)
    assert found["pct_energy_total"] == pytest.approx(100 * (9.5 + 5 - 2) / 24)
    assert found["pct_success"] == 25.0 and found["pct_diverged"] == 50.0
    assert found["pct_force"] == 50.0
    assert molecules["rmsd"].iloc[0] == pytest.approx(0.05)


def test_a_start_at_or_below_the_reference_has_no_percentage():
    molecules = case([(0.0, -0.1, 0.0), (-1.0, -1.5, 0.0)], [0.01, 0.01])
    assert molecules["percent"].isna().all()
    found = summary(molecules)
    assert np.isnan(found["pct_energy"]) and found["pct_success"] == 100.0
    assert found["pct_diverged"] == 0.0


def test_a_missing_reference_is_no_success_and_no_percentage():
    molecules = case([(10.0, 0.5, np.nan), (10.0, 0.5, 0.0)], [0.01, 0.01])
    assert molecules["residual"].isna().tolist() == [True, False]
    assert molecules["percent"].isna().tolist() == [True, False]
    found = summary(molecules)
    assert found["pct_success"] == 50.0 and found["pct_energy"] == pytest.approx(95.0)
    assert found["pct_diverged"] == 0.0


def test_intervals_are_as_wide_as_chance_makes_them():
    rng = np.random.default_rng(1)
    residual = np.where(rng.random(400) < 0.3, 0.5, 5.0)
    molecules = case([(10.0, end, 0.0) for end in residual], [0.01] * 400)
    found, sure = summary(molecules), intervals(molecules)
    low, high = sure["pct_success"]
    width = 2 * 1.96 * 100 * np.sqrt(0.3 * 0.7 / 400)  # of a binomial rate
    assert low < found["pct_success"] < high and high - low == pytest.approx(width, rel=0.1)
    assert sure["pct_force"] == (100.0, 100.0)
    assert sure["residual"][0] < residual.mean() < sure["residual"][1]
    assert intervals(molecules) == sure
    assert np.isnan(intervals(case([(0.0, 0.0, 0.0)], [0.01]))["pct_energy"][0])


def metrics_file(folder, value):
    path = folder / "metrics.json"
    content = {
        "val": {"property_mae": value, "energy_mae": value, "force_rmse": 2 * value,
                "force_rmse_zero": 9.0},
        "test": {"property_mae": 3 * value}, "seconds_per_epoch": 30.0,
        "sizes": {"train": 8, "val": 1, "test": 1},
    }  # fmt: skip
    write_json(path, content)
    record_provenance(path, "test", {"value": value}, [])
    return path


def test_cells_come_from_their_runs_or_say_why_not(tmp_path):
    path = metrics_file(tmp_path / "random/painn", 0.5)
    table = gap_table("table6", "t", TABLE6_RECIPES, {("random", "painn"): path})
    data = frame(table).set_index("Model")
    assert data.loc["PaiNN", "Random val MAE (eV)"] == "0.5"
    assert data.loc["PaiNN", "Random test MAE (eV)"] == "1.5"
    assert data.loc["PaiNN", "Scaffold val MAE (eV)"] == ""
    assert data.loc["GIN-virtual", "Random val MAE (eV)"] == ""
    assert data.loc["GIN-virtual", "Random val MAE (eV), published"] == "0.1249"
    assert data.loc["GIN-virtual", "Why empty"] and data.loc["PaiNN", "Why empty"]
    cells = trace(table)
    assert len(cells) == 2 and all(cell["source_hash"] and cell["settings_hash"] for cell in cells)


def test_table_files_are_written_whole(tmp_path):
    table = table2({"painn": metrics_file(tmp_path / "painn", 4.0)})
    write_table_files(table, tmp_path / "tables")
    data = pd.read_csv(tmp_path / "tables/table2.csv").set_index("Model")
    assert data.loc["PaiNN", "Energy MAE (meV/atom)"] == 4.0
    assert data.loc["PaiNN", "Time (min/epoch)"] == 0.5
    assert np.isnan(data.loc["SchNet", "Force RMSE (meV/Å)"])
    assert "& " in (tmp_path / "tables/table2.tex").read_text()
    traced = json.loads((tmp_path / "tables/table2.json").read_text())
    assert {cell["row"] for cell in traced["cells"]} == {"PaiNN"}


def test_published_tables_are_complete():
    assert len(published("table2")) == 9 and len(published("table6")) == 8
    assert published("table3")["Force2Geo"]["pct_success"] == 10.29
    assert published("table4")["Force2Geo + PaiNN"]["scaffold_test"] == 0.1832
