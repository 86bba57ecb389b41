"""Test errors by labels, chosen where a committee is least sure and at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of all members by way to choose, labels, seed and member."""
    from force2geo.plan.rounds import request

    return request(config)


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table: a row a round, a column a way to choose; see `evaluate/rounds.py`."""
    from force2geo.evaluate.rounds import NAMES, paired_notes, read_rounds
    from force2geo.evaluate.table import Table, cell_of
    from force2geo.evaluate.wording import counted, listed
    from force2geo.files import read_json

    found = read_rounds(asked, folder)
    columns = {way: f"Force RMSE, {NAMES[way]} (meV/Å)" for way in found}
    numbers = sorted({labels for curve in found.values() for labels in curve})
    rows = {
        counted(labels, "label"): {
            way: cell_of({folder / seed.path: seed.error for seed in found[way][labels].values()})
            for way in found
        }
        for labels in numbers
    }
    metrics = read_json(folder / next(iter(asked["files"].values())))
    notes = [
        f"Of force components, on the {counted(metrics['sizes']['test'], 'snapshot')} of the test "
        "set; a seed's error is the mean of its members', each trained for as many steps whatever "
        f"the labels. Mean ± standard deviation (n − 1) of seeds {listed(asked['seeds'])}, "
        f"{asked['members']} members each.",
        *paired_notes(found),
    ]
    return Table("active", "Test error by labels", "Trained on", columns, rows, {}, notes)
