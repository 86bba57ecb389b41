"""`force2geo evaluate`: tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse

    from force2geo.evaluate.tables import Table


_SWEPT = {
    "noise": "Noise (Å) in geometry fine-tuning",
    "geometry_weight": "Weight of the geometry loss",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo evaluate --settings evaluate.json --statistics statistics.json "
        "\\\n    --benchmark benchmark/*/metrics.json --pretrain pretrain/metrics.json "
        "\\\n    --property property/*/*/metrics.json --relaxed relax/d_opt.h5 --dft dft/d_opt.csv "
        "\\\n    --conformers downstream.h5 --out results/demo"
    )
    add_settings(parser)
    parser.add_argument("--statistics", type=Path, required=True, help="statistics, JSON")
    parser.add_argument("--benchmark", type=Path, nargs="*", default=[], help="metrics files")
    parser.add_argument("--pretrain", type=Path, required=True, help="metrics file")
    parser.add_argument("--property", type=Path, nargs="*", default=[], help="metrics files")
    parser.add_argument("--relaxed", type=Path, required=True, help="relaxations of D_opt, HDF5")
    parser.add_argument("--dft", type=Path, required=True, help="single points, CSV")
    parser.add_argument(
        "--compared",
        type=Path,
        nargs="*",
        default=[],
        help="relaxations and single points of other potentials, d_opt.NAME.h5 and .csv in turn",
    )
    parser.add_argument(
        "--retrained",
        type=Path,
        nargs="*",
        default=[],
        help="metrics files of those trained by another recipe, pretrain.NAME/metrics.json",
    )
    parser.add_argument("--conformers", type=Path, required=True, help="downstream set, HDF5")
    parser.add_argument("--out", type=Path, required=True, help="folder for tables/ and figures/")


def _property_runs(paths: list[Path]) -> dict[tuple[str, str], Path]:
    """Return `{(split, recipe): metrics}`; the folders are named `<split>/<recipe>`."""
    return {(path.parent.parent.name, path.parent.name): path for path in paths}


def _compared(args: argparse.Namespace) -> list[tuple[str, Path, Path]]:
    """Return `.NAME`, relaxations and single points of each potential compared."""
    points = {path.stem: path for path in args.compared if path.suffix == ".csv"}
    return [
        (path.stem.removeprefix("d_opt"), path, points[path.stem])
        for path in args.compared
        if path.suffix == ".h5"
    ]


def _sweep_tables(settings: dict[str, Any], runs: dict[tuple[str, str], Path]) -> list[Table]:
    """Return tables 11 and 12, each where the settings list values to try."""
    from force2geo.config import SWEEP_TABLES
    from force2geo.evaluate.tables import sweep_table

    tables = []
    for key, title in _SWEPT.items():
        values = {float(value) for value in settings.get("sweeps", {}).get(key, [])}
        start = f"geometry_force2geo.{key}="
        found = {
            recipe.removeprefix(start): path
            for (split, recipe), path in runs.items()
            if split == "random"
            and recipe.startswith(start)
            and float(recipe.removeprefix(start)) in values
        }
        if values:
            tables.append(sweep_table(SWEEP_TABLES[key], title, title, found))
    return tables


def _tables(
    args: argparse.Namespace,
    settings: dict[str, Any],
    relaxations: dict[str, tuple[Any, Path]],
) -> list[Table]:
    from force2geo.evaluate.tables import (
        TABLE4_RECIPES,
        TABLE6_RECIPES,
        gap_table,
        table2,
        table3,
        table_a3,
    )

    runs = _property_runs(args.property)
    plain = {key: path for key, path in runs.items() if "=" not in key[1]}
    training = {"Force2Geo": args.pretrain}
    training |= {path.parent.name.removeprefix("pretrain."): path for path in args.retrained}
    return [
        table_a3(args.statistics),
        table2({path.parent.name: path for path in args.benchmark}),
        table3(relaxations, training),
        gap_table("table4", "HOMO–LUMO gap from geometries without DFT", TABLE4_RECIPES, plain),
        gap_table("table6", "HOMO–LUMO gap from DFT geometries", TABLE6_RECIPES, plain),
        *_sweep_tables(settings, runs),
    ]


def _remove_sweeps(folder: Path, written: set[str]) -> None:
    """Remove tables 11 and 12 of an earlier run whose config had them."""
    from force2geo.config import SWEEP_TABLES

    for name in set(SWEEP_TABLES.values()) - written:
        for suffix in (".csv", ".md", ".tex", ".json"):
            (folder / f"{name}{suffix}").unlink(missing_ok=True)


def run(args: argparse.Namespace) -> None:
    """Write tables and figures."""
    import numpy as np
    import pandas as pd

    from force2geo.config import read_settings
    from force2geo.evaluate import data_figures, figures
    from force2geo.evaluate.geometry import FORCE_THRESHOLD, per_molecule
    from force2geo.evaluate.tables import write_table_files
    from force2geo.files import atomic_path, read_json, reading, record_provenance
    from force2geo.relax.result import read_relaxed
    from force2geo.store.conformers import read_conformers

    settings = read_settings(args.settings)
    relaxed, conformers = read_relaxed(args.relaxed), read_conformers(args.conformers)
    table_folder, figure_folder = args.out / "tables", args.out / "figures"
    relaxations: dict[str, tuple[Any, Path]] = {}
    for suffix, relaxed_path, points_path in [("", args.relaxed, args.dft), *_compared(args)]:
        with reading(points_path, "single points, CSV"):
            points = pd.read_csv(points_path, dtype={"cid": str, "error": str})
            points[["cid", "geometry", "energy"]]  # a `KeyError` where it has others
        rows = per_molecule(points, read_relaxed(relaxed_path), conformers)
        detail = table_folder / f"relaxation{suffix}.csv"
        with atomic_path(detail) as part:
            rows.to_csv(part, index=False, float_format="%.6g")
        inputs = [relaxed_path, points_path, args.conformers]
        record_provenance(detail, "evaluate", settings, inputs)
        relaxations[suffix.removeprefix(".") or "Force2Geo"] = (rows, detail)
    molecules = relaxations["Force2Geo"][0]
    tables = _tables(args, settings, relaxations)
    _remove_sweeps(table_folder, {table.name for table in tables})
    for table in tables:
        write_table_files(table, table_folder)

    data_figures.draw(read_json(args.statistics), figure_folder)
    histories = {"pretrain": read_json(args.pretrain)["history"]}
    figures.save(figures.training_curves(histories), figure_folder, "pretrain")
    if args.benchmark:
        runs = {p.parent.name: read_json(p)["history"] for p in args.benchmark}
        figures.save(figures.training_curves(runs), figure_folder, "benchmark")
    with np.load(args.pretrain.with_name("predictions.npz"), allow_pickle=False) as file:
        figures.save(figures.parity_potential(dict(file)), figure_folder, "parity_potential")
    gaps = {}
    for (split, recipe), path in sorted(_property_runs(args.property).items()):
        if split == "random" and "=" not in recipe:
            with np.load(path.with_name("predictions.npz"), allow_pickle=False) as file:
                gaps[recipe] = dict(file)
    if gaps:
        figures.save(figures.parity_property(gaps), figure_folder, "parity_gap")
    figures.save(figures.relaxation_curves(relaxed, FORCE_THRESHOLD), figure_folder, "relaxation")
    residual = molecules["residual"].to_numpy(), molecules["to_gain"].to_numpy()
    figures.save(figures.residual_energies(*residual), figure_folder, "residual")
