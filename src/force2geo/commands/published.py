"""`force2geo published`: PubChemQCR's LMDB files to shards and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n"
        "  force2geo published import Data06.lmdb --identifiers molecules.csv --store store\n"
        "  force2geo published export store/shard_000.lmdb --out Data01.lmdb\n\n"
        "the published values are gzip'd pickles; import admits plain data only and runs no code"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="import|export")
    into = actions.add_parser("import", help="a published LMDB to a shard, its index and rejects")
    into.add_argument("source", type=Path, help="published LMDB, file or folder")
    into.add_argument("--identifiers", type=Path, help="CSV: cid,smiles,inchi")
    into.add_argument("--store", type=Path, required=True, help="folder to write the shard to")
    out = actions.add_parser("export", help="shards to one LMDB that the published loader reads")
    out.add_argument("shards", type=Path, nargs="+", help="LMDB shards")
    out.add_argument("--out", type=Path, required=True, help="LMDB file to write")


def run(args: argparse.Namespace) -> None:
    """Import or export."""
    from tqdm import tqdm

    from force2geo.curation.identifiers import Identifiers
    from force2geo.interchange.published import export_shards, import_published

    with tqdm(unit="molecule", disable=None) as bar:
        if args.action == "import":
            identifiers = Identifiers(args.identifiers)
            read, rejected = import_published(args.source, args.store, identifiers, bar.update)
            print(f"{args.source}: {read} molecules, {rejected} rejected")
        else:
            count, left_out = export_shards(args.shards, args.out, bar.update)
            print(f"{args.out}: {count} molecules, {left_out} without a stage the format knows")
