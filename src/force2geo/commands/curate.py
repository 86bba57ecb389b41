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
        "--store shard_000.lmdb \\\n    --index shard_000.index.parquet "
        "--rejects shard_000.rejects.csv\n\n"
        "a run that was killed is taken up where it last committed"
    )
    add_settings(parser)
    parser.add_argument(
        "--logs",
        type=Path,
        required=True,
        help="tar (.gz, .bz2, .xz, .zst) or zip archive, folder or file of logs, which may be "
        "compressed themselves",
    )
    parser.add_argument(
        "--identifiers",
        type=Path,
        help="CSV: cid first, smiles, inchi; or generate's list",
    )
    parser.add_argument("--store", type=Path, required=True, help="LMDB file to write")
    parser.add_argument("--index", type=Path, required=True, help="Parquet, a row per trajectory")
    parser.add_argument("--rejects", type=Path, required=True, help="CSV, a row per bad log")


def run(args: argparse.Namespace) -> None:
    """Curate the shard."""
    from tqdm import tqdm

    from force2geo.config import read_settings
    from force2geo.curation.curate import curate
    from force2geo.curation.identifiers import Identifiers
    from force2geo.files import record_provenance
    from force2geo.logs.names import NamePattern

    settings = read_settings(args.settings)
    pattern = NamePattern(settings["name_pattern"], settings.get("stage_names"))
    identifiers = Identifiers(args.identifiers)
    with tqdm(unit="log", disable=None) as bar:
        counts = curate(
            args.logs, args.store, args.rejects, args.index, pattern, identifiers, bar.update
        )
    inputs = [path for path in (args.logs, args.identifiers) if path is not None]
    record_provenance(args.store, "curate", settings, inputs)
    print(
        f"{args.logs}: {counts.molecules} molecules, {counts.read} logs, {counts.rejected} rejected"
    )
