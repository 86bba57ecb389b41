"""A PaiNN from scratch on true geometries for each target of the data; in no paper of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.evaluate.table import Table

COLUMNS = {
    "val": "Validation MAE",
    "test": "Test MAE",
    "unit": "Unit",
    "ratio": "Test MAE / deviation of the test's values (%)",
}


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics and predictions of the property models, `split: target, seed`."""
    from force2geo.plan.properties import by_target

    return by_target(config)


def build(asked: dict[str, Any], folder: Path) -> Table:
    """Return the table; of several seeds the run's own, which all targets have."""
    from force2geo.evaluate.figures import read_predictions
    from force2geo.evaluate.pooled import pooled
    from force2geo.evaluate.table import Cell, Table
    from force2geo.files import read_json
    from force2geo.plan.properties import BETWEEN, runs_of

    rows: dict[str, dict[str, Cell]] = {}
    sizes: dict[str, Any] = {}
    for label, seeds in runs_of(asked, folder).items():
        path = next(iter(seeds.values()))
        metrics = read_json(path)
        source = path.with_name("predictions.npz")
        arrays = read_predictions(source)
        true = arrays["test/property_true"].astype(float)
        errors = abs(arrays["test/property"].astype(float) - true)
        sizes = metrics["sizes"]
        cell = Cell(float(errors.mean()), source)
        _, *cell.interval, _, _ = pooled(errors[None])
        rows[label.partition(BETWEEN)[2]] = {
            "val": Cell(metrics["val"]["property_mae"], path),
            "test": cell,
            "unit": Cell(metrics["units"]["property_mae"], path),
            "ratio": Cell(float(100 * errors.mean() / true.std()), source),
        }
    notes = [
        f"On the data set {asked['data']}: {sizes['train']} molecules to train on, {sizes['val']} "
        f"to validate, {sizes['test']} to test, about; one training a row."
    ] if sizes else []  # fmt: skip
    notes.append("Intervals are 95 % of a bootstrap over test molecules.")
    return Table("targets", "Other targets, a PaiNN each", "Target", COLUMNS, rows, {}, notes)
