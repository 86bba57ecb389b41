"""The data set's counts, stage by stage (Force2Geo, appendix A.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

COLUMNS = {
    "trajectories": "Trajectories",
    "snapshots": "Snapshots",
    "mean_snapshots": "Snapshots a trajectory",
}
STAGES = {"PM3": "pm3", "Hartree-Fock": "hf", "DFT 1st": "dft_1st", "DFT 2nd": "dft_2nd"}


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return what the table is made of."""
    return {"files": {"statistics": "store/statistics.json"}}


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.table import Cell, Table, published
    from force2geo.evaluate.wording import counted
    from force2geo.files import read_json

    statistics = folder / asked["files"]["statistics"]
    found = read_json(statistics)
    rows: dict[str, dict[str, Cell]] = {}
    for row, stage in STAGES.items():
        counts, reason = found[stage], "the store has no such stage"
        present = counts["trajectories"] > 0
        rows[row] = {
            column: Cell(counts[column], statistics) if present else Cell(None, reason=reason)
            for column in COLUMNS
        }
    mean = found["snapshots"] / found["trajectories"]
    rows["All stages"] = {
        "trajectories": Cell(found["trajectories"], statistics),
        "snapshots": Cell(found["snapshots"], statistics),
        "mean_snapshots": Cell(mean, statistics),
    }
    notes = [
        f"{found['mean_atoms']:.1f} atoms a molecule, {found['mean_heavy_atoms']:.1f} of them "
        f"heavy (published: 29 and 14); {len(found['elements'])} elements (published: 25).",
        f"{counted(found['rejected_logs'], 'log')} rejected; "
        f"{counted(found['trajectories_with_breaks'], 'trajectory', 'trajectories')} with a stage "
        "that does not start where the one before ended.",
    ]
    if found["dft_points"]["snapshots"]:
        notes.append(
            f"All stages: with {counted(found['dft_points']['snapshots'], 'single point')} off the "
            "paths."
        )
    title = "The relaxations in the store"
    return Table("table_a3", title, "Stage", COLUMNS, rows, published("table_a3"), notes)
