"""Counts over an index and a table of rejects that are typed in."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from force2geo.curation.curate import REJECT_COLUMNS
from force2geo.curation.index import schema, write_rows
from force2geo.curation.statistics import statistics

STAGES = ("pm3", "hf", "dft_1st", "dft_2nd", "dft_points")


def row(cid, atoms, heavy, elements, notes, **stages):
    """A row of the index; stages are (steps, status, program)."""
    values = {"cid": cid, "atoms": atoms, "heavy_atoms": heavy, "elements": elements,
              "notes": notes}  # fmt: skip
    for name in STAGES:
        keys = (f"{name}_{key}" for key in ("steps", "status", "program"))
        values |= dict(zip(keys, stages.get(name, (0, "", "")), strict=True))
    return values


ROWS = [
    row("000000001", 3, 1, "H O", "", pm3=(4, "converged", "mopac"),
        hf=(2, "converged", "gamess"), dft_points=(3, "not converged", "pyscf")),
    row("000000002", 5, 1, "C H", "hf starts 0.52 A off; dft_1st starts 1.00 A off",
        pm3=(199, "converged", "mopac"), hf=(201, "not converged", "gamess"),
        dft_1st=(6, "abnormal", "smash")),
    row("000000003", 9, 3, "C H O", "pm3: a run starts the path anew",
        pm3=(200, "converged", "tblite"), hf=(999, "converged", "gamess")),
]  # fmt: skip


@pytest.fixture
def files(tmp_path):
    with pq.ParquetWriter(tmp_path / "i.parquet", schema()) as writer:
        assert write_rows(writer, iter(ROWS)) == 3
    lines = [
        ("log", "no banner"), ("log", "cut"), ("log", "no banner"), ("file", "cut"),
        ("note", "mended"), ("note", "mended"), ("archive", "a bomb"),
    ]  # fmt: skip
    place = REJECT_COLUMNS.index("reason"), REJECT_COLUMNS.index("kind")
    text = [",".join(REJECT_COLUMNS)]
    for kind, reason in lines:
        cells = [""] * len(REJECT_COLUMNS)
        cells[place[0]], cells[place[1]] = reason, kind
        text.append(",".join(cells))
    (tmp_path / "r.csv").write_text("\n".join(text) + "\n")
    return tmp_path / "i.parquet", tmp_path / "r.csv"


def test_counts_means_and_histograms(files):
    found = statistics(*files)
    stages = {name: found.pop(name) for name in STAGES}
    assert found == {
        # 4 + 199 + 200, 2 + 201 + 999, 6 and 3
        "trajectories": 3, "snapshots": 1614, "mean_atoms": pytest.approx(17 / 3),
        "mean_heavy_atoms": pytest.approx(5 / 3), "elements": ["C", "H", "O"],
        "molecules_by_element": {"H": 3, "C": 2, "O": 2}, "molecules_by_atoms": {3: 1, 5: 1, 9: 1},
        "trajectories_with_breaks": 1, "rejected_logs": 3,
        "reject_reasons": {"no banner": 2, "cut": 1},
        "other_rejects": {"note": 2, "file": 1, "archive": 1},
    }  # fmt: skip
    assert stages["pm3"] == {
        "trajectories": 3, "snapshots": 403, "mean_snapshots": pytest.approx(403 / 3),
        "status": {"converged": 3}, "programs": {"mopac": 2, "tblite": 1},
        "trajectories_by_steps": {4: 1, 199: 1, 200: 1},
    }  # fmt: skip
    # The last bin takes all from 200 steps on.
    assert stages["hf"]["trajectories_by_steps"] == {2: 1, 200: 2}
    assert stages["hf"]["snapshots"] == 1202
    assert stages["hf"]["status"] == {"converged": 2, "not converged": 1}
    assert stages["dft_1st"]["mean_snapshots"] == 6.0
    assert stages["dft_2nd"] == {
        "trajectories": 0, "snapshots": 0, "mean_snapshots": 0.0, "status": {}, "programs": {},
        "trajectories_by_steps": {},
    }  # fmt: skip
    assert stages["dft_points"]["programs"] == {"pyscf": 1}


def test_rows_are_written_in_pieces_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("force2geo.curation.index._ROWS", 2)
    with pq.ParquetWriter(tmp_path / "i.parquet", schema()) as writer:
        assert write_rows(writer, iter(ROWS)) == 3
    found = pq.ParquetFile(tmp_path / "i.parquet")
    assert [found.metadata.row_group(k).num_rows for k in range(found.num_row_groups)] == [2, 1]
    assert found.read().column("cid") == pa.chunked_array([[r["cid"] for r in ROWS]])
