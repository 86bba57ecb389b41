"""`force2geo train`: one training, by its record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n"
        "  force2geo train --settings settings/train/pretrain.json --data packed/pretrain.h5 \\\n"
        "    --out train/pretrain/model.pt\n"
        "  force2geo train --settings settings/train/property.random.force2prop.json \\\n"
        "    --data packed/downstream.h5 --selection selection.json \\\n"
        "    --start train/pretrain/model.pt --out train/property.random.force2prop/model.pt\n\n"
        "killed and called again, it goes on from the last epoch"
    )
    add_settings(parser)
    parser.add_argument("--data", type=Path, required=True, help="snapshots or molecules, HDF5")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    parser.add_argument("--selection", type=Path, help="selection, JSON, of property models")
    parser.add_argument("--relaxed", type=Path, help="relaxations that the geometries are, HDF5")
    parser.add_argument("--start", type=Path, help="checkpoint to start from")
    parser.add_argument("--tracking", default="", help="address of an MLflow server; none without")
    parser.add_argument("--experiment", default="force2geo", help="MLflow experiment")


def run(args: argparse.Namespace) -> None:
    """Train."""
    from force2geo.config import read_settings
    from force2geo.errors import UserError

    record = read_settings(args.settings)
    kinds = {"energy_forces": _potential, "property": _property}
    if record.get("objective") not in kinds:
        raise UserError(
            f"{args.settings}: objective '{record.get('objective')}' is none of {', '.join(kinds)}"
        )
    record["tracking"] = {"uri": args.tracking, "experiment": args.experiment}
    for option, needed in (
        ("start", record.get("start")),
        ("relaxed", record.get("geometry") == "force2geo"),
        ("selection", record["objective"] == "property"),
    ):
        if bool(getattr(args, option)) != bool(needed):
            says = "needs" if needed else "takes no"
            raise UserError(f"--{option}: {args.settings} {says} it")
    kinds[record["objective"]](args, record)


def _potential(args: argparse.Namespace, record: dict[str, Any]) -> None:
    from force2geo.train.runs import train_potential
    from force2geo.train.snapshots import Snapshots

    snapshots, judged_on = Snapshots.read(args.data), record.pop("judged_on")
    train_potential("train", snapshots, judged_on, record, [args.data], args.out)


def _property(args: argparse.Namespace, record: dict[str, Any]) -> None:
    from force2geo.commands.arguments import selected
    from force2geo.errors import UserError
    from force2geo.relax.result import read_relaxed
    from force2geo.train.geometry_mix import molecules
    from force2geo.train.runs import train_property
    from force2geo.training_data.conformers import read_conformers

    if record["target"] != "gap":
        raise UserError(f"{args.settings}: target '{record['target']}' is not in {args.data}")
    parts, paths = selected(args.selection, record["split"]), None
    if args.relaxed:
        relaxed = read_relaxed(args.relaxed)
        usable = [status not in ("exploded", "refused") for status in relaxed.status]
        paths = {c: f for c, f, ok in zip(relaxed.cids, relaxed.frames, usable, strict=True) if ok}
    conformers = read_conformers(args.data)
    sets = {
        part: molecules(
            conformers,
            cids,
            record["geometry"],
            paths,
            record.get("noise", 0.0),
            sample=record["mixed"] and part == "train",
        )
        for part, cids in parts.items()
    }
    record.setdefault("geometry_weight", 0.0)
    given = [args.data, args.selection, args.relaxed, args.start]
    inputs = [path for path in given if path is not None]
    start_kind = "property" if record["mixed"] else "potential"
    train_property("train", sets, args.start, record, inputs, args.out, start_kind)
