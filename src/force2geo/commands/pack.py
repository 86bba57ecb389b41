"""`force2geo pack`: snapshots for training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings, add_store

if TYPE_CHECKING:
    import argparse

    from force2geo.training_data.pack import Packed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo pack --settings pack.json --use pretrain --selection selection.json "
        "\\\n    --store store --out pretrain.h5\n\n"
        "molecules that are charged or have unpaired electrons are left out, which the networks "
        "cannot\ntell from others; the entry's charge_states ([[0, 1], [1, 1]]: charge and "
        "multiplicity) takes them"
    )
    add_settings(parser)
    parser.add_argument("--use", required=True, help="which entry of the settings to pack")
    parser.add_argument("--selection", type=Path, required=True, help="selection, JSON")
    add_store(parser)
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")


def run(args: argparse.Namespace) -> None:
    """Pack."""
    import sys

    from tqdm import tqdm

    from force2geo.commands.arguments import selected, shards_of
    from force2geo.curation.levels import align, fit_levels, mixed_levels
    from force2geo.curation.merge import shard_files
    from force2geo.errors import UserError
    from force2geo.files import atomic_path, record_provenance
    from force2geo.training_data.pack import CHARGE_STATES, pack_trajectories
    from force2geo.training_data.packed import PackedWriter

    settings, shards = shards_of(args)
    if args.use not in settings:
        raise UserError(f"{args.settings}: has no entry '{args.use}'")
    settings = settings[args.use]
    splits = selected(args.selection, settings["split"])
    part_of = {cid: part for part, cids in splits.items() for cid in cids}
    states = {(int(q), int(m)) for q, m in settings.get("charge_states", CHARGE_STATES)}
    paths = shard_files(args.store, shards, ".lmdb")
    references = None
    if settings.get("reference_per_level"):
        references = fit_levels(paths, settings["sources"], set(splits["train"]), states)
    with atomic_path(args.out) as partial, tqdm(unit="molecule", disable=None) as bar:
        writer = PackedWriter(partial, settings["sources"])
        packed = pack_trajectories(writer, paths, part_of, align(references), states, bar.update)
        if not packed.levels.total():
            raise UserError(_nothing(packed, settings["sources"]))
        writer.close(references, packed.levels)
    warning = mixed_levels(packed.levels)
    if warning and references is None:
        print(f"warning: {warning}", file=sys.stderr)
    for level, count in packed.unplaced.most_common():
        print(
            f"warning: {count} snapshots of {level} left out: no molecule of the training set is "
            "on their energy scale, so that they cannot be brought to the others'",
            file=sys.stderr,
        )
    record_provenance(args.out, "pack", settings, [args.selection, *paths])
    for level, count in packed.levels.most_common():
        print(f"{count} snapshots of {level}")
    for (charge, multiplicity), count in sorted(packed.left_out.items()):
        print(f"{count} molecules of charge {charge}, multiplicity {multiplicity} left out")
    if packed.incomplete:
        print(f"{packed.incomplete} snapshots without energy or gradient left out")


def _nothing(packed: Packed, sources: list[str]) -> str:
    """Return why there is nothing to pack."""
    return (
        f"nothing to pack: no molecule of the split has a snapshot of {', '.join(sources)} with "
        f"energy and gradient ({packed.incomplete} without, {packed.unplaced.total()} on another "
        f"energy scale, {packed.left_out.total()} charged or open-shell molecules left out)"
    )
