"""`force2geo judge`: relaxed molecules beside their single points and references."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo judge --relaxed relax/d_opt.h5 --dft dft/d_opt.csv "
        "\\\n    --conformers packed/downstream.h5 --out judged/d_opt.csv"
    )
    parser.add_argument("--relaxed", type=Path, required=True, help="relaxations, HDF5")
    parser.add_argument("--dft", type=Path, required=True, help="their single points, CSV")
    parser.add_argument("--conformers", type=Path, required=True, help="downstream set, HDF5")
    parser.add_argument("--out", type=Path, required=True, help="a row a molecule, CSV")


def run(args: argparse.Namespace) -> None:
    """Write what became of each molecule."""
    import pandas as pd

    from force2geo.evaluate.geometry import per_molecule
    from force2geo.files import atomic_path, reading, record_provenance
    from force2geo.relax.result import read_relaxed
    from force2geo.training_data.conformers import read_conformers

    with reading(args.dft, "single points, CSV"):
        points = pd.read_csv(args.dft, dtype={"cid": str, "error": str})
        points[["cid", "geometry", "energy"]]  # a `KeyError` where it has others
    rows = per_molecule(points, read_relaxed(args.relaxed), read_conformers(args.conformers))
    with atomic_path(args.out) as part:
        rows.to_csv(part, index=False)  # every digit: tables are made of them
    record_provenance(args.out, "judge", {}, [args.relaxed, args.dft, args.conformers])
