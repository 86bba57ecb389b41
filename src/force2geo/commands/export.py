"""`force2geo export`: a potential compiled ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo export pretrain/model.pt potential.pt2 --dtype float64\n\n"
        "the package is for the kind of machine and device it was made on"
    )
    parser.add_argument("checkpoint", type=Path, help="a potential, ours or published")
    parser.add_argument("package", type=Path, help="AOTInductor package to write, .pt2")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--dtype", choices=("float32", "float64"), help="default: as saved")


def run(args: argparse.Namespace) -> None:
    """Export the potential."""
    import force2geo

    force2geo.load(args.checkpoint, args.device).export(args.package, args.dtype)
    print(f"written to {args.package}")
