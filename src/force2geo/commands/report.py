"""`force2geo report`: one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = "example:\n  force2geo report --run results/demo --out results/demo/report.html"
    parser.add_argument("--run", dest="folder", type=Path, required=True, help="a run's folder")
    parser.add_argument("--out", type=Path, required=True, help="HTML page to write")


def run(args: argparse.Namespace) -> None:
    """Write the page."""
    from force2geo.errors import UserError
    from force2geo.evaluate.report import report
    from force2geo.files import write_text

    if not (args.folder / "store/statistics.json").is_file():
        raise UserError(f"{args.folder}: no run's folder, it has no store/statistics.json")
    write_text(args.out, report(args.folder))
