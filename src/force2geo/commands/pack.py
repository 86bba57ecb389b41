"""`force2geo pack`: snapshots for training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings, add_store

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo pack --settings pack.json --use pretrain --selection selection.json "
        "\\\n    --store store --out pretrain.h5"
    )
    add_settings(parser)
    parser.add_argument("--use", required=True, help="which entry of the settings to pack")
    parser.add_argument("--selection", type=Path, required=True, help="selection, JSON")
    add_store(parser)
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")


def run(args: argparse.Namespace) -> None:
    """Pack."""
    import json
    import sys

    from tqdm import tqdm

    from force2geo.commands.arguments import shards_of
    from force2geo.files import atomic_path, record_provenance
    from force2geo.store.levels import align, fit_levels, mixed_levels
    from force2geo.store.merge import shard_files
    from force2geo.store.pack import pack_trajectories
    from force2geo.store.packed import PackedWriter

    settings, shards = shards_of(args)
    settings = settings[args.use]
    splits = json.loads(args.selection.read_text())[settings["split"]]
    part_of = {cid: part for part, cids in splits.items() for cid in cids}
    paths = shard_files(args.store, shards, ".lmdb")
    references = None
    if settings.get("reference_per_level"):
        references = fit_levels(paths, settings["sources"], set(splits["train"]))
    with atomic_path(args.out) as partial:
        writer = PackedWriter(partial, settings["sources"])
        watched = tqdm(paths, unit="shard", disable=None)
        levels = pack_trajectories(writer, watched, part_of, align(references))
        writer.close(references)
    warning = mixed_levels(levels)
    if warning and references is None:
        print(f"warning: {warning}", file=sys.stderr)
    record_provenance(args.out, "pack", settings, [args.selection, *paths])
    for level, count in levels.most_common():
        print(f"{count} snapshots of {level}")
