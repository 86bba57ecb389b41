"""`force2geo baseline`: what a calculator says of packed snapshots, for a potential to correct."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n  force2geo baseline --settings settings/baseline/pretrain.gfn2-xtb.json \\\n"
        "    --data packed/pretrain.h5 --out packed/pretrain.gfn2-xtb.baseline.h5\n"
        '  echo \'{"baseline": "gfn2-xtb"}\' > gfn2.json\n'
        "  force2geo baseline --settings gfn2.json --data rmd17.h5 --out rmd17.gfn2.h5\n\n"
        "the calculator is gfn2-xtb, gfn1-xtb or any of ASE's, {calculator: MODULE:CLASS, options:"
        " {…}}.\nSnapshots for which it finds no energy are counted, with reasons, and not "
        "trained on. Killed and\ncalled again, it goes on where it was"
    )
    add_settings(parser)
    parser.add_argument("--data", type=Path, required=True, help="packed snapshots, HDF5")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each (1)")
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")


def run(args: argparse.Namespace) -> None:
    """Compute the baseline."""
    import h5py

    from force2geo.calling.named import record_of
    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.files import reading, record_provenance
    from force2geo.locks import locked
    from force2geo.progress import Progress
    from force2geo.training_data.baselines import write_baseline

    settings = read_settings(args.settings)
    if "baseline" not in settings:
        raise UserError(f"{args.settings}: 'baseline' is missing, the name of a calculator")
    if args.workers < 1:
        raise UserError(f"--workers {args.workers}: give 1 or more")
    record = record_of(settings["baseline"])
    with reading(args.data, "packed snapshots, HDF5"), h5py.File(args.data, "r") as file:
        total = len(file["energy"])
    with locked(args.out), Progress(total, "snapshot") as progress:
        lines = write_baseline(args.data, args.out, record, args.workers, progress.update)
    record_provenance(args.out, "baseline", settings, [args.data])
    for line in lines:
        print(line)
