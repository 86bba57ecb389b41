"""`force2geo generate`: relaxations of your own molecules with open programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n  force2geo generate --molecules mine.smi --out generated --workers 2\n"
        "  force2geo generate --molecules mine.csv --cid 962 --out generated\n\n"
        "needs: pip install 'force2geo[generate]'; the first stage is PM3 where MOPAC is "
        "installed,\nelse GFN2-xTB. Each settings have a folder in that of --out, which is what "
        "`force2geo curate\n--logs` takes; a stage whose log is there is not done again. A "
        "molecule without CID has a number\nthat follows from its InChIKey. In the workflow: set "
        "generate.molecules in the config"
    )
    add_settings(parser, required=False)
    parser.add_argument(
        "--molecules", type=Path, required=True, help=".smi, or CSV with smiles or inchi, and cid"
    )
    parser.add_argument("--cid", help="only this molecule")
    parser.add_argument("--workers", type=int, default=1, help="molecules at a time (default 1)")
    parser.add_argument("--out", type=Path, required=True, help="folder of logs to write")
    parser.add_argument("--report", type=Path, help="JSON of what became of the molecule of --cid")


def run(args: argparse.Namespace) -> int:
    """Generate."""
    import os

    from tqdm import tqdm

    from force2geo.config import read_settings
    from force2geo.dft.generate import Settings, folder_name, generate_all
    from force2geo.errors import UserError
    from force2geo.files import write_text
    from force2geo.molecules import read_molecules

    values = read_settings(args.settings) if args.settings else {}
    settings = Settings(**values)
    molecules = read_molecules(args.molecules)
    if not molecules:
        raise UserError(f"{args.molecules}: no molecule in it")
    if args.cid is not None:
        molecules = [m for m in molecules if m.cid == args.cid.zfill(9)]
        if not molecules:
            raise UserError(f"{args.molecules}: no molecule with CID {args.cid}")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    failed = 0
    reports = generate_all(molecules, args.out, settings, args.workers)
    for report in tqdm(reports, total=len(molecules), unit="molecule", disable=None):
        steps = ", ".join(f"{s.stage} {s.steps} steps in {s.seconds:.0f} s" for s in report.stages)
        failed += bool(report.error)
        print(f"{report.cid} {report.smiles or report.inchi}: {report.error or steps}")
    if args.report is not None:
        cid = molecules[0].cid
        made = args.out / folder_name(settings) / cid / f"{cid}.json"
        write_text(args.report, made.read_text(encoding="utf-8"))
    print(
        f"{len(molecules) - failed} of {len(molecules)} molecules relaxed to the end; logs in "
        f"{args.out / folder_name(settings)}"
    )
    return 0
