"""Sizes of the benchmark's networks (Force2Geo, table 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

COLUMNS = {
    "layers": "Layers",
    "features": "Hidden dimension",
    "batch_size": "Batch size",
    "parameters": "Parameters",
}
PUBLISHED = {
    "SchNet": (4, 128, 128),
    "PaiNN": (4, 128, 32),
    "NequIP": (5, 64, 16),
    "SevenNet": (5, 128, 16),
    "Allegro": (2, 128, 8),
    "FAENet": (4, 128, 64),
    "MACE": (2, 128, 8),
    "PACE": (2, 128, 8),
    "Equiformer": (4, 128, 32),
}


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return each network's settings, and the metrics of its first training, which count it."""
    from force2geo.plan.benchmarks import ROWS, by_seed
    from force2geo.plan.trainings import model, of_model

    asked = by_seed(config)
    sizes = {}
    for name in config["benchmark"]["backbones"]:
        network = model(config, name)
        batch = of_model(config["benchmark"]["batch_size"], name)
        own = {key: network.get(key) for key in ("layers", "features")}
        sizes[ROWS.get(name, name)] = own | {"batch_size": batch}
    return asked | {"sizes": sizes}


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table."""
    from force2geo.evaluate.table import NOT_IN_THIS_RUN, Cell, Table
    from force2geo.files import read_json
    from force2geo.plan.benchmarks import runs_of

    runs, rows = runs_of(asked, folder), {}
    for row in dict.fromkeys([*PUBLISHED, *asked["sizes"]]):
        seeds = runs.get(row, {})
        if not seeds:
            lacks = " and ".join(asked["lacking"].get(row, []))
            reason = f"{lacks} not installed: make envs" if lacks else NOT_IN_THIS_RUN
            rows[row] = {column: Cell(None, reason=reason) for column in COLUMNS}
            continue
        source = next(iter(seeds.values()))
        found = asked["sizes"][row] | {"parameters": read_json(source)["parameters"]}
        said = "left to the network's default"
        rows[row] = {
            column: Cell(found[column], source, said if found[column] is None else "")
            for column in COLUMNS
        }
    known = {
        row: dict(zip(COLUMNS, map(float, numbers), strict=False))
        for row, numbers in PUBLISHED.items()
    }
    notes = ["Parameters are those of the trained network, its heads among them."]
    return Table("table8", "Sizes of the networks", "Model", COLUMNS, rows, known, notes)
