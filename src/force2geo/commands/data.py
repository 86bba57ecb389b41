"""`force2geo data`: one data set to the file that trainings and relaxations read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n  force2geo data --settings settings/data/pretrain.json --store store "
        "\\\n    --selection selection.json --out packed/pretrain.h5\n"
        '  echo \'{"from": "rmd17", "folder": "rmd17"}\' > rmd17.json\n'
        "  force2geo data --settings rmd17.json --out rmd17.h5\n\n"
        "`force2geo datasets` lists what there is. Of the run's own store, molecules that are "
        "charged or\nhave unpaired electrons are left out, which only networks with the setting "
        "charge can tell from\nothers; the entry's charge_states ([[0, 1], [1, 1]]: charge and "
        "multiplicity) takes them.\n"
        "Molecules get an RDKit conformer each; killed and called again, that goes on where it was"
    )
    add_settings(parser)
    parser.add_argument("--selection", type=Path, help="selection, JSON, where the set needs one")
    parser.add_argument(
        "--store", type=Path, help="folder of shards (SHARD.lmdb), where the set needs it"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="processes that embed conformers of molecules (1)"
    )
    parser.add_argument("--out", type=Path, required=True, help="HDF5 file to write")


def run(args: argparse.Namespace) -> None:
    """Read and pack."""
    import shutil
    import sys

    from tqdm import tqdm

    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.files import atomic_path, record_provenance
    from force2geo.locks import locked
    from force2geo.training_data import registry
    from force2geo.training_data.pack import pack_molecules, pack_snapshots

    if args.workers < 1:
        raise UserError(f"--workers {args.workers}: give 1 or more")
    entry = read_settings(args.settings)
    if "from" not in entry:
        raise UserError(f"{args.settings}: 'from' is missing, the name of a data set")
    needs = registry.build(entry).needs
    for option in ("store", "selection"):
        if bool(getattr(args, option)) != (option in needs):
            says = "needs" if option in needs else "takes no"
            raise UserError(f"--{option}: data set {entry['from']} {says} it")
    data = registry.build(entry, {name: getattr(args, name) for name in needs})
    data.check_files()
    scratch = args.out.with_name(f".{args.out.name}.unfinished")
    with (
        locked(args.out),
        atomic_path(args.out) as part,
        tqdm(unit="molecule", disable=None) as bar,
    ):
        if registry.kind(entry) == "snapshots":
            lines = pack_snapshots(data, part, bar.update)
        else:
            lines = pack_molecules(data, part, scratch, args.workers, bar.update)
    shutil.rmtree(scratch, ignore_errors=True)
    record_provenance(args.out, "data", entry, data.read_from())
    for warning in data.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for line in (*lines, *data.notes):
        print(line)
