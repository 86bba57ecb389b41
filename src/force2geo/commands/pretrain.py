"""`force2geo pretrain`: the potential."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo pretrain --settings pretrain.json --snapshots pretrain.h5 "
        "--out pretrain/model.pt\n\nkilled and called again, it goes on from the last epoch"
    )
    add_settings(parser)
    parser.add_argument("--snapshots", type=Path, required=True, help="packed snapshots, HDF5")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")


def run(args: argparse.Namespace) -> None:
    """Train the potential."""
    from force2geo.config import read_settings
    from force2geo.train.runs import train_potential
    from force2geo.train.snapshots import Snapshots

    settings = read_settings(args.settings)
    settings["backbone"] = settings.pop("models")[settings["backbone"]]
    judged_on = settings.pop("judged_on")
    snapshots = Snapshots.read(args.snapshots)
    train_potential("pretrain", snapshots, judged_on, settings, [args.snapshots], args.out)
