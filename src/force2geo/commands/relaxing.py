"""What `force2geo relax` does for files and for the workflow's sets alike, and for these sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from force2geo.relax.evaluators import Evaluator
    from force2geo.relax.relaxation import Relaxation
    from force2geo.relax.tally import Tally


def evaluator_of(args: argparse.Namespace, starts: Sequence[Relaxation]) -> Evaluator:
    """Return what the options name, or else the potential in the box."""
    from force2geo.errors import UserError
    from force2geo.potentials.devices import choose_device
    from force2geo.prediction import shipped
    from force2geo.prediction.spread import calibrated
    from force2geo.relax import evaluators

    if args.model and args.calculator:
        raise UserError("give either --model or --calculator")
    options = _options(args.options)
    if args.calculator:
        if args.calibration:
            raise UserError("--calibration is of several potentials, and --calculator is one")
        choose_device(args.device)  # calculators choose their own; a wrong name is told
        return evaluators.from_import_path(args.calculator, options, starts)
    if options:
        raise UserError("--options are a calculator's: give --calculator")
    paths, unsure_above = shipped.potential(args.model or [])
    if args.calibration:
        if len(paths) < 2:
            raise UserError("--calibration: one potential differs from no other; give several")
        unsure_above = calibrated(args.calibration).quantile_95
    return evaluators.from_checkpoint(paths, args.dtype, args.device, unsure_above)


def _options(text: str) -> dict[str, Any]:
    import json

    from force2geo.errors import UserError

    try:
        options = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--options: not JSON ({error}): {text}") from None
    if not isinstance(options, dict):
        raise UserError('--options: give a JSON object, {"method": "GFN2-xTB"} say')
    return options


def relax_set(args: argparse.Namespace) -> int:
    """Relax molecules of a set by a record and return the exit status."""
    import json
    from dataclasses import replace

    from force2geo.commands.arguments import selected
    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.files import atomic_path, reading, record_provenance
    from force2geo.plan.relaxations import ALL, whole
    from force2geo.relax.molecule_set import no_start, starts_of_set
    from force2geo.relax.result import write_relaxed
    from force2geo.relax.resumable import relax_resumably
    from force2geo.relax.tally import Tally
    from force2geo.training_data.conformers import read_conformers

    record = read_settings(args.settings)
    with reading(args.settings, "a relaxation's record"):
        potential, start, molecules = (record[key] for key in ("potential", "start", "molecules"))
    if ("calculator" in potential) == (args.model is not None):
        says = "names a calculator" if args.model else "needs a checkpoint"
        raise UserError(f"--model: {args.settings} {says}")
    if args.model is None:
        args.calculator, args.options = potential["calculator"], json.dumps(potential["options"])
    conformers = read_conformers(args.conformers)
    if (molecules == ALL) == (args.selection is not None):
        says = "takes none" if args.selection else "needs one"
        raise UserError(f"--selection: {args.settings} {says}")
    named = (
        whole(args.conformers, record) if molecules == ALL else selected(args.selection, molecules)
    )
    cids = named[_range(args.range)]
    if absent := sorted(set(cids) - set(conformers.cids)):
        raise UserError(f"{args.conformers}: it lacks CID {absent[0]} of {args.selection}")
    starts = starts_of_set(conformers, cids, start)
    whys = [conformers.reason(row, start) for row in conformers.index(cids)]
    evaluator = evaluator_of(args, starts)
    refuse = evaluator.refuse
    evaluator = replace(evaluator, refuse=lambda run: no_start(run, start, whys) or refuse(run))
    journal = relax_resumably(args.out, starts, evaluator, record, args.batch_atoms)
    with atomic_path(args.out) as partial:
        write_relaxed(partial, cids, journal.results())
    journal.close()
    others = [path for path in (args.conformers, args.selection) if path is not None]
    inputs = [*map(Path, args.model or []), *others]
    record_provenance(args.out, "relax", record, inputs)
    # Some that fail are a result here, which evaluation counts, and so are all of a piece.
    return 2 if summarise(Tally.of(journal)) == 2 and args.range is None else 0


def _range(text: str | None) -> slice:
    """Return which molecules `0-1000` means."""
    import re

    from force2geo.errors import UserError

    if text is None:
        return slice(None)
    found = re.fullmatch(r"(\d+)-(\d+)", text)
    if not found or int(found[1]) >= int(found[2]):
        raise UserError(f"--range {text}: give the first and the one after the last, 0-1000 say")
    return slice(int(found[1]), int(found[2]))


def summarise(tally: Tally) -> int:
    """Print how many molecules ended how and after how many steps; return the exit status."""
    import sys

    import numpy as np

    ended, lost = tally.ended, len(tally.lost)
    print(f"{'status':<16}{'molecules':>10}{'median steps':>14}")
    for status in sorted({status for status, _ in ended}):
        steps = [steps for own, steps in ended if own == status]
        print(f"{status:<16}{len(steps):>10}{np.median(steps):>14.0f}")
    if lost:
        print(f"{'left out':<16}{lost:>10}")
    for reason, count in tally.reasons.most_common(5):
        print(f"{count} of {len(ended)} failed: {reason}", file=sys.stderr)
    if tally.failed == len(ended):
        return 2
    return int(tally.failed + lost > 0)
