"""`force2geo select`: subset and splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo select --settings select.json --index index.parquet "
        "--out selection.json"
    )
    add_settings(parser)
    parser.add_argument("--index", type=Path, required=True, help="merged index of the store")
    parser.add_argument("--out", type=Path, required=True, help="selection to write, JSON")


def run(args: argparse.Namespace) -> None:
    """Select."""
    import pandas as pd

    from force2geo.config import read_settings
    from force2geo.files import reading, record_provenance, write_json
    from force2geo.select.leakage import read_test_sets
    from force2geo.select.splits import COLUMNS, select

    settings = read_settings(args.settings)
    test_sets = [Path(path) for path in settings["test_sets"]]
    kept_out = read_test_sets(test_sets)
    with reading(args.index, "the merged index of a store, Parquet"):
        index = pd.read_parquet(args.index, columns=list(COLUMNS))
    selection = select(index, settings, kept_out)
    write_json(args.out, selection)
    record_provenance(args.out, "select", settings, [args.index, *test_sets])
    print(json.dumps(selection["counts"]))
