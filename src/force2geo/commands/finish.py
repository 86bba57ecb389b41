"""`force2geo finish`: relaxed molecules of a set to DFT's minimum."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_models, add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo finish --settings settings/finish/d_opt.finished.json \\\n"
        "    --relaxed relax/d_opt.h5 --model train/pretrain/model.pt --points finish/points \\\n"
        "    --out relax/d_opt.finished.h5 --table finish/d_opt.finished.csv\n\n"
        "the workflow's way; for files of your own: force2geo relax in.sdf out.sdf --finish dft.\n"
        "Every gradient is kept in --points, from where a killed call goes on"
    )
    add_settings(parser)
    parser.add_argument("--relaxed", type=Path, required=True, help="relaxations, HDF5")
    add_models(parser)
    parser.add_argument("--points", type=Path, required=True, help="folder of gradients")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    parser.add_argument("--out", type=Path, required=True, help="relaxations, HDF5")
    parser.add_argument("--table", type=Path, required=True, help="a row a molecule, CSV")


def run(args: argparse.Namespace) -> None:
    """Finish the molecules."""
    import sys
    from collections import Counter
    from dataclasses import fields
    from importlib.util import find_spec

    import numpy as np

    from force2geo.config import read_settings
    from force2geo.dft import finish_set as told
    from force2geo.dft.finish import UNDONE, Finished, Settings
    from force2geo.dft.hessian import surface_of
    from force2geo.dft.level import Level
    from force2geo.errors import UserError
    from force2geo.files import atomic_path, record_provenance, write_table
    from force2geo.progress import Progress
    from force2geo.relax import evaluators
    from force2geo.relax.result import read_relaxed, read_runs, write_relaxed

    if find_spec("geometric") is None:
        raise UserError("finish: needs geomeTRIC: pip install 'force2geo[generate]'")
    record = read_settings(args.settings)
    potential, dft = record["potential"], record["dft"]
    if ("calculator" in potential) == (args.model is not None):
        says = "names a calculator" if args.model else "needs a checkpoint"
        raise UserError(f"--model: {args.settings} {says}")
    cids = read_relaxed(args.relaxed).cids
    runs = list(read_runs(args.relaxed))
    for place, one in enumerate(runs):
        one.place = place
    evaluator = (
        evaluators.from_checkpoint(list(map(Path, args.model)))
        if args.model
        else evaluators.from_import_path(potential["calculator"], potential["options"], runs)
    )
    level = Level(**{one.name: dft[one.name] for one in fields(Level)})
    settings = Settings(
        record["force_threshold"], record["max_gradients"], level, args.workers,
        dft["time_limit"], dft["memory_limit"],
    )  # fmt: skip
    surface = surface_of(evaluator)
    ends: dict[int, Finished] = {}
    with Progress(len(runs), "molecule") as progress:
        for place, end in told.finish_set(
            cids, runs, surface, settings, args.points, evaluator.origin
        ):
            ends[place] = end
            progress.update()
    ordered = [ends[place] for place in range(len(runs))]
    asked = [end for end in ordered if end.status != told.NOT_BEGUN]
    if asked and all(end.status == UNDONE and not end.gradients for end in asked):
        raise UserError(f"none of {len(asked)} molecules could be computed: {asked[0].reason}")
    rows = [told.row(cid, end) for cid, end in zip(cids, ordered, strict=True)]
    write_table(args.table, told.COLUMNS, rows)
    with atomic_path(args.out) as part:
        pairs = zip(runs, ordered, strict=True)
        write_relaxed(part, cids, (told.as_relaxation(run, end) for run, end in pairs))
    inputs = [args.relaxed, *map(Path, args.model or [])]
    for path in (args.out, args.table):
        record_provenance(path, "finish", record, inputs)
    counts = Counter(end.status for end in ordered)
    mean = np.mean([end.gradients for end in asked]) if asked else 0.0
    print(", ".join(f"{count} {status}" for status, count in counts.most_common()))
    print(f"{mean:.2f} gradients a molecule")
    for cid, end in zip(cids, ordered, strict=True):
        if end.status == UNDONE:
            print(
                f"warning: {cid}: not computed ({end.reason}); another call tries it again",
                file=sys.stderr,
            )
