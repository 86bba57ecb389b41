"""`force2geo dft`: single points of start, relaxed and reference geometries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse

    from force2geo.relax.result import Relaxed


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


COLUMNS = ("cid", "geometry", "energy", "max_force", "seconds", "outcome", "error", "aid")


def run(args: argparse.Namespace) -> None:
    """Compute the single points."""
    import sys

    import numpy as np
    from tqdm import tqdm

    from force2geo.config import read_settings
    from force2geo.dft.level import Level
    from force2geo.dft.single_points import FAILED, NOT_COMPUTED, SinglePoint, Task, single_points
    from force2geo.errors import UserError
    from force2geo.evaluate.geometry import NO_END
    from force2geo.files import record_provenance, write_table
    from force2geo.relax.result import read_relaxed
    from force2geo.training_data.conformers import read_conformers

    settings = read_settings(args.settings)
    limits = settings.pop("time_limit", None), settings.pop("memory_limit", None)
    level = Level(**settings)
    relaxed, conformers = read_relaxed(args.relaxed), read_conformers(args.conformers)
    rows = conformers.index(relaxed.cids)
    tasks, done = [], {}
    for index, (cid, row) in enumerate(zip(relaxed.cids, rows, strict=True)):
        state = int(conformers.charge[row]), int(conformers.multiplicity[row])
        _check_state(args.relaxed, relaxed, index, state)
        numbers, frames = relaxed.atomic_numbers[index], relaxed.frames[index]
        reference = conformers.geometry["dft"][conformers.atoms(row)]
        tasks += [
            Task((cid, "start"), numbers, frames[0], False, *state),
            Task((cid, "relaxed"), numbers, frames[-1], True, *state),
            Task((cid, "reference"), numbers, reference, False, *state),
        ]
        if not np.isfinite(frames[0]).all():
            error = "no start geometry"
            done[cid, "start"] = SinglePoint(None, None, 0.0, error, outcome=FAILED)
        if relaxed.status[index] in NO_END:
            error = f"no relaxed geometry: the relaxation was {relaxed.status[index]}"
            done[cid, "relaxed"] = SinglePoint(None, None, 0.0, error, outcome=FAILED)
    wanted = [task for task in tasks if task.key not in done]
    results = single_points(wanted, level, args.cache, args.workers, *limits)
    for task, result in tqdm(results, total=len(wanted), unit="point", disable=None):
        done[task.key] = result
    if wanted and all(done[task.key].outcome == NOT_COMPUTED for task in wanted):
        # A method that PySCF does not know, say: a table of nothing would be taken for a result.
        raise UserError(
            f"none of {len(wanted)} single points could be computed: {done[wanted[0].key].error}"
        )
    table = [
        {"cid": task.key[0], "geometry": task.key[1], **done[task.key].__dict__} for task in tasks
    ]
    write_table(args.out, COLUMNS, table)
    record_provenance(args.out, "dft", settings, [args.relaxed, args.conformers])
    counts = {name: sum(row["outcome"] == name for row in table) for name in (FAILED, NOT_COMPUTED)}
    print(
        f"{len(table)} single points, {counts[FAILED]} failed, {counts[NOT_COMPUTED]} not computed"
    )
    for row in table:
        if row["outcome"] == NOT_COMPUTED:
            print(
                f"warning: {row['cid']}, {row['geometry']}: not computed ({row['error']}); "
                "another call tries it again",
                file=sys.stderr,
            )


def _check_state(path: Path, relaxed: Relaxed, index: int, state: tuple[int, int]) -> None:
    """Raise `UserError` where a molecule was relaxed in another state than its reference."""
    from force2geo.errors import UserError

    found = int(relaxed.charge[index]), int(relaxed.multiplicity[index])
    if found != state:
        raise UserError(
            f"{path}: {relaxed.cids[index]} was relaxed with charge {found[0]} and multiplicity "
            f"{found[1]}, its reference has {state[0]} and {state[1]}: relax it again"
        )
