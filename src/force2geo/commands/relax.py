"""`force2geo relax`: molecules to their minimum on a potential."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from force2geo.commands import finishing, relaxing
from force2geo.commands.arguments import add_models, part_files

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from force2geo.relax.structures import Lost, Structure
    from force2geo.relax.tally import Tally


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
        "in the folder .OUTPUT.unfinished, which is removed when the output is there. A file of\n"
        "more than 1,000 molecules goes in portions of as many, and memory stays flat however\n"
        "long it is (but with --paths and --finish). OUTPUT.left_out.csv has the molecules that\n"
        "could not be read or had no conformer (bounded by time), each with its reason\n\n"
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
    parser.add_argument(
        "--optimizer",
        default="bfgs-model",
        help="bfgs-model, which begins with a model Hessian, or ASE's bfgs, lbfgs or fire",
    )
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
    """Relax a file, a long one in portions; with paths, or on to DFT's minimum, it is whole."""
    import torch

    from force2geo.errors import UserError
    from force2geo.relax import portions
    from force2geo.relax.structures import each_structure, is_longer

    whole = args.paths is not None or args.finish is not None
    if not whole and is_longer(args.input, portions.SIZE):
        return _relax_portions(args)
    found = each_structure(args.input, workers=torch.get_num_threads())
    tally, bad = _relax_molecules(args, args.output, found)
    tally.write_lost(_left_out(args.output))
    if not tally.ended:
        raise UserError(f"{args.input}: no structure to relax")
    return max(relaxing.summarise(tally), int(bad))


def _left_out(output: Path) -> Path:
    return output.with_suffix(".left_out.csv")


def _relax_portions(args: argparse.Namespace) -> int:
    import sys

    import torch

    from force2geo.errors import UserError
    from force2geo.files import known_hash
    from force2geo.relax.portions import SIZE, Portions
    from force2geo.relax.structures import each_structure
    from force2geo.relax.tally import Tally

    evaluator = relaxing.evaluator_of(args, [])
    depends = [known_hash(args.input), _settings(args), evaluator.origin, evaluator.unsure_above]
    portions, workers = Portions(args.output, depends, SIZE), torch.get_num_threads()
    for number, found in portions.left(
        lambda done: each_structure(args.input, workers=workers, skip=done)
    ):
        first = number * portions.size
        print(f"molecules {first + 1} to {first + len(found)}", file=sys.stderr)
        tally, _ = _relax_molecules(args, portions.path(number), found)
        portions.finished(number, tally.tell())
    tally = Tally.read(portions.told())
    tally.write_lost(_left_out(args.output))
    if not tally.ended:
        raise UserError(f"{args.input}: no structure to relax")
    portions.join()
    portions.close()
    return relaxing.summarise(tally)


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "force_threshold": args.fmax,
        "max_steps": args.steps,
        "optimizer": args.optimizer,
    }


def _relax_molecules(
    args: argparse.Namespace, output: Path, found: Iterable[Structure | Lost]
) -> tuple[Tally, bool]:
    """Relax molecules, write them, and return what became of them and whether DFT failed one."""
    import sys

    from force2geo.relax.resumable import relax_resumably
    from force2geo.relax.structure_file import (
        starts_of_structures,
        write_paths,
        write_relaxed_structures,
    )
    from force2geo.relax.structures import Lost
    from force2geo.relax.tally import Tally

    found = list(found)
    lost = [one for one in found if isinstance(one, Lost)]
    structures = [one for one in found if not isinstance(one, Lost)]
    for one in lost:
        print(f"{args.input}, molecule {one.place}: left out, {one.reason}", file=sys.stderr)
    if not structures:
        return Tally(lost=lost), False
    starts = starts_of_structures(structures)
    evaluator = relaxing.evaluator_of(args, starts)
    whole_paths = args.paths is not None
    journal = relax_resumably(
        output, starts, evaluator, _settings(args), args.batch_atoms, whole_paths
    )
    notes: list[dict[str, Any]] = []
    if args.finish:
        notes = finishing.finish_structures(args, structures, journal, evaluator)
    write_relaxed_structures(output, structures, journal, args.input, notes)
    if args.paths:
        write_paths(args.paths, structures, journal)
    tally = Tally.of(journal, lost)
    journal.close()
    return tally, finishing.failed(notes)
