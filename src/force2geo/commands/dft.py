"""`force2geo dft`: single points of start, relaxed and reference geometries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo dft --settings dft.json --relaxed d_opt.h5 "
        "--conformers downstream.h5 \\\n    --cache dft_cache --out d_opt.csv --workers 2"
    )
    add_settings(parser)
    parser.add_argument("--relaxed", type=Path, required=True, help="relaxations, HDF5")
    parser.add_argument("--conformers", type=Path, required=True, help="downstream set, HDF5")
    parser.add_argument("--cache", type=Path, required=True, help="folder of results already there")
    parser.add_argument("--out", type=Path, required=True, help="CSV to write")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each")


COLUMNS = ("cid", "geometry", "energy", "max_force", "seconds", "error", "aid")


def run(args: argparse.Namespace) -> None:
    """Compute the single points."""
    from tqdm import tqdm

    from force2geo.config import read_settings
    from force2geo.dft.level import Level
    from force2geo.dft.single_points import Task, single_points
    from force2geo.files import record_provenance, write_table
    from force2geo.relax.result import read_relaxed
    from force2geo.store.conformers import read_conformers

    settings = read_settings(args.settings)
    limits = settings.pop("time_limit", None), settings.pop("memory_limit", None)
    level = Level(**settings)
    relaxed, conformers = read_relaxed(args.relaxed), read_conformers(args.conformers)
    tasks = []
    rows = conformers.index(relaxed.cids)
    for index, (cid, row) in enumerate(zip(relaxed.cids, rows, strict=True)):
        numbers, atoms = relaxed.atomic_numbers[index], conformers.atoms(row)
        reference = conformers.geometry["dft"][atoms]
        start, end = relaxed.frames[index][0], relaxed.frames[index][-1]
        tasks += [
            Task((cid, "start"), numbers, start),
            Task((cid, "relaxed"), numbers, end, forces=True),
            Task((cid, "reference"), numbers, reference),
        ]
    done = {}
    results = single_points(tasks, level, args.cache, args.workers, *limits)
    for task, result in tqdm(results, total=len(tasks), unit="point", disable=None):
        done[task.key] = result
    table = [
        {"cid": task.key[0], "geometry": task.key[1], **done[task.key].__dict__} for task in tasks
    ]
    write_table(args.out, COLUMNS, table)
    record_provenance(args.out, "dft", settings, [args.relaxed, args.conformers])
    failed = sum(bool(row["error"]) for row in table)
    print(f"{len(table)} single points, {failed} failed")
