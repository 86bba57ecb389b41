"""`force2geo d-opt`: the diverse molecules whose relaxations DFT judges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo d-opt --settings d_opt.json --selection selection.json "
        "\\\n    --index index.parquet --out d_opt.json"
    )
    add_settings(parser)
    parser.add_argument("--selection", type=Path, required=True, help="selection, JSON")
    parser.add_argument("--index", type=Path, required=True, help="merged index of the store")
    parser.add_argument("--out", type=Path, required=True, help="D_opt to write, JSON")


def run(args: argparse.Namespace) -> None:
    """Pick D_opt."""
    import pandas as pd

    from force2geo.config import read_settings
    from force2geo.files import hash_value, read_json, reading, record_provenance, write_json
    from force2geo.select.maxmin import pick_d_opt

    settings = read_settings(args.settings)
    selection = read_json(args.selection, "a selection, a JSON object")
    with reading(args.selection, "a selection of this version"):
        selection["random"]["test"], selection["d_opt_first"]
    with reading(args.index, "the merged index of a store, Parquet"):
        index = pd.read_parquet(args.index, columns=["cid", "smiles", "inchi"])
    picked = pick_d_opt(index, selection, settings["size"])
    write_json(args.out, {"hash": hash_value(picked), "d_opt": picked})
    record_provenance(args.out, "d_opt", settings, [args.selection, args.index])
    print(f"{len(picked)} molecules")
