"""`force2geo curate`: one shard's logs to LMDB, index and rejects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo curate --settings curate.json --logs shard_000.tar.xz "
        "--store shard_000.lmdb \\\n    --index shard_000.index.csv --rejects shard_000.rejects.csv"
    )
    add_settings(parser)
    parser.add_argument("--logs", type=Path, required=True, help="tar archive or folder of logs")
    parser.add_argument("--identifiers", type=Path, help="CSV: cid,smiles,inchi")
    parser.add_argument("--store", type=Path, required=True, help="LMDB file to write")
    parser.add_argument("--index", type=Path, required=True, help="CSV, one row per trajectory")
    parser.add_argument("--rejects", type=Path, required=True, help="CSV, one row per bad log")


def run(args: argparse.Namespace) -> None:
    """Curate the shard."""
    from force2geo.config import read_settings
    from force2geo.files import record_provenance, write_table
    from force2geo.store.curate import (
        REJECT_COLUMNS,
        curate,
        read_identifiers,
        write_index,
    )

    settings = read_settings(args.settings)
    identifiers = read_identifiers(args.identifiers)
    counts = curate(args.logs, args.store, settings["name_pattern"], identifiers)
    write_table(args.rejects, REJECT_COLUMNS, counts.rejects)
    molecules = write_index(args.store, args.index)
    inputs = [args.logs] if args.logs.is_file() else []
    record_provenance(args.store, "curate", settings, inputs)
    print(f"{args.logs}: {molecules} molecules, {counts.read} logs, {counts.rejected} rejected")
