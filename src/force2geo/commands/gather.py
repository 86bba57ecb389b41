"""`force2geo gather`: the pieces of a relaxation in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo gather --settings settings/relax/d_opt.json --selection d_opt.json "
        "\\\n    --pieces relax/d_opt --size 1000 --out relax/d_opt.h5"
    )
    add_settings(parser)
    parser.add_argument("--selection", type=Path, help="the molecules, JSON")
    parser.add_argument("--conformers", type=Path, help="in its place the set, where all relaxed")
    parser.add_argument("--pieces", type=Path, required=True, help="folder of 0-1000.h5 and so on")
    parser.add_argument("--size", type=int, required=True, help="molecules of a piece")
    parser.add_argument("--count", type=int, help="molecules that were cut in pieces (all)")
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")


def run(args: argparse.Namespace) -> None:
    """Put the pieces together."""
    from force2geo.commands.arguments import selected
    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.files import reading, record_provenance
    from force2geo.plan.relaxations import ALL, pieces, whole
    from force2geo.relax.molecule_set import gather

    if args.size < 1 or (args.count is not None and args.count < 1):
        raise UserError("--size and --count: give 1 or more")
    record = read_settings(args.settings)
    with reading(args.settings, "a relaxation's record"):
        molecules = record["molecules"]
    option, other = ("conformers", "selection") if molecules == ALL else ("selection", "conformers")
    given = getattr(args, option)
    if given is None or getattr(args, other) is not None:
        raise UserError(f"{args.settings} needs --{option}, and no --{other}")
    cids = whole(given, record) if molecules == ALL else selected(given, molecules)
    # Names of pieces, not what lies in the folder: an earlier cut's may be there, too.
    found = [args.pieces / name for name in pieces(args.count or len(cids), args.size)]
    ended = gather(found, cids, args.out)
    record_provenance(args.out, "gather", record, [*found, given])
    for status, count in sorted(ended.items()):
        print(f"{status:<16}{count:>10}")
