"""Table 2 over seeds and the figures beside it, from metrics that are typed in here."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from force2geo.evaluate.benchmark_figures import costs_and_errors, learning_curves
from force2geo.evaluate.report import _heading, _table
from force2geo.evaluate.table import frame, readable, write_table_files
from force2geo.files import provenance_path, record_provenance, write_json
from force2geo.tables import table2

ROOT3 = np.sqrt(3)


def metrics(energy, force, seconds=60.0, parameters=1000, **more):
    return {
        "val": {"energy_mae": energy, "force_rmse": force, "force_rmse_vector": ROOT3 * force,
                "force_rmse_zero": 80.0},
        "test": {"energy_mae": 9e9, "force_rmse": 9e9, "force_rmse_vector": 9e9},
        "sizes": {"train": 8, "val": 4, "test": 2}, "seconds_per_epoch": seconds,
        "parameters": parameters, "peak_memory_mb": 500.0 + energy,
        "trained_per_second": 8 / seconds, "predicted_per_second": 100 * energy,
    } | more  # fmt: skip


def written(folder, rows):
    """What a table is asked to show: metrics by row and seed."""
    files = {}
    for row, runs in rows.items():
        for seed, content in runs.items():
            path = folder / f"{row}.{seed}/metrics.json"
            write_json(path, content)
            record_provenance(path, "train", {"seed": seed}, [])
            files[f"{row}, seed {seed}"] = str(path.relative_to(folder))
    return {"files": files, "lacking": {}}


@pytest.fixture
def asked(tmp_path):
    """Means 2 and 5, deviations 1 and 0.02; SchNet always behind but for one seed."""
    return written(tmp_path, {
        "PaiNN": {7: metrics(1.0, 30.0, 60.0), 8: metrics(2.0, 40.0, 66.0),
                  9: metrics(3.0, 35.0, 54.0)},
        "SchNet": {7: metrics(4.98, 50.0), 8: metrics(5.0, 39.0), 9: metrics(5.02, 55.0)},
    })  # fmt: skip


def test_the_title_names_other_data_than_the_papers(asked, tmp_path):
    assert table2.build(asked, tmp_path).title == "Backbones on the subset S, validation set"
    table = table2.build(asked | {"data": "rMD17"}, tmp_path)
    assert table.title == "Backbones on rMD17, validation set"
    assert "Published numbers are those of the subset S." in table.notes
    section = {"data": "mine", "backbones": [], "seeds": [7]}
    for name, data in (("rmd17", {"data": "rMD17"}), ("pubchemqcr", {})):
        config = {"seed": 7, "benchmark": section, "data": {"mine": {"from": name}}}
        assert table2.request(config) == {"files": {}, "lacking": {}} | data


def test_cells_are_means_over_seeds_with_their_deviations(asked, tmp_path):
    table = table2.build(asked, tmp_path)
    painn = table.rows["PaiNN"]
    assert painn["energy_mae"].value == 2.0 and painn["energy_mae"].deviation == 1.0
    assert painn["force_rmse"].value == 35.0 and painn["force_rmse"].deviation == 5.0
    assert painn["force_rmse_vector"].value == pytest.approx(ROOT3 * 35)
    assert painn["minutes_per_epoch"].value == pytest.approx(1.0)
    assert painn["minutes_per_epoch"].deviation == pytest.approx(0.1)
    assert painn["peak_memory_mb"].value == 502.0
    assert painn["predicted_per_second"].deviation == pytest.approx(100.0)
    assert table.rows["SchNet"]["energy_mae"].deviation == pytest.approx(0.02)
    assert "Mean ± standard deviation (n − 1) of n = 3 trainings a row, seeds 7, 8 and 9." in (
        table.notes
    )


def test_numbers_stand_apart_in_the_csv_and_together_for_people(asked, tmp_path):
    write_table_files(table2.build(asked, tmp_path), tmp_path / "out")
    data = pd.read_csv(tmp_path / "out/table2.csv").set_index("Model")
    energy = "Energy MAE (meV/atom)"
    assert data[energy]["PaiNN"] == 2.0 and data[energy]["SchNet"] == 5.0
    assert data[f"{energy}, standard deviation"]["PaiNN"] == 1.0
    assert data[f"{energy}, standard deviation"]["SchNet"] == 0.02
    assert data[f"{energy}, published"]["PaiNN"] == 5.13
    # All seeds have the same number of parameters: a count, with no spread beside it.
    assert data["Parameters"]["PaiNN"] == 1000
    assert "Parameters, standard deviation" not in data
    text = (tmp_path / "out/table2.md").read_text()
    assert "| PaiNN | 2.0 ± 1.0 | 60.6 ± 8.7 | 35.0 ± 5.0 | 1.00 ± 0.10 | 1000 |" in text
    assert "| SchNet | 5.000 ± 0.020 |" in text
    assert r"2.0 $\pm$ 1.0" in (tmp_path / "out/table2.tex").read_text()
    page = _table(tmp_path / "out/table2.csv", "Title")
    assert ">2.0 ± 1.0</td>" in page and "standard deviation" not in page
    assert page.count("<th ") == len(readable(frame(table2.build(asked, tmp_path))).columns)


def test_a_table_that_is_in_no_paper_has_no_number():
    assert _heading("table_a3", "Counts") == "Table A3. Counts"
    assert _heading("table2", "Backbones") == "Table 2. Backbones"
    assert _heading("hours", "Time") == "Time"


def test_every_run_behind_a_mean_is_traced(asked, tmp_path):
    write_table_files(table2.build(asked, tmp_path), tmp_path / "out")
    cells = json.loads((tmp_path / "out/table2.json").read_text())["cells"]
    found = [cell for cell in cells if (cell["row"], cell["column"]) == ("PaiNN", "energy_mae")]
    assert [cell["value"] for cell in found] == [1.0, 2.0, 3.0]
    assert {cell["mean"] for cell in found} == {2.0} and {cell["runs"] for cell in found} == {3}
    assert {cell["deviation"] for cell in found} == {1.0}
    assert [Path(cell["source"]).parent.name for cell in found] == ["PaiNN.7", "PaiNN.8", "PaiNN.9"]
    assert len({cell["settings_hash"] for cell in found}) == 3
    # One seed of another version of the code is warned of.
    record = provenance_path(tmp_path / "PaiNN.8/metrics.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"code": "0.0.1 source 123"}))
    write_table_files(table2.build(asked, tmp_path), tmp_path / "out")
    assert "made by 2 versions of the code" in (tmp_path / "out/table2.md").read_text()


def test_one_seed_is_shown_as_it_is(tmp_path):
    table = table2.build(written(tmp_path, {"PaiNN": {7: metrics(1.25, 30.0)}}), tmp_path)
    data = frame(table).set_index("Model")
    assert data["Energy MAE (meV/atom)"]["PaiNN"] == "1.25"
    assert not any("deviation" in name for name in data)
    assert table.notes[0] == "One training a row, seed 7."
    assert not any("Rank" in note for note in table.notes)


def test_rows_are_ranked_seed_by_seed(asked, tmp_path):
    table = table2.build(asked, tmp_path)
    (note,) = (note for note in table.notes if note.startswith("Rank"))
    # PaiNN is second with seed 8 alone: (1 + 2 + 1) / 3.
    assert note.endswith("PaiNN 1.33 (1), SchNet 1.67 (2).")


def test_a_model_that_the_paper_lacks_has_a_row_and_nothing_published(tmp_path):
    rows = {"wide": {7: metrics(1.0, 30.0)}, "Equiformer": {7: metrics(2.0, 40.0)}}
    table = table2.build(written(tmp_path, rows), tmp_path)
    data = frame(table).set_index("Model")
    assert data["Energy MAE (meV/atom)"]["wide"] == "1" and len(data) == 10
    assert data["Energy MAE (meV/atom), published"]["wide"] == "" == data["Why empty"]["wide"]
    (note,) = (note for note in table.notes if note.startswith("Rank"))
    assert note.endswith("wide 1, Equiformer 2 (1).")


def test_a_seed_that_was_measured_less_leaves_its_cell_empty(tmp_path):
    old = metrics(2.0, 40.0)
    del old["peak_memory_mb"]
    rows = {"PaiNN": {7: metrics(1.0, 30.0), 8: old}, "SchNet": {7: old, 8: old}}
    table = table2.build(written(tmp_path, rows), tmp_path)
    assert table.rows["PaiNN"]["peak_memory_mb"].value is None
    assert "not measured" in table.rows["PaiNN"]["peak_memory_mb"].reason
    assert table.rows["PaiNN"]["energy_mae"].value == 1.5


def test_a_training_that_diverged_is_no_number_and_has_no_rank(tmp_path):
    lost = metrics(np.nan, np.nan)
    rows = {"PaiNN": {7: metrics(1.0, 30.0)}, "SchNet": {7: lost}, "MACE": {7: metrics(1.0, 31.0)}}
    table = table2.build(written(tmp_path, rows), tmp_path)
    assert frame(table).set_index("Model")["Energy MAE (meV/atom)"]["SchNet"] == ""
    (note,) = (note for note in table.notes if note.startswith("Rank"))
    assert note.endswith("PaiNN 1 (1), MACE 2 (2).")


def test_digits_are_those_of_the_deviation(tmp_path):
    runs = {7: metrics(1234.5, 30.0), 8: metrics(1265.5, 30.004)}
    data = frame(table2.build(written(tmp_path, {"PaiNN": runs}), tmp_path)).set_index("Model")
    told = data.loc["PaiNN"]
    energy, force = "Energy MAE (meV/atom)", "Force RMSE, of components (meV/Å)"
    assert (told[energy], told[f"{energy}, standard deviation"]) == ("1250", "22")
    assert (told[force], told[f"{force}, standard deviation"]) == ("30.0020", "0.0028")


def points(axis):
    """The place, the bars' ends and the label of each point, by its colour."""
    found = {}
    for drawn in axis.containers:
        line, _, bars = drawn
        ends = [segment.tolist() for bar in bars for segment in bar.get_segments()]
        found[line.get_color()] = (*line.get_xydata()[0], ends)
    labels = {text.get_color(): text.get_text() for text in axis.texts}
    return {labels[color]: values for color, values in found.items()}


