"""Rounds of labels compared, from metrics that are typed in here."""

import numpy as np
import pytest

from force2geo.evaluate.rounds import label_curves, labels_for, paired_notes, read_rounds
from force2geo.evaluate.table import frame
from force2geo.files import record_provenance, write_json
from force2geo.tables import active

# Test force RMSE by way, labels and seed; its members are 1 below and 1 above. Random ones' errors
# are 40 / sqrt(labels / 100), the least sure's 40 / (labels / 100).
ERRORS = {
    ("random", 100, 7): 40.0, ("random", 200, 7): 28.28427, ("random", 400, 7): 20.0,
    ("spread", 100, 7): 40.0, ("spread", 200, 7): 20.0, ("spread", 400, 7): 10.0,
    ("random", 100, 8): 44.0, ("random", 200, 8): 34.0, ("random", 400, 8): 24.0,
    ("spread", 100, 8): 44.0, ("spread", 200, 8): 36.0, ("spread", 400, 8): 26.0,
}  # fmt: skip


@pytest.fixture
def asked(tmp_path):
    files = {}
    for (way, labels, seed), error in ERRORS.items():
        for member, apart in enumerate((-1.0, 1.0)):
            name = f"{'start' if labels == 100 else way}.{labels}.{seed}.{member}/metrics.json"
            content = {"test": {"force_rmse": error + apart}, "sizes": {"train": 1, "test": 30}}
            write_json(tmp_path / name, content)
            record_provenance(tmp_path / name, "train", {"seed": seed}, [])
            files[f"{way}, {labels}, seed {seed}, member {member}"] = name
    return {"files": files, "seeds": [7, 8], "members": 2}


def test_a_cell_is_the_mean_over_seeds_of_the_members_mean(asked, tmp_path):
    table = active.build(asked, tmp_path)
    assert list(table.rows) == ["100 labels", "200 labels", "400 labels"]
    cell = table.rows["400 labels"]["spread"]
    assert cell.value == pytest.approx(18.0) and cell.deviation == pytest.approx(np.sqrt(128))
    assert table.rows["200 labels"]["random"].value == pytest.approx((28.28427 + 34) / 2)
    assert "on the 30 snapshots of the test set" in table.notes[0]
    assert "seeds 7 and 8, 2 members each" in table.notes[0]
    assert list(frame(table).columns)[:2] == ["Trained on", "Force RMSE, random (meV/Å)"]


def test_labels_for_an_error_are_read_off_the_line_between_two_points():
    curve = {100: 40.0, 200: 20.0, 400: 10.0}  # error 4000 / labels
    for labels in (100, 150, 200, 333, 400):
        assert labels_for(curve, 4000 / labels) == pytest.approx(labels)
    assert np.isnan(labels_for(curve, 9.9)) and np.isnan(labels_for(curve, 40.1))
    # The first that reach it: what rises again later does not count against them.
    assert labels_for({100: 40.0, 200: 20.0, 400: 30.0}, 20.0) == pytest.approx(200)


def test_ways_are_compared_seed_by_seed(asked, tmp_path):
    found = read_rounds(asked, tmp_path)
    (note,) = paired_notes(found)
    # 10 − 20 and 26 − 24; seed 7 reaches 20 with 200 of 400, seed 8 never 24.
    assert "differ from random ones by -4 ± 8.5 meV/Å" in note
    assert "the error of 400 random ones in 1 of 2 seeds, with 200 labels, 50% on average" in note
    del found["random"]
    assert paired_notes(found) == []


def test_the_figure_has_a_line_a_way_with_bars_over_seeds(asked, tmp_path):
    axis = label_curves(read_rounds(asked, tmp_path)).axes[0]
    lines = {bars.get_label(): bars[0].get_xydata() for bars in axis.containers}
    assert set(lines) == {"least sure", "random"}
    np.testing.assert_allclose(lines["least sure"], [[100, 42], [200, 28], [400, 18]])
    assert axis.get_ylim()[0] == 0
