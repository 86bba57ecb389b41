"""`force2geo train`: one training, by its record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse

    import numpy as np


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
    parser.add_argument(
        "--selection", type=Path, help="selection, JSON, of molecules without splits of their own"
    )
    parser.add_argument(
        "--seen", type=Path, help="molecules that their tests do without, JSON of force2geo seen"
    )
    parser.add_argument("--relaxed", type=Path, help="relaxations that the geometries are, HDF5")
    parser.add_argument("--baseline", type=Path, help="what a potential is to correct, HDF5")
    parser.add_argument("--start", type=Path, help="checkpoint to start from")
    parser.add_argument("--tracking", default="", help="address of an MLflow server; none without")
    parser.add_argument("--experiment", default="force2geo", help="MLflow experiment")


def run(args: argparse.Namespace) -> None:
    """Train."""
    from force2geo.commands.arguments import selected
    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.train.registry import of_record
    from force2geo.train.runs import train
    from force2geo.train.sources import Inputs
    from force2geo.training_data.conformers import own_splits

    record = read_settings(args.settings)
    objective = of_record(record, str(args.settings))
    source = objective.source
    for option, needed in (
        ("start", record.get("start")),
        ("baseline", record.get("baseline")),
        ("relaxed", source.takes_paths(record)),
        # What is wrong with a selection is told before the molecules are looked at.
        ("selection", source.selects and (args.selection or not own_splits(args.data))),
    ):
        if bool(getattr(args, option)) != bool(needed):
            says = "needs" if needed else "takes no"
            raise UserError(f"--{option}: {args.settings} {says} it")
    parts = selected(args.selection, record["split"]) if args.selection else None
    paths = _paths(args.relaxed) if args.relaxed else None
    if parts is not None and own_splits(args.data):
        raise UserError(f"--selection: {args.data} has splits of its own")
    if args.seen and (parts is not None or not source.selects):
        raise UserError("--seen: it is for molecules with splits of their own")
    seen = frozenset(selected(args.seen, "skeletons")) if args.seen else None
    sets = source.read(record, Inputs(args.data, parts, paths, seen, args.baseline))
    record["tracking"] = {"uri": args.tracking, "experiment": args.experiment}
    given = [args.data, args.selection, args.relaxed, args.baseline, args.start, args.seen]
    inputs = [path for path in given if path is not None]
    train("train", objective, sets, record, inputs, args.out, args.start)


def _paths(relaxed: Path) -> dict[str, np.ndarray]:
    """Return the relaxations of a file that can be learnt from, (T,n,3) Å by CID."""
    from force2geo.relax.result import read_relaxed

    found = read_relaxed(relaxed)
    usable = [status not in ("exploded", "refused") for status in found.status]
    rows = zip(found.cids, found.frames, usable, strict=True)
    return {cid: frames for cid, frames, good in rows if good}
