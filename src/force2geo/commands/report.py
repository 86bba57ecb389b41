"""`force2geo report`: one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo report --settings settings/report.json --run results/demo "
        "--out report.html"
    )
    add_settings(parser)
    parser.add_argument("--run", dest="folder", type=Path, required=True, help="a run's folder")
    parser.add_argument("--out", type=Path, required=True, help="HTML page to write")


def run(args: argparse.Namespace) -> None:
    """Write the page."""
    from force2geo.config import read_settings
    from force2geo.errors import UserError
    from force2geo.evaluate.report import report
    from force2geo.files import write_text

    if not any((args.folder / name).is_dir() for name in ("settings", "store")):
        raise UserError(f"{args.folder}: no run's folder, it has neither settings nor a store")
    settings = read_settings(args.settings)
    lacks = settings.get("lacks", [])
    if "store" not in lacks and not (args.folder / "store/statistics.json").is_file():
        raise UserError(f"{args.folder}: no run's folder, it has no store/statistics.json")
    write_text(args.out, report(args.folder, settings["tables"], settings["figures"], lacks))
