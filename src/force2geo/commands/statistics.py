"""`force2geo statistics`: what the store holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings, add_store

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo statistics --store store --index index.parquet "
        "--rejects rejects.csv \\\n    --out statistics.json --figures figures"
    )
    add_settings(parser, required=False)
    add_store(parser)
    parser.add_argument("--index", type=Path, required=True, help="merged index to write")
    parser.add_argument("--rejects", type=Path, required=True, help="merged rejects to write")
    parser.add_argument("--out", type=Path, required=True, help="statistics to write, JSON")
    parser.add_argument("--figures", type=Path, help="folder to write the figures to")


def run(args: argparse.Namespace) -> None:
    """Merge and count."""
    from force2geo.commands.arguments import shards_of
    from force2geo.curation.merge import merge, shard_files
    from force2geo.curation.statistics import statistics
    from force2geo.files import record_provenance, write_json
    from force2geo.trajectory import PATH_STAGES, POINT_SETS

    settings, shards = shards_of(args)
    merge(args.store, shards, args.index, args.rejects)
    sources = shard_files(args.store, shards, ".index.parquet")
    numbers = statistics(args.index, args.rejects)
    write_json(args.out, numbers)
    if args.figures:
        from force2geo.evaluate import data_figures
        from force2geo.evaluate.figures import save

        for draw in (
            data_figures.snapshots,
            data_figures.steps,
            data_figures.atoms,
            data_figures.elements,
        ):
            save(draw(numbers), args.figures, draw.__name__)
    for path in (args.index, args.out):
        record_provenance(path, "statistics", settings, sources)
    for stage in (*PATH_STAGES, *POINT_SETS):
        found = numbers[stage]
        print(
            f"{stage:<11} {found['trajectories']:>9} trajectories {found['snapshots']:>11} "
            f"snapshots, {found['mean_snapshots']:.1f} each"
        )
    print(
        f"{numbers['trajectories']} molecules, {numbers['snapshots']} snapshots, "
        f"{numbers['rejected_logs']} logs rejected"
    )