def test_costs_are_drawn_against_errors_of_atoms():
    runs = {
        "PaiNN": [metrics(1.0, 30.0, 2.0, 1000), metrics(3.0, 40.0, 4.0, 1000)],
        "SchNet": [metrics(9.0, 70.0, 1.0, 500), metrics(9.0, 70.0, 1.0, 500)],
    }
    trained, predicted, parameters, memory = costs_and_errors(runs).axes
    found = points(trained)
    x, y, ends = found["PaiNN"]
    assert (x, y) == pytest.approx((3.0, ROOT3 * 35))  # of 8/2 and 8/4 snapshots/s
    (low, high), (down, up) = ends
    assert [low[0], high[0]] == pytest.approx([3 - np.sqrt(2), 3 + np.sqrt(2)])
    assert [down[1], up[1]] == pytest.approx(ROOT3 * np.array([35 - 50**0.5, 35 + 50**0.5]))
    assert found["SchNet"][:2] == pytest.approx((8.0, ROOT3 * 70)) and not found["SchNet"][2]
    assert points(predicted)["PaiNN"][0] == 200.0 and points(memory)["PaiNN"][0] == 502.0
    assert points(parameters)["PaiNN"][0] == 1000 and points(parameters)["SchNet"][0] == 500
    assert [axis.get_xlabel() for axis in (trained, predicted, parameters, memory)] == [
        "training (snapshots/s)", "inference (snapshots/s)", "parameters",
        "peak memory of training (MB)",
    ]  # fmt: skip
    assert all(axis.get_xscale() == axis.get_yscale() == "log" for axis in (trained, memory))


