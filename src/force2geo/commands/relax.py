"""`force2geo relax`: molecules to their minimum on a potential."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from force2geo.commands import finishing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from force2geo.relax.evaluators import Evaluator
    from force2geo.relax.journal import Journal
    from force2geo.relax.relaxation import Relaxation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n"
        "  force2geo relax in.sdf out.sdf --model pretrain/model.pt\n"
        "  force2geo relax molecules.smi out.xyz --calculator tblite.ase:TBLite \\\n"
        '    --options \'{"method": "GFN2-xTB", "verbosity": 0}\'\n'
        "  force2geo relax --settings settings/relax/d_opt.json --model pretrain/model.pt \\\n"
        "    --conformers downstream.h5 --selection d_opt.json --range 0-1000 --out 0-1000.h5\n\n"
        "in: SDF; XYZ, extended XYZ; .smi or .txt, one SMILES a line; .csv, .tsv with a column\n"
        "smiles; also packed (.gz). Charge and spin come from formal charges and radicals, or\n"
        "from properties charge and multiplicity (spin is the multiplicity, too); fixed atoms\n"
        "from the column move_mask of extended XYZ\n\n"
        "each structure written carries converged (forces below --fmax, and still the molecule it\n"
        "was), n_steps, relaxed_energy (eV), max_force (eV/Å), relaxed_by and status: converged,\n"
        "step limit, bonds changed, dissociated, exploded or refused, the last two with reasons.\n"
        "Its own properties are kept; those of the same name as input_NAME\n\n"
        "killed and called again, it goes on where it was: each minute all paths go to HDF5 files\n"
        "in the folder .OUTPUT.unfinished, which is removed when the output is there\n\n"
        f"{finishing.EPILOG}"
        "exit status: 0 all molecules were relaxed, 1 some were left out, refused or exploded,\n"
        "2 all were, or nothing was done (the workflow's sets: 0 unless all were); 130 interrupted"
    )
    parser.add_argument("input", type=Path, nargs="?", help=".sdf, .xyz, .extxyz, .smi, .csv")
    parser.add_argument("output", type=Path, nargs="?", help=".sdf, .xyz or .extxyz")
    parser.add_argument("--model", type=Path, help="checkpoint of a potential")
    parser.add_argument("--calculator", help="an ASE calculator instead, MODULE:CLASS")
    parser.add_argument("--options", default="{}", help="the calculator's, a JSON object")
    parser.add_argument("--optimizer", default="bfgs", help="bfgs, lbfgs or fire")
    parser.add_argument("--fmax", type=float, default=0.05, help="eV/Å, where to stop (0.05)")
    parser.add_argument("--steps", type=int, default=500, help="most steps (500)")
    parser.add_argument("--dtype", default="float64", choices=("float64", "float32"))
    parser.add_argument("--device", help="cpu or cuda (a GPU where there is one)")
    parser.add_argument("--batch-atoms", type=int, default=4096, help="atoms at once (4096)")
    parser.add_argument(
        "--paths", type=Path, help="HDF5 file (.h5) for every step of every molecule"
    )
    finishing.add_arguments(parser)
    stage = parser.add_argument_group("the workflow's sets, in place of files")
    stage.add_argument("--settings", type=Path, help="the relaxation's record, JSON")
    stage.add_argument("--conformers", type=Path, help="downstream set, HDF5")
    stage.add_argument(
        "--selection", type=Path, help="JSON file with the record's molecules, where not all relax"
    )
    stage.add_argument("--range", help="of them from the first up to the second, 0-1000 say (all)")
    stage.add_argument("--out", type=Path, help="HDF5 file to write")


def run(args: argparse.Namespace) -> int:
    """Relax the molecules of a file, or of a set."""
    from force2geo.errors import UserError
    from force2geo.locks import locked

    if args.finish:
        finishing.settings_of(args)  # what cannot be meant is told before hours of work
    needed = ("settings", "conformers", "out")
    named = (*needed, "selection", "range")
    stage = [name for name in named if getattr(args, name) is not None]
    if args.input is None and set(needed) <= set(stage):
        with locked(args.out):
            return _relax_set(args)
    if stage or args.input is None or args.output is None:
        options = ", ".join(f"--{name}" for name in needed)
        raise UserError(f"give an input and an output file, or all of {options}")
    _check(args)
    with locked(args.output):  # two calls at once would take each other's work away
        return _relax_file(args)


def _check(args: argparse.Namespace) -> None:
    """Raise `UserError` for an option that cannot be meant."""
    import math

    from force2geo.errors import UserError
    from force2geo.relax.optimizers import OPTIMIZERS
    from force2geo.relax.structures import SUFFIXES_OUT

    for name, value in (("output", args.output), ("paths", args.paths)):
        suffixes = SUFFIXES_OUT if name == "output" else (".h5", ".hdf5")
        if value is not None and value.suffix.lower() not in suffixes:
            raise UserError(f"--{name} {value}: give one of {', '.join(suffixes)}")
        if value is not None and (value.is_dir() or value.resolve() == args.input.resolve()):
            raise UserError(f"--{name} {value}: this is a folder, or the input itself")
    if not (math.isfinite(args.fmax) and args.fmax > 0):
        raise UserError(f"--fmax {args.fmax:g}: give a force above 0 eV/Å")
    if args.steps < 0:
        raise UserError(f"--steps {args.steps}: give 0 or more")
    if args.batch_atoms < 1:
        raise UserError(f"--batch-atoms {args.batch_atoms}: give 1 or more")
    if args.optimizer not in OPTIMIZERS:
        raise UserError(f"--optimizer {args.optimizer}: choose one of {', '.join(OPTIMIZERS)}")


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


def _evaluator(args: argparse.Namespace, starts: Sequence[Relaxation]) -> Evaluator:
    from force2geo.errors import UserError
    from force2geo.potentials.devices import choose_device
    from force2geo.relax import evaluators

    if (args.model is None) == (args.calculator is None):
        raise UserError("give either --model or --calculator")
    options = _options(args.options)
    if args.model is None:
        choose_device(args.device)  # calculators choose their own; a wrong name is told
        return evaluators.from_import_path(args.calculator, options, starts)
    if options:
        raise UserError("--options are a calculator's, and --model needs none")
    return evaluators.from_checkpoint(args.model, args.dtype, args.device)


def _relax_file(args: argparse.Namespace) -> int:
    import sys

    from force2geo.errors import UserError
    from force2geo.relax.resumable import relax_resumably
    from force2geo.relax.structure_file import (
        starts_of_structures,
        write_paths,
        write_relaxed_structures,
    )
    from force2geo.relax.structures import read_structures

    structures, lost = read_structures(args.input)
    for place, reason in lost:
        print(f"{args.input}, molecule {place}: left out, {reason}", file=sys.stderr)
    if not structures:
        raise UserError(f"{args.input}: no structure to relax")
    settings = {
        "force_threshold": args.fmax,
        "max_steps": args.steps,
        "optimizer": args.optimizer,
    }
    starts = starts_of_structures(structures)
    evaluator = _evaluator(args, starts)
    whole_paths = args.paths is not None
    journal = relax_resumably(
        args.output, starts, evaluator, settings, args.batch_atoms, whole_paths
    )
    notes: list[dict[str, Any]] = []
    if args.finish:
        notes = finishing.finish_structures(args, structures, journal, evaluator)
    write_relaxed_structures(args.output, structures, journal, args.input, notes)
    if args.paths:
        write_paths(args.paths, structures, journal)
    journal.close()
    return max(_summarise(journal, len(lost)), int(finishing.failed(notes)))


def _relax_set(args: argparse.Namespace) -> int:
    import json
    from dataclasses import replace

    from force2geo.commands.arguments import selected
    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.files import atomic_path, reading, record_provenance
    from force2geo.plan.relaxations import ALL
    from force2geo.relax.molecule_set import no_start, starts_of_set
    from force2geo.relax.result import write_relaxed
    from force2geo.relax.resumable import relax_resumably
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
    named = conformers.cids if molecules == ALL else selected(args.selection, molecules)
    cids = named[_range(args.range)]
    if absent := sorted(set(cids) - set(conformers.cids)):
        raise UserError(f"{args.conformers}: it lacks CID {absent[0]} of {args.selection}")
    starts = starts_of_set(conformers, cids, start)
    whys = [conformers.reason(row, start) for row in conformers.index(cids)]
    evaluator = _evaluator(args, starts)
    refuse = evaluator.refuse
    evaluator = replace(evaluator, refuse=lambda run: no_start(run, start, whys) or refuse(run))
    journal = relax_resumably(args.out, starts, evaluator, record, args.batch_atoms)
    with atomic_path(args.out) as partial:
        write_relaxed(partial, cids, journal.results())
    journal.close()
    inputs = [path for path in (args.model, args.conformers, args.selection) if path is not None]
    record_provenance(args.out, "relax", record, inputs)
    # Some that fail are a result here, which evaluation counts, and so are all of a piece.
    return 2 if _summarise(journal) == 2 and args.range is None else 0


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


def _summarise(journal: Journal, lost: int = 0) -> int:
    """Print how many molecules ended how and after how many steps; return the exit status."""
    import sys

    import numpy as np

    from force2geo.relax.resumable import FAILED

    ended = journal.ended.values()
    print(f"{'status':<16}{'molecules':>10}{'median steps':>14}")
    for status in sorted({status for status, _ in ended}):
        steps = [steps for own, steps in ended if own == status]
        print(f"{status:<16}{len(steps):>10}{np.median(steps):>14.0f}")
    if lost:
        print(f"{'left out':<16}{lost:>10}")
    failed = sum(status in FAILED for status, _ in ended)
    for reason, count in journal.reasons.most_common(5):
        print(f"{count} of {len(ended)} failed: {reason}", file=sys.stderr)
    if failed == len(ended):
        return 2
    return int(failed + lost > 0)
