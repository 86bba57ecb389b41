"""`force2geo relax`: molecules to their minimum on a potential."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import numpy as np

    from force2geo.relax.journal import Journal
    from force2geo.relax.relaxation import Relaxation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n"
        "  force2geo relax in.sdf out.sdf --model pretrain/model.pt\n"
        "  force2geo relax molecules.smi out.xyz --calculator tblite.ase:TBLite \\\n"
        '    --options \'{"method": "GFN2-xTB", "verbosity": 0}\'\n'
        "  force2geo relax --settings relax.json --model pretrain/model.pt \\\n"
        "    --conformers downstream.h5 --selection selection.json --set d_opt --out d_opt.h5\n\n"
        "each structure written carries converged, n_steps, energy (eV), max_force (eV/Å) and "
        "status:\nconverged, step limit, bonds changed, dissociated, exploded or refused\n\n"
        "killed and called again, it goes on where it was: each minute all paths go to HDF5 files\n"
        "in the folder .OUTPUT.unfinished, which is removed when the output is there"
    )
    parser.add_argument("input", type=Path, nargs="?", help=".sdf, .xyz, .extxyz or .smi")
    parser.add_argument("output", type=Path, nargs="?", help=".sdf, .xyz or .extxyz")
    parser.add_argument("--model", type=Path, help="checkpoint of a potential")
    parser.add_argument("--calculator", help="an ASE calculator instead, MODULE:CLASS")
    parser.add_argument("--options", default="{}", help="the calculator's, JSON")
    parser.add_argument("--optimizer", default="bfgs", help="bfgs, lbfgs or fire")
    parser.add_argument("--fmax", type=float, default=0.05, help="eV/Å, where to stop (0.05)")
    parser.add_argument("--steps", type=int, default=500, help="most steps (500)")
    parser.add_argument("--dtype", default="float64", choices=("float64", "float32"))
    parser.add_argument("--device", help="cpu or cuda (a GPU where there is one)")
    parser.add_argument("--batch-atoms", type=int, default=4096, help="atoms at once (4096)")
    parser.add_argument("--paths", type=Path, help="HDF5 file for every step of every molecule")
    stage = parser.add_argument_group("the workflow's sets, in place of files")
    stage.add_argument("--settings", type=Path, help="the stage's settings, JSON")
    stage.add_argument("--conformers", type=Path, help="downstream set, HDF5")
    stage.add_argument("--selection", type=Path, help="selection, JSON")
    stage.add_argument("--set", choices=("d_opt", "subset"), help="which molecules")
    stage.add_argument("--potential", help="one of the settings', in place of --model")
    stage.add_argument("--out", type=Path, help="HDF5 file to write")


def run(args: argparse.Namespace) -> None:
    """Relax the molecules of a file, or of a set from their first DFT snapshot."""
    from force2geo.errors import UserError

    needed = ("settings", "conformers", "selection", "set", "out")
    stage = [name for name in needed if getattr(args, name) is not None]
    if args.input is None and len(stage) == len(needed):
        _relax_set(args)
    elif stage or args.input is None or args.output is None:
        options = ", ".join(f"--{name}" for name in needed)
        raise UserError(f"give an input and an output file, or all of {options}")
    else:
        _relax_file(args)


def _relax(
    args: argparse.Namespace,
    target: Path,
    numbers: Sequence[np.ndarray],
    positions: Sequence[np.ndarray],
    settings: dict[str, Any],
) -> Journal:
    """Relax molecules and return the journal that has them all."""
    import json

    import torch
    from tqdm import tqdm

    from force2geo import load
    from force2geo.errors import UserError
    from force2geo.files import known_hash
    from force2geo.relax.batched import relax_runs
    from force2geo.relax.journal import Journal
    from force2geo.relax.potentials import (
        import_calculator,
        of_calculator,
        of_model,
    )

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if (args.model is None) == (args.calculator is None):
        raise UserError("give either --model or --calculator")
    # ASE's calculators are not made to be called from several threads, and start a wave function
    # from the last one: a molecule at a time.
    refuse, threads, batch_atoms = None, 1, 1
    whole_paths = args.set is not None or args.paths is not None
    origin = {**settings, "dtype": args.dtype, "calculator": args.calculator}
    origin |= {"options": args.options, "whole_paths": whole_paths}
    if args.model is not None:
        origin["model"] = known_hash(args.model)
        model = load(args.model, device)
        evaluate = of_model(model, args.dtype)
        refuse = model.refusal
        threads = torch.get_num_threads() if device == "cpu" else 1
        batch_atoms = settings["batch_atoms"]
    else:
        device = "cpu"
        evaluate = of_calculator(import_calculator(args.calculator, json.loads(args.options)))
    journal = Journal(target, origin, numbers, positions)
    done = len(journal.ended)
    with tqdm(total=len(numbers), initial=done, unit="molecule", disable=None) as bar:

        def finished(run: Relaxation) -> None:
            journal.finished(run)
            bar.update()

        try:
            relax_runs(
                journal.left(),
                evaluate,
                settings["force_threshold"],
                settings["max_steps"],
                optimizer=settings["optimizer"],
                batch_atoms=batch_atoms,
                device=device,
                whole_paths=whole_paths,
                on_step=journal.moving,
                on_finished=finished,
                refuse=refuse,
                threads=threads,
            )
        finally:
            journal.flush()
    return journal


def _relax_file(args: argparse.Namespace) -> None:
    import sys

    from force2geo.errors import UserError
    from force2geo.files import atomic_path
    from force2geo.relax.result import write_relaxed
    from force2geo.relax.structures import SUFFIXES_OUT, read_structures, write_structures

    if args.output.suffix not in SUFFIXES_OUT:
        raise UserError(f"{args.output}: give one of {', '.join(SUFFIXES_OUT)}")
    structures, lost = read_structures(args.input)
    for place, reason in lost:
        print(f"{args.input}, molecule {place}: left out, {reason}", file=sys.stderr)
    if not structures:
        raise UserError(f"{args.input}: no structure to relax")
    settings = {
        "force_threshold": args.fmax,
        "max_steps": args.steps,
        "optimizer": args.optimizer,
        "batch_atoms": args.batch_atoms,
    }
    numbers, starts = [s.numbers for s in structures], [s.positions for s in structures]
    journal = _relax(args, args.output, numbers, starts, settings)
    notes = []
    for structure, done in zip(structures, journal.results(), strict=True):
        structure.positions = done.frames[-1]
        notes.append(
            {
                "converged": done.converged,
                "n_steps": done.steps,
                "energy": done.energies[-1],
                "max_force": done.max_forces[-1],
                "status": f"{done.status}: {done.reason}" if done.reason else done.status,
            }
        )
    with atomic_path(args.output) as partial:
        write_structures(partial, args.output.suffix, structures, notes)
    if args.paths:
        names = [f"{structure.place:09d}" for structure in structures]
        with atomic_path(args.paths) as partial:
            write_relaxed(partial, names, journal.results())
    journal.close()
    _summarise(journal, len(lost))


def _relax_set(args: argparse.Namespace) -> None:
    import json

    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.files import atomic_path, record_provenance
    from force2geo.relax.result import write_relaxed
    from force2geo.store.conformers import read_conformers

    settings = read_settings(args.settings)
    if args.potential is not None:
        chosen = settings.pop("potentials").get(args.potential)
        if chosen is None:
            raise UserError(f"--potential: the settings have no '{args.potential}'")
        args.calculator = chosen["calculator"]
        args.options = json.dumps(chosen.get("options", {}))
        settings |= {"potential": args.potential, **chosen}
    conformers = read_conformers(args.conformers)
    cids = json.loads(args.selection.read_text())[args.set]
    atoms = [conformers.atoms(row) for row in conformers.index(cids)]
    journal = _relax(
        args,
        args.out,
        [conformers.atomic_numbers[part] for part in atoms],
        [conformers.geometry["hf"][part] for part in atoms],
        settings,
    )
    with atomic_path(args.out) as partial:
        write_relaxed(partial, cids, journal.results())
    journal.close()
    inputs = [path for path in (args.model, args.conformers, args.selection) if path is not None]
    record_provenance(args.out, "relax", settings, inputs)
    _summarise(journal)


def _summarise(journal: Journal, lost: int = 0) -> None:
    """Print how many molecules ended how, and after how many steps."""
    import numpy as np

    ended = journal.ended.values()
    print(f"{'status':<16}{'molecules':>10}{'median steps':>14}")
    for status in sorted({status for status, _ in ended}):
        steps = [steps for own, steps in ended if own == status]
        print(f"{status:<16}{len(steps):>10}{np.median(steps):>14.0f}")
    if lost:
        print(f"{'left out':<16}{lost:>10}")
