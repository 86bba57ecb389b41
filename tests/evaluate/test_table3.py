"""Table 3 and its pairs: every cell from molecules typed in here."""

import numpy as np
import pandas as pd
import pytest

from force2geo.evaluate.optimised import rows_of
from force2geo.evaluate.table import frame
from force2geo.files import write_json
from force2geo.tables.table3 import FINISHED_COLUMNS, table3
from force2geo.tables.table3_paired import reference, table3_paired


def made(relaxed, training=None):
    """Table 3 of molecules and their files by row, none finished."""
    return table3(rows_of(relaxed, {}), training)


def molecules(**more):
    """Rows as `per_molecule` gives them: five, each rate another number."""
    rows = pd.DataFrame({
        "cid": [f"{i:09d}" for i in range(5)],
        "status": ["converged", "converged", "step limit", "refused", "bonds changed"],
        "judged": True, "failed": [False, False, False, True, False],
        "max_force": [0.01, 0.02, 0.06, np.nan, 0.03],
        "max_force_dft": [0.01, 0.2, 0.2, np.nan, 0.2],
        "to_gain": [10.0, 10.0, 10.0, 10.0, 10.0], "gained": [9.5, 8.0, 2.5, 0.0, 10.5],
        "residual": [0.5, 2.0, 7.5, np.nan, -0.5], "percent": [95.0, 80.0, 25.0, 0.0, 105.0],
        "diverged": [False, False, False, True, False], "rmsd_heavy": 0.0,
        "seconds": [1.0, 2.0, 3.0, np.nan, 6.0],
    })  # fmt: skip
    return rows.assign(**more)


def test_table_3_shows_each_rate_under_its_name(tmp_path):
    source = tmp_path / "relaxation.csv"
    data = frame(made({"Force2Geo": (molecules(), source)})).set_index("Model")
    row = data.loc["Force2Geo"]
    assert row["Energy minimised (%)"] == "61"  # (95 + 80 + 25 + 0 + 105) / 5
    assert row["Chemical accuracy (%)"] == "40"
    assert row["Diverged (%)"] == "20"
    assert row["Force converged, by the potential (%)"] == "60"
    assert row["Force converged, by DFT (%)"] == "20"
    # The published 4.2 % stands beside DFT's, and nothing beside the potential's own.
    assert row["Force converged, by DFT (%), published"] == "4.2"
    assert "Force converged, by the potential (%), published" not in data
    assert row["Diverged (%), published"] == "8.1"


def test_table_3_says_what_it_rests_on(tmp_path):
    one, other = molecules(), molecules(judged=[True, True, False, True, True])
    other.loc[0, "residual"] = 3.0
    table = made({"Force2Geo": (one, tmp_path / "a"), "GFN2-xTB": (other, tmp_path / "b")})
    # Molecule 2 is left out of both rows: (95 + 80 + 0 + 105) / 4.
    assert [row["pct_energy"].value for row in table.rows.values()] == [70.0, 70.0]
    assert [row["pct_success"].value for row in table.rows.values()] == [50.0, 25.0]
    notes = "\n".join(table.notes)
    assert "judged on the same 4 molecules" in notes and "1 of 5 for GFN2-xTB" in notes
    assert "Equation 14 does not say" in notes and "4.2 %" in notes
    assert "Force2Geo: 1 refused; each is a failure in every rate" in notes
    assert "1 ended as another molecule" in notes and "1 of them within chemical accuracy" in notes
    assert "residual energy of 3 molecules, median 0.50" in notes
    assert {row["pct_energy"].source.name for row in table.rows.values()} == {"a", "b"}


CIDS = list(molecules()["cid"])
FINISHED = "Force2Geo, finished by DFT"
ENDS = pd.DataFrame({
    "cid": CIDS, "status": ["minimum", "minimum", "saddle point", "not begun", "minimum"],
    "gradients": [2, 3, 20, 0, 3],
    "reason": ["", "", "", "the relaxation ended as refused", ""],
})  # fmt: skip


