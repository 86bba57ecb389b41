"""Options of `force2geo relax --finish dft`, and what they ask for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from force2geo.dft.finish import Finished, Settings
    from force2geo.dft.level import Level
    from force2geo.relax.evaluators import Evaluator
    from force2geo.relax.journal import Journal
    from force2geo.relax.structures import Structure

EPILOG = (
    "with --finish dft each relaxed structure goes on to DFT's minimum: quasi-Newton steps in\n"
    "internal coordinates from the potential's Hessian, until DFT's largest force is below\n"
    "--finish-fmax; the energy never goes up. The structure then carries dft_energy (eV),\n"
    "dft_max_force (eV/Å), dft_gradients, finish_status (minimum, saddle point, gradient limit,\n"
    "no lower energy, bonds changed, dissociated, failed, not computed or not finished, the last\n"
    "three with reasons) and lowest_curvature (eV/Å²), the least eigenvalue of the potential's\n"
    "Hessian with what DFT's gradients taught; OUTPUT.finish.csv has the same. Every gradient is\n"
    "kept as a labelled point in --points, from where another call goes on, and where\n"
    "force2geo export-logs --molecules POINTS/molecules.csv --raw POINTS finds them\n\n"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    group = parser.add_argument_group("on to DFT's minimum")
    group.add_argument("--finish", choices=("dft",), help="take the last steps with DFT")
    group.add_argument("--finish-fmax", type=float, default=0.05, help="eV/Å, by DFT (0.05)")
    group.add_argument("--finish-gradients", type=int, default=20, help="most a molecule (20)")
    group.add_argument(
        "--dft-level",
        default="{}",
        help="JSON object: method, basis, cartesian, density_fit, grid_level, conv_tol "
        "(B3LYP/6-31G*, Cartesian, density-fitted)",
    )
    group.add_argument("--dft-workers", type=int, default=1, help="processes, one thread each (1)")
    group.add_argument("--dft-seconds", type=float, help="time limit of one gradient")
    group.add_argument("--dft-memory", type=float, help="memory limit of one gradient, MB")
    group.add_argument("--points", type=Path, help="folder of the gradients (OUTPUT.points)")


def settings_of(args: argparse.Namespace) -> Settings:
    """Return what was asked for; `UserError` for what cannot be meant."""
    import math
    from importlib.util import find_spec

    from force2geo.dft.finish import Settings
    from force2geo.errors import UserError

    if args.input is None:
        raise UserError("--finish dft: give an input and an output file; sets are not finished")
    if find_spec("geometric") is None:
        raise UserError("--finish dft: needs geomeTRIC: pip install 'force2geo[generate]'")
    if not (math.isfinite(args.finish_fmax) and args.finish_fmax > 0):
        raise UserError(f"--finish-fmax {args.finish_fmax:g}: give a force above 0 eV/Å")
    for name in ("finish_gradients", "dft_workers", "dft_seconds", "dft_memory"):
        value = getattr(args, name)
        if value is not None and not value >= (0 if isinstance(value, float) else 1):
            raise UserError(f"--{name.replace('_', '-')} {value}: give a number above 0")
    if args.points is not None and args.points.exists() and not args.points.is_dir():
        raise UserError(f"--points {args.points}: this is a file, give a folder")
    limits = args.dft_workers, args.dft_seconds, args.dft_memory
    return Settings(args.finish_fmax, args.finish_gradients, level_of(args.dft_level), *limits)


def level_of(text: str) -> Level:
    """Return the level of `--dft-level`, a JSON object; `UserError` for what is none."""
    import json
    from dataclasses import fields

    from force2geo.dft.level import Level
    from force2geo.errors import UserError

    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--dft-level: not JSON ({error}): {text}") from None
    kinds = {one.name: type(one.default) for one in fields(Level)}
    if not isinstance(values, dict):
        raise UserError('--dft-level: give a JSON object, {"method": "hf"} say')
    for name, value in values.items():
        if name not in kinds:
            raise UserError(f"--dft-level: no '{name}', only {', '.join(kinds)}")
        if type(value) is not kinds[name]:
            raise UserError(f"--dft-level: '{name}' is {value!r}, give a {kinds[name].__name__}")
    return Level(**values)


def finish_structures(
    args: argparse.Namespace,
    structures: Sequence[Structure],
    journal: Journal,
    evaluator: Evaluator,
) -> list[dict[str, Any]]:
    """Finish relaxed structures and move them there; return the properties told of each.

    The table beside the output is written, and the list of points.
    """
    from force2geo.dft import finished_file as told
    from force2geo.dft.finish import UNDONE, Finished, finish, points_path
    from force2geo.dft.hessian import surface_of
    from force2geo.errors import UserError
    from force2geo.progress import Progress

    settings = settings_of(args)
    folder = args.points or args.output.with_name(args.output.name + ".points")
    begun = []
    for run in journal.results():
        run.keep_ends()  # whole paths of all need not be in memory
        begun.append(run)
    chosen = [place for place, run in enumerate(begun) if not told.why_not(run)]
    molecules = [told.molecule_of(structures[place], begun[place]) for place in chosen]
    ends: dict[int, Finished] = {}
    potential = evaluator.origin
    surface = surface_of(evaluator)
    with Progress(len(chosen), "molecule") as progress:
        try:
            for index, end in finish(molecules, surface, settings, folder, potential):
                ends[chosen[index]] = end
                progress.update()
        except KeyboardInterrupt:
            done = f"{len(ends)} of {len(chosen)} molecules are at DFT's minimum or at their end"
            raise KeyboardInterrupt(f"{done}; the same call goes on from here") from None
    if ends and all(end.status == UNDONE and not end.gradients for end in ends.values()):
        # A method that PySCF does not know, say: nothing would be taken for a result.
        reason = next(iter(ends.values())).reason
        raise UserError(f"--finish dft: none of {len(ends)} molecules could be computed: {reason}")
    files = [""] * len(structures)
    for place, molecule in zip(chosen, molecules, strict=True):
        path = points_path(molecule, settings.level, folder, potential)
        files[place] = path.name if path.exists() else ""
    notes = []
    for place, (structure, run) in enumerate(zip(structures, begun, strict=True)):
        end = ends.get(place) or Finished(told.NOT_FINISHED, told.why_not(run), run.frames[-1])
        notes.append(told.told(end, structure, run.frames[0]))
        structure.positions = end.positions
    told.write_summary(args.output.with_suffix(".finish.csv"), structures, notes, files)
    told.list_points(folder / "molecules.csv", molecules, [files[place] for place in chosen])
    _summarise(notes)
    return notes


def failed(notes: Sequence[dict[str, Any]]) -> bool:
    """Return whether a molecule did not come to a place without forces."""
    from force2geo.dft.finish import MINIMUM, SADDLE

    return any(note["finish_status"] not in (MINIMUM, SADDLE) for note in notes)


def _summarise(notes: Sequence[dict[str, Any]]) -> None:
    """Print how many molecules ended how, after how many gradients."""
    import numpy as np

    print(f"{'by DFT':<16}{'molecules':>10}{'mean gradients':>16}")
    statuses = [note["finish_status"].partition(":")[0] for note in notes]
    for status in sorted(set(statuses)):
        counts = [
            note["dft_gradients"]
            for note, own in zip(notes, statuses, strict=True)
            if own == status
        ]
        print(f"{status:<16}{len(counts):>10}{np.mean(counts):>16.2f}")
