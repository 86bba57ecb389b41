"""`force2geo choose`: which hidden labels of packed snapshots to look at next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo choose --settings settings/choose/active.seed7.spread.1.json \\\n"
        "    --data packed/pretrain.h5 --earlier active/active.seed7.start.csv \\\n"
        "    --model train/active.seed7.start.member0/model.pt \\\n"
        "      train/active.seed7.start.member1/model.pt --out active/active.seed7.spread.1.csv\n\n"
        "only the training part is chosen from, and no energy or force of it is looked at.\n"
        "`force2geo label --model` chooses geometries that have no labels yet, and computes them"
    )
    add_settings(parser)
    parser.add_argument("--data", type=Path, required=True, help="packed snapshots, HDF5: the pool")
    parser.add_argument("--earlier", type=Path, nargs="*", default=[], help="choices before, CSV")
    parser.add_argument(
        "--model", type=Path, nargs="*", default=[], help="two potentials or more, to choose by"
    )
    parser.add_argument("--out", type=Path, required=True, help="choice to write, CSV")


def run(args: argparse.Namespace) -> None:
    """Choose."""
    from force2geo.active.choice import write_choice
    from force2geo.active.disagreement import read_committee
    from force2geo.active.snapshots import choose
    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.files import record_provenance

    settings = read_settings(args.settings)
    if bool(args.model) != (settings["choose"] == "spread"):
        says = "takes no" if args.model else "needs"
        raise UserError(f"--model: {args.settings} {says} potentials, it chooses by "
                        f"{settings['choose']}")  # fmt: skip
    committee = read_committee(args.model) if args.model else None
    chosen = choose(args.data, settings, args.earlier, committee)
    write_choice(args.out, chosen)
    record_provenance(args.out, "choose", settings, [args.data, *args.earlier, *args.model])
    print(f"{len(chosen)} snapshots of {len({one.cid for one in chosen})} molecules")