def finished_rows(folder):
    """Molecules before and after finishing; what it comes to, above the reference."""
    after = molecules(residual=[0.1, 1.9, 0.0, np.nan, -0.6], rmsd_heavy=[0, 0, 0, np.nan, 0.5])
    relaxed = {"Force2Geo": (molecules(), folder / "a"), FINISHED: (after, folder / "b")}
    return rows_of(relaxed, {FINISHED: ENDS.iloc[::-1]})


def test_table_3_counts_the_gradients_of_rows_that_dft_finished(tmp_path):
    table = table3(finished_rows(tmp_path))
    assert table.rows["Force2Geo"]["gradients"].value == 0
    assert table.rows[FINISHED]["gradients"].value == 7.0  # of the four that DFT was asked for
    assert table.rows[FINISHED]["gradients"].interval[1] > 10
    assert frame(table).set_index("Model").loc[FINISHED, "DFT gradients (mean)"] == "7"
    (note,) = [note for note in table.notes if "verifying" in note]
    assert "3 minimum" in note and "1 saddle point" in note
    assert "the relaxation ended as refused" in note
    assert "gradients" not in made({"Force2Geo": (molecules(), tmp_path / "a")}).columns


def test_table_3_measures_from_the_minimum_of_the_basin(tmp_path):
    table = table3(finished_rows(tmp_path))
    row, finished = table.rows["Force2Geo"], table.rows[FINISHED]
    found = {name: row[name].value for name in FINISHED_COLUMNS}
    assert found == pytest.approx({
        "basin_mean": (0.4 + 0.1 + 0.1) / 3, "basin_median": 0.1,
        "basin_within": 75.0,  # the refused one counts, the one at a saddle does not
        "pct_gained": 100 * (9.5 + 8 + 0 + 10.5) / (9.9 + 8.1 + 10 + 10.6),
        "lower_mean": (0.5 + 2.0 + 0.1) / 3, "other_basin": 200 / 3, "gradients": 0.0,
    })  # fmt: skip
    low, high = row["basin_mean"].interval
    assert (low, high) == pytest.approx((0.1, 0.4))
    assert row["basin_mean"].source.name == "a" and finished["lower_mean"].source.name == "b"
    # What DFT came to is no distance from itself, but one from the lower minimum.
    for name in ("basin_mean", "basin_median", "basin_within", "pct_gained"):
        assert finished[name].value is None and "is the basin's minimum" in finished[name].reason
    assert finished["lower_mean"].value == pytest.approx((0.1 + 1.9 + 0.0) / 3)
    told = "Force2Geo: DFT found a minimum from 3 of 5 relaxed molecules, 2 of them another"
    assert [note for note in table.notes if note.startswith(told)]
    assert any("0.2 kcal/mol" in note and "0.3 Å" in note for note in table.notes)


def test_a_row_that_dft_did_not_finish_says_so(tmp_path):
    after, ends = molecules(), ENDS.assign(status="minimum")
    relaxed = {"Force2Geo": (molecules(), tmp_path / "a"), "other": (molecules(), tmp_path / "c"),
               FINISHED: (after, tmp_path / "b")}  # fmt: skip
    table = table3(rows_of(relaxed, {FINISHED: ends}))
    assert table.rows["other"]["basin_mean"].value is None
    data = frame(table).set_index("Model")
    assert "finish.starts" in data.loc["other", "Why empty"]
    assert data.loc["Force2Geo", "Why empty"] == ""


def test_seconds_are_the_mean_or_why_there_are_none(tmp_path):
    row = made({"Force2Geo": (molecules(), tmp_path / "a")}).rows["Force2Geo"]
    assert (
        row["seconds"].value == 3.0 and row["seconds"].interval[0] < 3 < row["seconds"].interval[1]
    )
    old = made({"Force2Geo": (molecules(seconds=np.nan), tmp_path / "a")}).rows["Force2Geo"]
    assert old["seconds"].value is None and "kept no time" in old["seconds"].reason


def test_other_molecules_than_d_opt_s_have_no_published_numbers(tmp_path):
    rows = rows_of({"Force2Geo, from rdkit": (molecules(), tmp_path / "a")}, {})
    table = table3(rows, molecules="D_opt-120")
    assert table.title == "Geometry optimisation of D_opt-120" and not table.published


