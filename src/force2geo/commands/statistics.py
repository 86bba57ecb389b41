"""`force2geo statistics`: what the store holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo statistics --indices *.index.csv --rejects *.rejects.csv "
        "\\\n    --index index.csv --all-rejects rejects.csv --out statistics.json"
    )
    parser.add_argument("--indices", type=Path, nargs="+", required=True, help="shards' indices")
    parser.add_argument("--rejects", type=Path, nargs="+", required=True, help="shards' rejects")
    parser.add_argument("--index", type=Path, required=True, help="merged index to write")
    parser.add_argument("--all-rejects", type=Path, required=True, help="merged rejects to write")
    parser.add_argument("--out", type=Path, required=True, help="statistics to write, JSON")


def run(args: argparse.Namespace) -> None:
    """Merge and count."""
    import pandas as pd

    from force2geo.errors import UserError
    from force2geo.files import atomic_path, record_provenance, write_json
    from force2geo.store.statistics import statistics

    kinds = {"cid": str, "smiles": str, "inchi": str, "inchikey": str, "scaffold": str}
    index = pd.concat([pd.read_csv(path, dtype=kinds) for path in args.indices])
    if not len(index):
        raise UserError("no trajectory in any shard: look at the rejects tables for the reasons")
    twice = index["cid"][index["cid"].duplicated()]
    if len(twice):
        raise UserError(f"CID {twice.iloc[0]} is in two shards: every molecule belongs to one")
    rejects = pd.concat([pd.read_csv(path, dtype={"cid": str}) for path in args.rejects])
    with atomic_path(args.index) as part:
        index.sort_values("cid").to_csv(part, index=False)
    with atomic_path(args.all_rejects) as part:
        rejects.to_csv(part, index=False)
    write_json(args.out, statistics(index, rejects))
    for path in (args.index, args.out):
        record_provenance(path, "statistics", {}, [*args.indices, *args.rejects])
