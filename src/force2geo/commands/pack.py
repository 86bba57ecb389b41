"""`force2geo pack`: snapshots for training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo pack --settings pack.json --use pretrain --selection selection.json "
        "\\\n    --shards *.lmdb --out pretrain.h5"
    )
    add_settings(parser)
    parser.add_argument("--use", required=True, help="which entry of the settings to pack")
    parser.add_argument("--selection", type=Path, required=True, help="selection, JSON")
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="LMDB shards")
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")


def run(args: argparse.Namespace) -> None:
    """Pack."""
    import json

    from force2geo.config import read_settings
    from force2geo.files import atomic_path, record_provenance
    from force2geo.store.lmdb_store import read_shard
    from force2geo.store.packed import PackedWriter
    from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

    settings = read_settings(args.settings)[args.use]
    splits = json.loads(args.selection.read_text())[settings["split"]]
    part_of = {cid: part for part, cids in splits.items() for cid in cids}
    with atomic_path(args.out) as partial:
        writer = PackedWriter(partial, settings["sources"])
        for shard in args.shards:
            for trajectory in read_shard(shard):
                if trajectory.cid not in part_of:
                    continue
                for source in settings["sources"]:
                    stage = trajectory.stages.get(source)
                    if stage is not None:
                        writer.add(
                            trajectory.cid,
                            trajectory.atomic_numbers,
                            stage.positions,
                            stage.energies * HARTREE_TO_EV,
                            stage.gradients * GRADIENT_TO_FORCE,
                            source,
                            part_of[trajectory.cid],
                        )
        writer.close()
    record_provenance(args.out, "pack", settings, [args.selection, *args.shards])
