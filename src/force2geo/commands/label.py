"""`force2geo label`: more DFT energies and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo label --molecules more.csv --out labels --workers 2\n\n"
        "ions and radicals are labelled as the SMILES writes them, or with a column multiplicity;\n"
        "a rerun does what is left; failures are listed in OUT/rejects.csv, but for molecules that "
        "the\nmachine failed (memory, disk, a process that died), which are tried again"
    )
    parser.add_argument("--molecules", type=Path, required=True, help="CSV: cid,smiles,inchi")
    parser.add_argument("--out", type=Path, required=True, help="folder of one .npz per molecule")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    parser.add_argument(
        "--points",
        type=int,
        choices=(1, 2, 3),
        default=3,
        help="geometries a molecule: the conformer, with one or both of the rattled ones (3)",
    )
    parser.add_argument("--seed", type=int, default=7, help="seed of conformers and noise")


def run(args: argparse.Namespace) -> None:
    """Label the molecules."""
    import sys

    from force2geo.dft.label import label

    left = label(args.molecules, args.out, args.seed, args.workers, args.points)
    for cid, reason in left.items():
        print(f"warning: {cid}: not labelled ({reason}); another call tries it", file=sys.stderr)
