"""`force2geo relax`: molecules to their minimum on a potential."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from force2geo.relax.batched import Evaluate
    from force2geo.relax.journal import Journal
    from force2geo.relax.relaxation import Relaxation

# What a structure written says of its relaxation, and by which it is known to be ours.
NOTES, OURS = ("converged", "n_steps", "relaxed_energy", "max_force", "status"), "relaxed_by"
FAILED = ("refused", "exploded")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n"
        "  force2geo relax in.sdf out.sdf --model pretrain/model.pt\n"
        "  force2geo relax molecules.smi out.xyz --calculator tblite.ase:TBLite \\\n"
        '    --options \'{"method": "GFN2-xTB", "verbosity": 0}\'\n'
        "  force2geo relax --settings relax.json --model pretrain/model.pt \\\n"
        "    --conformers downstream.h5 --selection selection.json --set d_opt --out d_opt.h5\n\n"
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
    stage = parser.add_argument_group("the workflow's sets, in place of files")
    stage.add_argument("--settings", type=Path, help="the stage's settings, JSON")
    stage.add_argument("--conformers", type=Path, help="downstream set, HDF5")
    stage.add_argument("--selection", type=Path, help="selection, JSON")
    stage.add_argument("--set", choices=("d_opt", "subset"), help="which molecules")
    stage.add_argument("--potential", help="one of the settings', in place of --model")
    stage.add_argument("--out", type=Path, help="HDF5 file to write")


def run(args: argparse.Namespace) -> int:
    """Relax the molecules of a file, or of a set from their first DFT snapshot."""
    from force2geo.errors import UserError
    from force2geo.locks import locked

    needed = ("settings", "conformers", "selection", "set", "out")
    stage = [name for name in needed if getattr(args, name) is not None]
    if args.input is None and len(stage) == len(needed):
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


def _forces(
    args: argparse.Namespace, starts: Sequence[Relaxation]
) -> tuple[Evaluate, Callable[[Relaxation], str], str, int]:
    """Return what gives forces, what refuses molecules, the device, and threads that share them.

    The calculator's options may name a charge for all: then the starts have it.
    """
    import torch

    from force2geo import load
    from force2geo.errors import UserError
    from force2geo.potentials.devices import choose_device
    from force2geo.relax import potentials

    if (args.model is None) == (args.calculator is None):
        raise UserError("give either --model or --calculator")
    device = choose_device(args.device)
    if args.model is not None:
        if _options(args.options):
            raise UserError("--options are a calculator's, and --model needs none")
        model = load(args.model, device)

        def refuse(run: Relaxation) -> str:
            return model.refusal(run.atomic_numbers, run.charge, run.multiplicity)

        threads = torch.get_num_threads() if device == "cpu" else 1
        return potentials.of_model(model, args.dtype), refuse, device, threads
    options = _options(args.options)
    called = potentials.of_calculator(potentials.import_calculator(args.calculator, options))
    reasons = []
    for run in starts:
        run.charge, run.multiplicity, reason = potentials.state_by_options(
            options, run.atomic_numbers, run.charge, run.multiplicity
        )
        reasons.append(reason)
    return called, lambda run: reasons[run.place] or called.refusal(run), "cpu", 1


def _relax(
    args: argparse.Namespace, target: Path, starts: Sequence[Relaxation], settings: dict[str, Any]
) -> Journal:
    """Relax molecules and return the journal that has them all."""
    import sys

    from force2geo.files import known_hash
    from force2geo.progress import Progress
    from force2geo.relax.batched import SameFailureError, relax_runs
    from force2geo.relax.journal import Journal

    evaluate, refuse, device, threads = _forces(args, starts)
    whole_paths = args.set is not None or args.paths is not None
    origin = {**settings, "dtype": args.dtype, "calculator": args.calculator}
    origin["options"] = args.options
    if args.model is not None:
        origin["model"] = known_hash(args.model)
    journal = Journal(target, origin, starts, whole_paths)
    if journal.ended:
        print(f"going on: {len(journal.ended)} of {len(starts)} were finished", file=sys.stderr)
    for other in journal.others:
        print(f"{other}: unfinished work of another call with this output", file=sys.stderr)
    with Progress(len(starts), "molecule", len(journal.ended)) as progress:

        def finished(run: Relaxation) -> None:
            journal.finished(run)
            progress.update()

        def on_step(moving: Sequence[Relaxation]) -> None:
            journal.moving(moving)
            progress.alive(
                lambda: f", {len(moving)} move, the farthest at step {max(r.steps for r in moving)}"
            )

        keep = True
        try:
            relax_runs(
                journal.left(),
                evaluate,
                settings["force_threshold"],
                settings["max_steps"],
                optimizer=settings["optimizer"],
                # ASE's calculators are not made to be called from several threads, and start a wave
                # function from the last one: a molecule at a time.
                batch_atoms=args.batch_atoms if args.model is not None else 1,
                device=device,
                whole_paths=whole_paths,
                on_step=on_step,
                on_finished=finished,
                refuse=refuse,
                threads=threads,
            )
        except SameFailureError:
            # Once what is wrong is mended they are to be tried again.
            keep = any(status not in FAILED for status, _ in journal.ended.values())
            raise
        except KeyboardInterrupt:
            done = f"{len(journal.ended)} of {len(starts)} molecules have finished"
            raise KeyboardInterrupt(f"{done}; the same call goes on from here") from None
        finally:
            if keep:
                journal.flush()
            else:
                journal.close()
    return journal


def _relax_file(args: argparse.Namespace) -> int:
    import sys

    from force2geo import __version__
    from force2geo.errors import UserError
    from force2geo.files import atomic_path
    from force2geo.relax.relaxation import Relaxation
    from force2geo.relax.result import write_relaxed
    from force2geo.relax.structures import read_structures, write_structures

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
    starts = [
        Relaxation(
            one.numbers,
            one.positions,
            place,
            charge=one.charge,
            multiplicity=one.multiplicity,
            fixed=one.fixed,
            bonds=one.bonds,
        )
        for place, one in enumerate(structures)
    ]
    journal = _relax(args, args.output, starts, settings)
    notes: list[dict[str, Any]] = []
    aside: set[str] = set()
    for structure, done in zip(structures, journal.results(), strict=True):
        structure.positions = done.frames[-1]
        structure.charge, structure.multiplicity = done.charge, done.multiplicity
        aside |= set(structure.set_aside(NOTES, OURS))
        status = f"{done.status}: {done.reason}" if done.reason else done.status
        values = done.converged, done.steps, done.energies[-1], done.max_forces[-1], status
        notes.append({**dict(zip(NOTES, values, strict=True)), OURS: f"force2geo {__version__}"})
    for name in sorted(aside):
        print(f"{args.input}: its own '{name}' is kept as 'input_{name}'", file=sys.stderr)
    with atomic_path(args.output) as partial:
        write_structures(partial, args.output.suffix, structures, notes)
    if args.paths:
        names = [structure.name for structure in structures]
        with atomic_path(args.paths) as partial:
            places = (f"{structure.place:09d}" for structure in structures)
            write_relaxed(partial, places, journal.results(), names)
    journal.close()
    return _summarise(journal, len(lost))


def _relax_set(args: argparse.Namespace) -> int:
    import json

    from force2geo.commands.arguments import selected
    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.files import atomic_path, record_provenance
    from force2geo.relax.relaxation import Relaxation
    from force2geo.relax.result import write_relaxed
    from force2geo.training_data.conformers import read_conformers

    settings = read_settings(args.settings)
    if args.potential is not None:
        chosen = settings.pop("potentials", {}).get(args.potential)
        if chosen is None:
            raise UserError(f"--potential: the settings have no '{args.potential}'")
        args.calculator = chosen["calculator"]
        args.options = json.dumps(chosen.get("options", {}))
        settings |= {"potential": args.potential, **chosen}
    conformers = read_conformers(args.conformers)
    cids = selected(args.selection, args.set)
    if absent := sorted(set(cids) - set(conformers.cids)):
        raise UserError(f"{args.conformers}: it lacks CID {absent[0]} of {args.selection}")
    starts = [
        Relaxation(
            conformers.atomic_numbers[conformers.atoms(row)],
            conformers.geometry["hf"][conformers.atoms(row)].astype(float),
            place,
            charge=int(conformers.charge[row]),
            multiplicity=int(conformers.multiplicity[row]),
        )
        for place, row in enumerate(conformers.index(cids))
    ]
    journal = _relax(args, args.out, starts, settings)
    with atomic_path(args.out) as partial:
        write_relaxed(partial, cids, journal.results())
    journal.close()
    inputs = [path for path in (args.model, args.conformers, args.selection) if path is not None]
    record_provenance(args.out, "relax", settings, inputs)
    # A few that fail are a result here, which evaluation counts.
    return 2 if _summarise(journal) == 2 else 0


def _summarise(journal: Journal, lost: int = 0) -> int:
    """Print how many molecules ended how and after how many steps; return the exit status."""
    import sys

    import numpy as np

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
