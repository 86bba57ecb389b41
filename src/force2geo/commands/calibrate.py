"""`force2geo calibrate`: models on snapshots or molecules that they never saw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from force2geo.commands.arguments import add_models

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from force2geo.potentials.model import Model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n"
        "  force2geo calibrate --model seed7/model.pt seed8/model.pt seed9/model.pt \\\n"
        "    --data packed/pretrain.h5 --source dft_1st --out spread.json\n"
        "  force2geo calibrate --model gap/model.pt --data packed/qm9.h5 --out gap.json\n\n"
        "OUT.json: mean absolute errors of energies (meV/atom) and forces (meV/Å), whole and by\n"
        "element, heavy atoms, charge and source. Of several potentials, which answer with their\n"
        "mean, also how their spread (standard deviation; of forces the largest over atoms) and\n"
        "the error go together: Spearman's rank correlation, bins, the scale by which a spread is\n"
        "an error bar, and the spread that 95 % of the molecules do not exceed, each at its\n"
        "snapshot nearest to the minimum: `force2geo relax --calibration OUT.json` takes it as\n"
        "the limit beyond which an end is unsure. OUT.csv has a row for each snapshot; OUT.png\n"
        "and .svg are the plot. Of property models the errors are those of each property, by\n"
        "applicability, too (force2geo predict), on the part of the split that they learnt on, in\n"
        "the geometry that they learnt from; several of one property answer with their mean"
    )
    add_models(parser, required=True)
    parser.add_argument(
        "--data", type=Path, required=True, help="packed snapshots, or molecules, HDF5"
    )
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--source", help="of these snapshots alone, dft_1st say (all)")
    parser.add_argument(
        "--tested",
        type=Path,
        help="predictions.npz of a training: of the molecules in its part alone (all of the split)",
    )
    parser.add_argument("--device", help="cpu or cuda (a GPU where there is one)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")


def run(args: argparse.Namespace) -> None:
    """Measure and write."""
    from force2geo import load
    from force2geo.errors import UserError
    from force2geo.files import atomic_path, record_provenance, write_json
    from force2geo.potentials.devices import choose_device
    from force2geo.prediction import shipped

    if args.out.suffix.lower() != ".json":
        raise UserError(f"--out {args.out}: give a .json file; the others lie beside it")
    if shipped.predicts_properties(args.model):
        if args.source:
            raise UserError("--source: property models are judged on molecules, which have none")
        paths = shipped.chosen(args.model, [])
        table, found, settings = _properties(args, paths)
    elif args.tested:
        raise UserError("--tested: potentials are judged on all snapshots of a part")
    else:
        paths, _ = shipped.potential(args.model)
        table, found = _potential(args, load(paths, choose_device(args.device)))
        settings = {"split": args.split, "source": args.source}
    with atomic_path(args.out.with_suffix(".csv")) as part:
        table.to_csv(part, index=False)
    write_json(args.out, found)
    record_provenance(
        args.out,
        "calibrate",
        settings,
        [*paths, args.data, *([args.tested] if args.tested else [])],
    )
    _tell(found, len(table))


def _potential(args: argparse.Namespace, model: Model) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return the table of snapshots, and what is measured."""
    from dataclasses import asdict

    from force2geo.evaluate import calibration as measured
    from force2geo.evaluate.figures import save
    from force2geo.evaluate.held_out import SPREADS, held_out
    from force2geo.progress import Progress

    with Progress(None, "snapshot") as progress:
        table, left_out = held_out(
            model, args.data, args.split, args.source, progress=progress.update
        )
    on = f"{args.split} part of {args.data.name}" + (f", {args.source}" if args.source else "")
    count = table["cid"].nunique()
    found: dict[str, Any] = {
        "errors": {
            name: {"mae": mae, "unit": unit, "molecules": count, "on": on}
            for (name, mae), unit in zip(
                measured.errors(table).items(), ("meV/atom", "meV/Å"), strict=True
            )
        },
        "rows": measured.errors_by(table),
        "left_out": left_out,
    }
    if set(SPREADS) <= set(table):
        found |= {"spread": asdict(measured.limit(table, on)), **measured.calibration(table)}
        save(measured.figure(table, found), args.out.parent, args.out.stem)
    return table, found


def _properties(
    args: argparse.Namespace, paths: list[Path]
) -> tuple[pd.DataFrame, dict[str, Any], dict[str, Any]]:
    """Return the table of molecules, what is measured, and on which of them."""
    from force2geo.evaluate import calibration as measured
    from force2geo.evaluate.figures import save
    from force2geo.evaluate.held_out_properties import held_out
    from force2geo.prediction.ensemble import Ensemble
    from force2geo.progress import Progress

    ensemble = Ensemble.read(paths, device=args.device)
    with Progress(None, "molecule") as progress:
        table, left_out = held_out(
            ensemble, args.data, args.split, args.tested, progress=progress.update
        )
    on = f"{args.split} part of {args.data.name}"
    found: dict[str, Any] = {
        "errors": {
            name: {"mae": mae, "unit": ensemble.units[name], "molecules": len(table), "on": on}
            for name, mae in measured.property_errors(table).items()
        },
        "rows": measured.errors_by(table, measured.property_errors),
        "left_out": left_out,
    }
    kinds = measured.of_properties(
        {name: unit for name, unit in ensemble.units.items() if f"{name}_spread" in table}
    )
    if kinds:
        found["calibrated"] = measured.calibration(table, kinds)
        save(measured.figure(table, found["calibrated"], kinds), args.out.parent, args.out.stem)
    return table, found, {"split": args.split}


def _tell(found: dict[str, Any], rows: int) -> None:
    """Print the errors, and what the spread is worth."""
    snapshots = f", {rows} snapshots" if "forces" in found["errors"] else ""
    for name, one in found["errors"].items():
        print(f"{name}: MAE {one['mae']:.3g} {one['unit']} on {one['molecules']} molecules"
              f"{snapshots}")  # fmt: skip
    for why, count in found["left_out"].items():
        print(f"{count} left out: {why}")
    known = found.get("calibrated") or {k: found[k] for k in ("forces", "energy") if k in found}
    for kind, one in known.items():
        if one["spearman"] is not None:
            low, high = one["interval"]
            print(f"spread of {kind}: Spearman {one['spearman']:.2f} ({low:.2f} to {high:.2f}) "
                  f"with the error, which is {one['scale']:.2g} times as large")  # fmt: skip
    if "spread" in found:
        sure = found["spread"]
        print(f"95 % of {sure['molecules']} molecules near their minimum: below "
              f"{sure['quantile_95']:.3g} {sure['unit']}")  # fmt: skip
