"""`force2geo predict`: properties of molecules, and how far each can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections import Counter
    from collections.abc import Iterable

    from force2geo.prediction.ask import Question
    from force2geo.prediction.predict import Prediction

    Counts = tuple[Counter[str], Counter[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n"
        "  force2geo predict CCO --property gap --model gap.pt\n"
        "  force2geo predict molecules.smi --model seed1.pt --model seed2.pt --out gaps.csv\n"
        "  force2geo predict in.sdf --model gap.pt --relax pretrain/model.pt --out out.sdf\n\n"
        "in: a SMILES, or a file as `force2geo relax` reads it: SDF; XYZ, extended XYZ; .smi or\n"
        ".txt, one SMILES a line; .csv, .tsv with a column smiles; also packed (.gz). SMILES get\n"
        "an RDKit conformer\n\n"
        "out: a row for each molecule, in order: its place, name and SMILES; each property with\n"
        "its unit, of several models the mean and the spread (standard deviation); applicability:\n"
        "  in       like what the model was trained on\n"
        "  edge     at the rim of it, or not relaxed to the end\n"
        "  outside  beyond it; there is no number for an element, charge or spin never seen\n"
        "  unknown  the checkpoint is of before such things were kept\n"
        "with the reason: elements, charge, size, distance from training in the model's own\n"
        "features (1: what 95 % of the training molecules have from the rest), spread of the\n"
        "models beside validation's errors; and a status: predicted, or how relaxing ended, or\n"
        "left out, refused or failed with the reason\n\n"
        "a file of more than 1,000 molecules is answered in portions of as many when there is\n"
        "--out: killed and called again, it goes on with the first portion that was not done\n\n"
        "exit status: 0 all molecules have numbers, 1 some have none, 2 none has any, or nothing\n"
        "was done; 130 interrupted"
    )
    parser.add_argument("input", help="a SMILES, or .sdf, .xyz, .extxyz, .smi, .csv")
    parser.add_argument(
        "--property", action="append", default=[], help="again for several (default: all there are)"
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        help="checkpoint, or the name of a model in the box (force2geo models); again for several: "
        "those of one property answer together",
    )
    parser.add_argument(
        "--relax",
        action="append",
        nargs="?",
        const="",
        metavar="POTENTIAL",
        help="relax first, with this potential's checkpoint or the one of this name in the box "
        "(alone: its default); again for several that relax together",
    )
    parser.add_argument("--fmax", type=float, default=0.05, help="eV/Å, where to stop (0.05)")
    parser.add_argument("--steps", type=int, default=500, help="most steps of relaxing (500)")
    parser.add_argument("--out", type=Path, help=".csv or .sdf (default: CSV to the terminal)")
    parser.add_argument("--device", help="cpu or cuda (a GPU where there is one)")
    parser.add_argument("--batch-atoms", type=int, default=4096, help="atoms at once (4096)")


def run(args: argparse.Namespace) -> int:
    """Predict."""
    from force2geo.errors import UserError
    from force2geo.locks import locked
    from force2geo.prediction import output
    from force2geo.prediction.ask import Question, ask, is_file
    from force2geo.relax.portions import SIZE
    from force2geo.relax.structures import is_longer

    output.check(args.out)
    if args.batch_atoms < 1:
        raise UserError(f"--batch-atoms {args.batch_atoms}: give 1 or more")
    if args.out is not None and args.out.resolve() == Path(args.input).resolve():
        raise UserError(f"--out {args.out}: this is the input itself")
    question = Question.of(
        models=args.model,
        properties=args.property,
        relax=args.relax and ([one for one in args.relax if one] or True),
        fmax=args.fmax,
        steps=args.steps,
        device=args.device,
        batch_atoms=args.batch_atoms,
    )
    if args.out is not None and is_file(args.input) and is_longer(Path(args.input), SIZE):
        with locked(args.out):  # two calls at once would take each other's work away
            return _conclude(_in_portions(args, question))
    return _conclude(_write(args.out, ask(args.input, question), question))


def _in_portions(args: argparse.Namespace, question: Question) -> Counts:
    """Write the rows of a long file and return how many are how; killed, it goes on."""
    from collections import Counter

    import torch

    from force2geo.files import known_hash
    from force2geo.prediction import shipped
    from force2geo.prediction.predict import predictions
    from force2geo.relax.portions import SIZE, Portions
    from force2geo.relax.structures import each_structure

    source, relaxer = Path(args.input), question.relaxer
    models = [known_hash(path) for path in shipped.chosen(args.model, args.property)]
    depends = [known_hash(source), models, args.property, args.fmax, args.steps]
    if relaxer is not None:
        depends += [relaxer.evaluator.origin, relaxer.evaluator.unsure_above]
    portions, workers = Portions(args.out, depends, SIZE), torch.get_num_threads()
    for number, found in portions.left(
        lambda done: each_structure(source, workers=workers, skip=done)
    ):
        rows = predictions(found, question.ensemble, relaxer, question.batch_atoms)
        words, failures = _write(portions.path(number), rows, question, tell=number == 0)
        portions.finished(number, {"words": words, "failures": failures})
    words, failures = Counter(), Counter()
    for told in portions.told():
        words.update(told["words"])
        failures.update(told["failures"])
    portions.join(headers=args.out.suffix.lower() == ".csv")
    portions.close()
    return words, failures


def _write(
    out: Path | None, rows: Iterable[Prediction], question: Question, tell: bool = True
) -> Counts:
    """Write rows as they come; return applicabilities and, of those without a number, statuses."""
    from collections import Counter

    from force2geo.prediction import output
    from force2geo.progress import Progress

    words, failures = Counter[str](), Counter[str]()
    with (
        Progress(None, "molecule") as progress,
        output.writer(out, question.ensemble) as target,
    ):
        for row in rows:
            if tell and row.values and row.structure and row.structure.smiles:
                tell = False
                _tell_of_geometries(question)
            target.write(row)
            words[row.applicability or "no molecule"] += 1
            if not row.values:
                failures[row.status] += 1
            progress.update()
    return words, failures


def _conclude(counts: Counts) -> int:
    """Say how many molecules are how and return the exit status."""
    import sys

    words, failures = counts
    told = ", ".join(f"{count} {word}" for word, count in words.most_common())
    print(f"{words.total()} molecules: {told or 'none'}", file=sys.stderr)
    for status, count in failures.most_common(5):
        print(f"{count} without a number: {status}", file=sys.stderr)
    if failures.total() == words.total():
        return 2
    return int(failures.total() > 0)


def _tell_of_geometries(question: Question) -> None:
    """Say where molecules of SMILES are given to a model that learnt on better geometries."""
    import sys

    learnt = question.ensemble.geometries() - {"rdkit"}
    if learnt and question.relaxer is None:
        names = " and ".join(sorted(learnt))
        print(
            f"SMILES are predicted at RDKit's conformers, the model learnt on {names} geometries: "
            "--relax comes closer to them",
            file=sys.stderr,
        )
