"""Which property models tables and figures ask for, of those that a run trains."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from force2geo.plan.trainings import lacking, property_geometries, same, trainings
from force2geo.plan.variants import (
    FORCE2PROP,
    SWEPT_RECIPE,
    SWEPT_SPLIT,
    TARGETS_BY,
    Variant,
    potential_of,
    scratch,
    seeds,
)
from force2geo.train.recipes import recipe

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SPLITS = ("random", "scaffold")
"""Those that the paper tells of."""
BETWEEN = ": "
"""Between the split and the row of a label."""
_SEED, _PREDICTIONS = ", seed ", ", predictions"


def files_of(config: dict[str, Any], asked: dict[str, Variant]) -> dict[str, str]:
    """Return metrics and predictions of what a run trains of variants, `LABEL, seed N`.

    Predictions stand beside metrics, which tables name; both are their inputs.
    """
    if not isinstance(target(config), str):
        return {}
    ids = same(trainings(config))
    files = {}
    for label, variant in asked.items():
        # What is trained once has the run's own, which may be none of the others'.
        for seed in dict.fromkeys([None, *seeds(config)]):
            training = ids.get(replace(variant, seed=seed).name())
            if training is not None:
                told = f"{label}{_SEED}{config['seed'] if seed is None else seed}"
                files[told] = f"train/{training}/metrics.json"
                files[told + _PREDICTIONS] = f"train/{training}/predictions.npz"
    return files


def runs_of(asked: dict[str, Any], folder: Path) -> dict[str, dict[int, Path]]:
    """Return the metrics that a table or figure asked for: by label, by seed."""
    runs: dict[str, dict[int, Path]] = {}
    for told, name in asked["files"].items():
        if not told.endswith(_PREDICTIONS):
            label, _, seed = told.rpartition(_SEED)
            runs.setdefault(label, {})[int(seed)] = folder / name
    return runs


def label(split: str, row: str) -> str:
    """Return the label of a row on a split."""
    return f"{split}{BETWEEN}{row}"


def target(config: dict[str, Any]) -> str | list[str]:
    """Return what property models predict: one target, or several at once, which no table shows."""
    found: str | list[str] = config["property"].get("target", "gap")
    return found


def about(config: dict[str, Any]) -> dict[str, str]:
    """Return what a table says of the data and what is predicted of it."""
    found = target(config)
    if isinstance(found, str):
        return {"data": data_of(config)["from"], "target": found}
    reason = "property.target names several, a table shows one: name the others under targets"
    return {"data": data_of(config)["from"], "target": ", ".join(found), "reason": reason}


def data_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return the entry of the data that property models learn from."""
    entry: dict[str, Any] = config["data"][config["property"]["data"]]
    return entry


def by_row(
    config: dict[str, Any], rows: dict[str, str], splits: Iterable[str] = SPLITS
) -> dict[str, Any]:
    """Return what a table of recipes by row is made of, on `splits`, and what rows lack."""
    asked = {
        label(split, row): Variant(split, name)
        for split in config["property"]["splits"]
        if split in splits
        for row, name in rows.items()
    }
    networks = {row: recipe(name).backbone for row, name in rows.items()}
    lacks = {
        row: lacking(config, str(network))
        for row, network in networks.items()
        if network in config["models"]
    }
    there = property_geometries(config)
    others = {row: recipe(name).geometry for row, name in rows.items()}
    return {
        "files": files_of(config, asked),
        "lacking": {row: packages for row, packages in lacks.items() if packages},
        "absent": {row: one for row, one in others.items() if one not in there},
        **about(config),
    }


def by_value(config: dict[str, Any], key: str) -> dict[str, Any]:
    """Return what a table of the values of a swept setting is made of."""
    values = config["property"]["sweeps"].get(key, [])
    asked = {
        label(SWEPT_SPLIT, str(value)): Variant(SWEPT_SPLIT, SWEPT_RECIPE, None, {key: value})
        for value in values
    }
    return {"files": files_of(config, asked), **about(config)}


FROM_SCRATCH, FROM_POTENTIAL = "from scratch", "Force2Prop"
"""The rows of figures 5 and 6."""
MAIN = "main"
"""The size or share of the run's other tables, whatever it is."""


def sized(config: dict[str, Any], split: str) -> dict[str, Variant]:
    """Return the property models by molecules to train on, `ROW, SIZE` on a split."""
    asked = {}
    for size in (MAIN, *config["property"]["sizes"]):
        changed = {} if size == MAIN else {"train_size": size}
        for row, name in ((FROM_SCRATCH, scratch(config)), (FROM_POTENTIAL, FORCE2PROP)):
            asked[label(split, f"{row}, {size}")] = Variant(split, name, None, changed)
    return asked


def by_size(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a learning curve is made of, on each split."""
    asked: dict[str, Variant] = {}
    for split in config["property"]["splits"]:
        asked |= sized(config, split)
    return {"files": files_of(config, asked)}


def by_share(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a curve over the potential's data is made of, on each split.

    `potentials` are the metrics of what each share has trained, which count its snapshots; the
    share 0 is from scratch.
    """
    asked, potentials = {}, {}
    ids = same(trainings(config))
    for share in (0, *config["property"]["shares"], 1):
        changed = {"share": share} if 0 < share < 1 else {}
        for split in config["property"]["splits"]:
            variant = Variant(split, FORCE2PROP if share else scratch(config), None, changed)
            asked[label(split, str(share))] = variant
        start = potential_of(config, variant)
        if start is not None and start in ids:
            potentials[str(share)] = f"train/{ids[start]}/metrics.json"
    files = files_of(config, asked)
    return {"files": files, "potentials": potentials}


def by_target(config: dict[str, Any]) -> dict[str, Any]:
    """Return what a table of the targets of the data is made of, on the first split."""
    section = config["property"]
    split = section["splits"][0]
    own = target(config)
    asked = {
        label(split, one): Variant(split, TARGETS_BY, None, {} if one == own else {"target": one})
        for one in (*([own] if isinstance(own, str) else []), *section["targets"])
    }
    return {"files": files_of(config, asked), **about(config)}
