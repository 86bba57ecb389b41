"""`force2geo label`: more DFT energies and gradients."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

_BY_CHOICE = (
    "budget", "choose", "model", "per_molecule", "distance", "apart", "selection", "index",
    "earlier", "store",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n  force2geo label --molecules more.csv --out labels --workers 2\n"
        "  force2geo label --molecules pool.csv --model M1.pt M2.pt M3.pt --budget 500 \\\n"
        "    --out unsure\n\n"
        "ions and radicals are labelled as the SMILES writes them, or with a column multiplicity;\n"
        "a rerun does what is left; failures are listed in OUT/rejects.csv, but for molecules that "
        "the\nmachine failed (memory, disk, a process that died), which are tried again.\n\n"
        "With a budget so many geometries of the list are chosen (OUT/choice.csv) and labelled: "
        "with\npotentials those on the paths of relaxations (OUT/paths.h5) on which their forces "
        "differ most.\n--choose frames takes any on these paths, random those of any molecules, as "
        "without a budget.\nFailures count: the budget is one of DFT calculations"
    )
    parser.add_argument("--molecules", type=Path, required=True, help="CSV: cid,smiles,inchi")
    parser.add_argument("--out", type=Path, required=True, help="folder of one .npz per molecule")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    parser.add_argument(
        "--points",
        type=int,
        choices=(1, 2, 3),
        help="geometries a molecule: the conformer, with one or both of the rattled ones (3)",
    )
    parser.add_argument("--seed", type=int, default=7, help="seed of conformers, noise and chance")
    chosen = parser.add_argument_group("a choice, within a budget")
    chosen.add_argument("--budget", type=int, help="geometries to label")
    chosen.add_argument(
        "--choose", choices=("spread", "frames", "random"), help="how (spread where models are)"
    )
    chosen.add_argument("--model", type=Path, nargs="+", help="two potentials or more")
    chosen.add_argument("--per-molecule", type=int, help="most geometries of a molecule (2)")
    chosen.add_argument(
        "--distance", type=float, help="least distance of a molecule's geometries, Å (0.05)"
    )
    chosen.add_argument("--apart", type=Path, nargs="+", help="CSV of molecules never to label")
    chosen.add_argument("--selection", type=Path, help="selection whose tests are never labelled")
    chosen.add_argument("--split", default="pretrain", help="split of the selection (pretrain)")
    chosen.add_argument("--index", type=Path, help="merged index of the selection's molecules")
    chosen.add_argument("--earlier", type=Path, nargs="+", help="folders of labels chosen before")
    chosen.add_argument(
        "--store", type=Path, help="folder of numbers that choices share (OUT/points)"
    )
    chosen.add_argument(
        "--anew", action="store_true", help="remove what is of another choice in OUT, not STORE"
    )


def run(args: argparse.Namespace) -> None:
    """Label the molecules, or what is chosen of them."""
    import sys

    from force2geo.dft.label import label, read_list
    from force2geo.errors import UserError

    given = [name for name in _BY_CHOICE if getattr(args, name) is not None]
    rows = read_list(args.molecules)
    if given:
        if args.budget is None or args.budget < 1:
            raise UserError(f"--{given[0].replace('_', '-')}: give a --budget of 1 or more, too")
        if args.points is not None:
            raise UserError("--points: a choice within a --budget takes none")
        return _choose(args, rows)
    left = label(rows, args.out, args.seed, args.workers, args.points or 3)
    for cid, reason in left.items():
        print(f"warning: {cid}: not labelled ({reason}); another call tries it", file=sys.stderr)
    return None


def _choose(args: argparse.Namespace, rows: list[dict[str, str]]) -> None:
    from force2geo.active.unlabelled import label_chosen
    from force2geo.active.wanted import Held, Wanted
    from force2geo.errors import UserError
    from force2geo.files import record_provenance
    from force2geo.locks import locked

    choose = args.choose or ("spread" if args.model else "random")
    if choose != "random" and not args.model:
        raise UserError(f"--model: --choose {choose} needs potentials")
    if (args.selection is None) != (args.index is None):
        raise UserError("--selection: it goes together with --index")
    held = Held(args.selection, args.index, args.split) if args.selection else None
    wanted = Wanted(
        choose,
        args.budget,
        args.seed,
        2 if args.per_molecule is None else args.per_molecule,
        0.05 if args.distance is None else args.distance,
        models=tuple(args.model or ()),
        apart=tuple(args.apart or ()),
        earlier=tuple(args.earlier or ()),
        held=held,
    )
    if wanted.per_molecule < 1 or wanted.distance < 0:
        raise UserError("--per-molecule: give 1 or more; --distance: 0 or more")
    store = args.store or args.out / "points"
    args.out.mkdir(parents=True, exist_ok=True)
    with locked(args.out / "choice.csv"):
        failed = label_chosen(rows, args.out, wanted, args.workers, store, args.anew)
        inputs = [args.molecules, *wanted.models, *wanted.apart]
        record_provenance(args.out / "labels.csv", "label", wanted.record(), inputs)
    lost = sum(map(bool, failed))
    print(f"{len(failed) - lost} geometries are labelled, {lost} have no label (labels.csv)")
