"""`force2geo table`: one table of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo table table2 --settings settings/table/table2.json "
        "--run results/demo \\\n    --out results/demo/tables"
    )
    parser.add_argument("name", help="table_a3, table2, … (`force2geo.tables`)")
    add_settings(parser)
    parser.add_argument("--run", dest="folder", type=Path, required=True, help="a run's folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for its four files")


def run(args: argparse.Namespace) -> None:
    """Write the table as CSV, Markdown, LaTeX and JSON."""
    from force2geo.config import read_settings
    from force2geo.evaluate.table import write_table_files
    from force2geo.plan.shown import find

    table = find("table", args.name).build(read_settings(args.settings), args.folder)
    write_table_files(table, args.out)
