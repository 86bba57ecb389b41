"""`force2geo relax`: molecules to their minimum on a potential."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from force2geo.commands import finishing, relaxing
from force2geo.commands.arguments import add_models, part_files

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n"
        "  force2geo relax in.sdf out.sdf\n"
        "  force2geo relax in.sdf out.sdf --model pretrain/model.pt\n"
        "  force2geo relax in.sdf out.sdf --model seed1.pt seed2.pt --calibration spread.json\n"
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
        "unsure, step limit, bonds changed, dissociated, exploded or refused, unsure and the last\n"
        "two with reasons. Its own properties are kept; those of the same name as input_NAME\n\n"
        "without --model and --calculator the potential in the box named delta relaxes; --model\n"
        "takes any name that `force2geo models` lists, or files. Several files relax together:\n"
        "their mean moves the molecules, and each structure carries force_spread (eV/Å), by how\n"
        "much they differ in the force on an atom. Beyond what --calibration, or the card in the\n"
        "box, says of molecules held out, a relaxation is not converged but unsure\n\n"
        "killed and called again, it goes on where it was: each minute all paths go to HDF5 files\n"
        "in the folder .OUTPUT.unfinished, which is removed when the output is there\n\n"
        f"{finishing.EPILOG}"
        "exit status: 0 all molecules were relaxed, 1 some were left out, refused or exploded,\n"
        "2 all were, or nothing was done (the workflow's sets: 0 unless all were); 130 interrupted"
    )
    parser.add_argument("input", type=Path, nargs="?", help=".sdf, .xyz, .extxyz, .smi, .csv")
    parser.add_argument("output", type=Path, nargs="?", help=".sdf, .xyz or .extxyz")
    add_models(parser)
    parser.add_argument(
        "--calibration", type=Path, help="of several potentials, JSON of force2geo calibrate"
    )
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

    part_files(args)
    if args.finish:
        finishing.settings_of(args)  # what cannot be meant is told before hours of work
    needed = ("settings", "conformers", "out")
    named = (*needed, "selection", "range")
    stage = [name for name in named if getattr(args, name) is not None]
    if args.input is None and set(needed) <= set(stage):
        with locked(args.out):
            return relaxing.relax_set(args)
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
    evaluator = relaxing.evaluator_of(args, starts)
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
    return max(relaxing.summarise(journal, len(lost)), int(finishing.failed(notes)))
