"""`force2geo benchmark`: one backbone on the subset S."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo benchmark --settings benchmark.json --backbone painn "
        "\\\n    --snapshots benchmark.h5 --out benchmark/painn/model.pt"
    )
    add_settings(parser)
    parser.add_argument("--backbone", required=True, help="which of the settings' backbones")
    parser.add_argument("--snapshots", type=Path, required=True, help="packed snapshots, HDF5")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint to write")


def run(args: argparse.Namespace) -> None:
    """Train the backbone."""
    from force2geo.config import read_settings
    from force2geo.train.runs import train_potential
    from force2geo.train.snapshots import Snapshots

    settings = read_settings(args.settings)
    settings["backbone"] = settings.pop("models")[args.backbone]
    settings["batch_size"] = settings["batch_size"][args.backbone]
    del settings["backbones"]
    snapshots = Snapshots.read(args.snapshots)
    train_potential("benchmark", snapshots, None, settings, [args.snapshots], args.out)
