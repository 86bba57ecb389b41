"""`force2geo seen`: what a potential learns from, so that other sets' tests can do without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo seen --settings seen.json --selection selection.json "
        "\\\n    --index index.parquet --out seen.json"
    )
    add_settings(parser)
    parser.add_argument("--selection", type=Path, required=True, help="selection, JSON")
    parser.add_argument("--index", type=Path, required=True, help="merged index of the store")
    parser.add_argument("--out", type=Path, required=True, help="skeletons to write, JSON")


def run(args: argparse.Namespace) -> None:
    """List the skeletons."""
    import pandas as pd

    from force2geo.commands.arguments import selected
    from force2geo.config import read_settings
    from force2geo.files import reading, record_provenance, write_json
    from force2geo.select.leakage import skeletons_of

    settings = read_settings(args.settings)
    parts = selected(args.selection, settings["split"])
    with reading(args.index, "the merged index of a store, Parquet"):
        index = pd.read_parquet(args.index, columns=["cid", "inchikey"])
    found = skeletons_of(index, [*parts["train"], *parts["val"]])
    write_json(args.out, {"skeletons": found})
    record_provenance(args.out, "seen", settings, [args.selection, args.index])
    print(f"{len(found)} skeletons")