def test_what_was_not_measured_or_is_no_number_has_no_point():
    old = metrics(1.0, 30.0)
    del old["trained_per_second"]
    runs = {"old": [old], "lost": [metrics(1.0, np.nan)], "PaiNN": [metrics(2.0, 20.0)]}
    trained, predicted, *_ = costs_and_errors(runs).axes
    assert set(points(trained)) == {"PaiNN"} and set(points(predicted)) == {"old", "PaiNN"}
    # Nothing to draw is an empty plot, with which the others can be drawn.
    axis, other, *_ = costs_and_errors({"old": [old]}).axes
    assert not axis.texts and not axis.containers and points(other)


def test_labels_cover_neither_each_other_nor_points():
    """Nine backbones of which three are nearly one point."""
    runs = {f"network {k}": [metrics(1.0 + k // 3, 30.0 + k // 3 + 0.1 * k)] for k in range(9)}
    figure = costs_and_errors(runs)
    figure.draw_without_rendering()
    axis = figure.axes[1]
    boxes = [text.get_window_extent() for text in axis.texts]
    assert len(boxes) == 9
    for k, box in enumerate(boxes):
        assert box.count_overlaps(boxes[:k]) == 0
        for line in axis.get_lines():
            x, y = axis.transData.transform(line.get_xydata()[0])
            assert not box.contains(x, y)


def history(forces, energies):
    return [
        {"epoch": k, "val_force_rmse": force, "val_energy_mae": energy, "val_force_rmse_zero": 90.0}
        for k, (force, energy) in enumerate(zip(forces, energies, strict=True))
    ]


def test_learning_curves_are_means_within_bands():
    runs = {
        # The second seed stopped early.
        "PaiNN": [history([80, 60, 50, 40], [8, 6, 5, 4]), history([60, 50, 30], [4, 2, 1])],
        "SchNet": [history([90, 85, 84, 83], [9, 8, 7, 6])],
    }
    forces, energies = learning_curves(runs).axes
    lines = {line.get_label(): line.get_xydata() for line in forces.get_lines()}
    np.testing.assert_allclose(lines["PaiNN"], [[1, 70 * ROOT3], [2, 55 * ROOT3], [3, 40 * ROOT3]])
    np.testing.assert_allclose(lines["SchNet"][:, 0], [1, 2, 3, 4])
    np.testing.assert_allclose(lines["predicting zero"][:, 1], 90 * ROOT3)
    lines = {line.get_label(): line.get_xydata() for line in energies.get_lines()}
    np.testing.assert_allclose(lines["PaiNN"], [[1, 6], [2, 4], [3, 3]])
    (band,) = energies.collections
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}
    assert {(1, 4), (1, 8), (2, 2), (2, 6), (3, 1), (3, 5)} <= corners
    assert forces.get_xscale() == forces.get_yscale() == energies.get_yscale() == "log"


def test_seventeen_networks_are_told_apart():
    runs = {f"network {k}": [history([90 - k], [9])] for k in range(17)}
    lines = learning_curves(runs).axes[0].get_lines()[:17]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 17
    assert all(line.get_marker() == "." for line in lines)  # of one epoch a line is nothing
