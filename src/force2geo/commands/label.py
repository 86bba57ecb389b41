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
        "a rerun does what is left; failures are listed in OUT/rejects.csv"
    )
    parser.add_argument("--molecules", type=Path, required=True, help="CSV: cid,smiles,inchi")
    parser.add_argument("--out", type=Path, required=True, help="folder of one .npz per molecule")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--seed", type=int, default=7, help="seed of conformers and noise")


def run(args: argparse.Namespace) -> None:
    """Label the molecules."""
    from force2geo.dft.label import label

    label(args.molecules, args.out, args.seed, args.workers)
