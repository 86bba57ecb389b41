"""`force2geo select`: subset, splits and D_opt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo select --settings select.json --index index.csv --out selection.json"
    )
    add_settings(parser)
    parser.add_argument("--index", type=Path, required=True, help="merged index of the store")
    parser.add_argument("--out", type=Path, required=True, help="selection to write, JSON")


def run(args: argparse.Namespace) -> None:
    """Select."""
    import pandas as pd

    from force2geo.config import read_settings
    from force2geo.files import record_provenance, write_json
    from force2geo.select.splits import select

    settings = read_settings(args.settings)
    text = dict.fromkeys(("cid", "smiles", "inchi", "inchikey", "scaffold"), str)
    index = pd.read_csv(args.index, dtype=text, keep_default_na=True)
    for column in ("smiles", "inchikey", "scaffold"):
        index[column] = index[column].fillna("")
    write_json(args.out, select(index, settings))
    record_provenance(args.out, "select", settings, [args.index])
