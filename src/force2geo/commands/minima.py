"""`force2geo minima`: reference minima of molecules that relaxations are tested on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from force2geo.training_data.minima_file import Check, Minimum

CHECKED_EVERY = 6
"""Of a list of 120, 20 are checked."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples, each called again where it was killed:\n"
        "  force2geo minima find --molecules workflow/resources/labels/d_opt_120.csv --out minima "
        "\\\n    --workers 1\n"
        "  force2geo minima check --out minima --workers 1\n"
        "  force2geo minima collect --out minima --file workflow/resources/d_opt_120/minima.h5\n\n"
        "find: RDKit's conformer and what GFN2-xTB makes of it relax by --model, or by GFN2-xTB,\n"
        "and go on to DFT's minimum. Without --model both come to one place, which is computed\n"
        "once. check: geomeTRIC does its own optimisation of every sixth molecule from where DFT\n"
        "began with the first start. collect: one file of all that is there"
    )
    parser.add_argument("what", choices=("find", "check", "collect"))
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is done")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each (1)")
    group = parser.add_argument_group("find")
    group.add_argument("--molecules", type=Path, help="CSV: cid,smiles,inchi")
    group.add_argument("--model", type=Path, help="checkpoint of a potential (GFN2-xTB)")
    group.add_argument("--fmax", type=float, default=0.01, help="eV/Å, largest DFT force (0.01)")
    group.add_argument("--gradients", type=int, default=60, help="most DFT gradients (60)")
    group.add_argument("--seed", type=int, default=7, help="seed of the conformers (7)")
    group.add_argument("--dft-level", default="{}", help="JSON object, as of relax --finish dft")
    group.add_argument("--dft-seconds", type=float, help="time limit of one gradient")
    parser.add_argument("--file", type=Path, help="collect: HDF5 file to write")


def run(args: argparse.Namespace) -> int:
    """Find, check or collect."""
    from importlib.util import find_spec

    from force2geo.errors import UserError
    from force2geo.locks import locked

    if args.workers < 1:
        raise UserError(f"--workers {args.workers}: give 1 or more")
    if find_spec("geometric") is None:
        raise UserError("minima: needs geomeTRIC: pip install 'force2geo[generate]'")
    with locked(args.out / "minima"):
        return {"find": _find, "check": _check, "collect": _collect}[args.what](args)


def _find(args: argparse.Namespace) -> int:
    from collections import Counter

    from force2geo.commands.finishing import level_of
    from force2geo.dft.finish import UNDONE, Settings
    from force2geo.dft.minima import Search, find_minima
    from force2geo.errors import UserError

    if args.molecules is None:
        raise UserError("minima find: give --molecules, a CSV with cid,smiles,inchi")
    for name, value in (("fmax", args.fmax), ("gradients", args.gradients)):
        if not value > 0:
            raise UserError(f"--{name} {value}: give a number above 0")
    limits = args.workers, args.dft_seconds
    settings = Settings(args.fmax, args.gradients, level_of(args.dft_level), *limits)
    search = Search(args.molecules, settings, args.model, args.seed)
    ended: Counter[str] = Counter()
    for cid, start, status in find_minima(search, args.out):
        ended[status] += 1
        print(f"{cid} from {start}: {status}", flush=True)
    print(", ".join(f"{count} {status}" for status, count in ended.most_common()))
    return int(ended[UNDONE] > 0)


def _check(args: argparse.Namespace) -> int:
    from force2geo.dft.level import Level
    from force2geo.dft.minima import STARTS
    from force2geo.dft.minima_check import check_minima
    from force2geo.files import read_json

    minima, about = _read(args.out)
    first = [one for one in minima if one.start == STARTS[0]]
    places = {cid: place for place, cid in enumerate(read_json(args.out / "made_of.json")["cids"])}
    chosen = [one for one in first if places[one.cid] % CHECKED_EVERY == 0 and one.gradients]
    level, threshold = Level(**about["level"]), about["force_threshold"]
    known = {one.cid: one for one in chosen}
    for found in check_minima(chosen, level, threshold, args.out / "check", args.workers):
        print(_compared(known[found.cid], found), flush=True)
    return 0


def _compared(one: Minimum, check: Check) -> str:
    """Say what geomeTRIC's energy is above ours, and the gradients of both."""
    from force2geo.units import EV_PER_KCAL_MOL

    above = (check.energy - one.energy) / EV_PER_KCAL_MOL
    return (
        f"{one.cid}: geomeTRIC {check.status}, {above:+.4f} kcal/mol after {check.gradients} "
        f"gradients; here {one.status} after {one.gradients}"
    )


def _collect(args: argparse.Namespace) -> int:
    import json

    from force2geo.errors import UserError
    from force2geo.training_data.minima_file import Check, write_minima

    if args.file is None:
        raise UserError("minima collect: give --file, the HDF5 file to write")
    minima, about = _read(args.out)
    checks = [
        Check(**json.loads(path.read_text(encoding="utf-8")))
        for path in sorted((args.out / "check").glob("*.json"))
    ]
    write_minima(args.file, minima, checks, about)
    known = {(one.cid, one.start): one for one in minima}
    for check in checks:
        print(_compared(known[check.cid, minima[0].start], check))
    print(f"{len({one.cid for one in minima})} molecules, {len(minima)} minima")
    return 0


def _read(folder: Path) -> tuple[list[Minimum], dict[str, Any]]:
    """Return the minima there are, in the list's order and the first start first."""
    from force2geo.dft.minima import STARTS, minimum_path
    from force2geo.errors import UserError
    from force2geo.files import read_json
    from force2geo.training_data.minima_file import read_minimum

    made_of = read_json(folder / "made_of.json", "what minima were looked for")
    paths = [minimum_path(folder, cid, start) for start in STARTS for cid in made_of["cids"]]
    minima = [read_minimum(path) for path in paths if path.exists()]
    if not any(one.start == STARTS[0] for one in minima):
        raise UserError(f"{folder}: no minimum from {STARTS[0]} is there yet; find comes first")
    order = {cid: place for place, cid in enumerate(made_of["cids"])}
    minima.sort(key=lambda one: (STARTS.index(one.start), order[one.cid]))
    return minima, made_of["about"]
