"""`force2geo round`: the training set of a round, of the labels chosen so far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo round --data packed/pretrain.h5 --choice "
        "active/active.seed7.start.csv \\\n    active/active.seed7.spread.1.csv "
        "--out packed/active.seed7.spread.1.h5\n\n"
        "validation and test are those of the data"
    )
    parser.add_argument("--data", type=Path, required=True, help="packed snapshots, HDF5: the pool")
    parser.add_argument("--choice", type=Path, nargs="+", required=True, help="choices so far, CSV")
    parser.add_argument(
        "--labels",
        type=Path,
        nargs="+",
        default=[],
        help="labels.csv of force2geo label, with their folders",
    )
    parser.add_argument("--out", type=Path, required=True, help="packed snapshots to write, HDF5")


def run(args: argparse.Namespace) -> None:
    """Pack what was chosen."""
    from force2geo.active.snapshots import write_round
    from force2geo.files import record_provenance

    count = write_round(args.data, args.choice, args.out, [path.parent for path in args.labels])
    record_provenance(args.out, "round", {}, [args.data, *args.choice, *args.labels])
    print(f"{count} snapshots to train on")
