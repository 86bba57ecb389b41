"""`force2geo calibrate`: potentials on labelled snapshots that they never saw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from force2geo.commands.arguments import add_models

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n"
        "  force2geo calibrate --model seed7/model.pt seed8/model.pt seed9/model.pt \\\n"
        "    --data packed/pretrain.h5 --source dft_1st --out spread.json\n\n"
        "OUT.json: mean absolute errors of energies (meV/atom) and forces (meV/Å), whole and by\n"
        "element, heavy atoms, charge and source. Of several potentials, which answer with their\n"
        "mean, also how their spread (standard deviation; of forces the largest over atoms) and\n"
        "the error go together: Spearman's rank correlation, bins, the scale by which a spread is\n"
        "an error bar, and the spread that 95 % of the molecules do not exceed, each at its\n"
        "snapshot nearest to the minimum: `force2geo relax --calibration OUT.json` takes it as\n"
        "the limit beyond which an end is unsure. OUT.csv has a row for each snapshot; OUT.png\n"
        "and .svg are the plot"
    )
    add_models(parser, required=True)
    parser.add_argument("--data", type=Path, required=True, help="packed snapshots, HDF5")
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--source", help="of these snapshots alone, dft_1st say (all)")
    parser.add_argument("--device", help="cpu or cuda (a GPU where there is one)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")


def run(args: argparse.Namespace) -> None:
    """Measure and write."""
    from dataclasses import asdict

    from force2geo import load
    from force2geo.errors import UserError
    from force2geo.evaluate import calibration as measured
    from force2geo.evaluate.figures import save
    from force2geo.evaluate.held_out import SPREADS, held_out
    from force2geo.files import atomic_path, record_provenance, write_json
    from force2geo.potentials.devices import choose_device
    from force2geo.prediction import shipped
    from force2geo.progress import Progress

    if args.out.suffix.lower() != ".json":
        raise UserError(f"--out {args.out}: give a .json file; the others lie beside it")
    paths, _ = shipped.potential(args.model)
    model = load(paths, choose_device(args.device))
    if model.network.kind != "potential":
        raise UserError("--model: a property model, give potentials")
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
    with atomic_path(args.out.with_suffix(".csv")) as part:
        table.to_csv(part, index=False)
    write_json(args.out, found)
    settings = {"split": args.split, "source": args.source}
    record_provenance(args.out, "calibrate", settings, [*paths, args.data])
    _tell(found, len(table))


def _tell(found: dict[str, Any], snapshots: int) -> None:
    """Print the errors, and what the spread is worth."""
    for name, one in found["errors"].items():
        print(f"{name}: MAE {one['mae']:.3g} {one['unit']} on {one['molecules']} molecules, "
              f"{snapshots} snapshots")  # fmt: skip
    for why, count in found["left_out"].items():
        print(f"{count} snapshots left out: {why}")
    if "spread" not in found:
        return
    for kind in ("forces", "energy"):
        one = found[kind]
        if one["spearman"] is not None:
            low, high = one["interval"]
            print(f"spread of {kind}: Spearman {one['spearman']:.2f} ({low:.2f} to {high:.2f}) "
                  f"with the error, which is {one['scale']:.2g} times as large")  # fmt: skip
    sure = found["spread"]
    print(f"95 % of {sure['molecules']} molecules near their minimum: below "
          f"{sure['quantile_95']:.3g} {sure['unit']}")  # fmt: skip