def test_pairs_are_of_one_start_and_one_stage():
    names = ["Force2Geo", "xTB", "Force2Geo, from rdkit", "xTB, from rdkit", FINISHED,
             "xTB, finished by DFT", "xTB, from rdkit, finished by DFT"]  # fmt: skip
    assert {name: reference(name, names) for name in names} == {
        "Force2Geo": None, "xTB": "Force2Geo", "Force2Geo, from rdkit": None,
        "xTB, from rdkit": "Force2Geo, from rdkit", FINISHED: "Force2Geo",
        "xTB, finished by DFT": FINISHED,
        # Where the run's own is not finished, it stands as it is.
        "xTB, from rdkit, finished by DFT": "Force2Geo, from rdkit",
    }  # fmt: skip


def test_rows_are_told_apart_molecule_by_molecule(tmp_path):
    rng = np.random.default_rng(3)
    residual, many = rng.normal(5, 3, 60), [f"{i:09d}" for i in range(60)]
    base = pd.concat([molecules().iloc[[0]]] * 60, ignore_index=True).assign(cid=many)
    one = base.assign(residual=residual, seconds=1.0)
    other = base.assign(residual=residual + 0.5, seconds=np.where(residual > 5, 2.0, 4.0))
    rows = rows_of({"Force2Geo": (one, tmp_path / "a"), "xTB": (other, tmp_path / "b")}, {})
    table = table3_paired(rows)
    assert list(table.rows) == ["xTB"]
    row = table.rows["xTB"]
    assert row["against"].value == "Force2Geo"
    assert row["residual"].value == pytest.approx(0.5)
    assert row["residual"].interval == pytest.approx((0.5, 0.5))
    slow = np.where(residual > 5, 1.0, 3.0)
    low, high = row["seconds"].interval
    assert row["seconds"].value == pytest.approx(slow.mean())
    assert high - low == pytest.approx(2 * 1.96 * slow.std() / np.sqrt(60), rel=0.1)
    assert "same 60 molecules" in table.notes[0]
    assert frame(table).loc[0, "Residual, mean (kcal/mol), 95 % interval"] == "0.5 to 0.5"


def test_paired_rows_without_a_number_say_why(tmp_path):
    table = table3_paired(finished_rows(tmp_path))
    row = table.rows[FINISHED]
    # Finished less unfinished: gradients of the finished one alone are no difference.
    assert row["gradients"].value is None and row["gradients"].reason
    assert row["lower_mean"].value == pytest.approx(2.0 / 3 - 2.6 / 3)


def test_table_3_of_failures_alone_has_no_numbers_that_are_none(tmp_path):
    failed = molecules(
        status="exploded", failed=True, residual=np.nan, gained=0.0, percent=np.nan, diverged=True,
        max_force=np.nan, max_force_dft=np.nan,
    )  # fmt: skip
    table = made({"Force2Geo": (failed, tmp_path / "a")})
    assert "Force2Geo: residual energy of 0 molecules." in table.notes
    assert "nan" not in " ".join(table.notes)
    values = {name: cell.value for name, cell in table.rows["Force2Geo"].items()}
    assert values["pct_success"] == values["pct_force_dft"] == 0.0
    assert values["pct_diverged"] == 100.0


def test_one_molecule_is_not_molecules(tmp_path):
    notes = made({"Force2Geo": (molecules().iloc[[1]], tmp_path / "a")}).notes
    assert "All rows are judged on the same 1 molecule." in notes
    assert any("residual energy of 1 molecule, median 2.00" in note for note in notes)
    assert not any("1 molecules" in note for note in notes)


def test_table_3_tells_how_long_training_took(tmp_path):
    history = [{"seconds": seconds} for seconds in (30.5, 20.0, 70.0)]
    write_json(tmp_path / "m.json", {"parameters": 1234, "epochs": 3, "history": history})
    table = made({"Force2Geo": (molecules(), tmp_path / "a")}, {"Force2Geo": tmp_path / "m.json"})
    told = "Force2Geo: 1234 weights, 3 epochs of training in 120 s."
    assert [note for note in table.notes if "weights" in note] == [told]
