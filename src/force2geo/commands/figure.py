"""`force2geo figure`: one figure of a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.commands.arguments import add_settings

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "example:\n  force2geo figure residual --settings settings/figure/residual.json "
        "\\\n    --run results/demo --out results/demo/figures"
    )
    parser.add_argument("name", help="relaxation, residual, … (`force2geo.figures`)")
    add_settings(parser)
    parser.add_argument("--run", dest="folder", type=Path, required=True, help="a run's folder")
    parser.add_argument("--out", type=Path, required=True, help="folder for its PNG and SVG")


def run(args: argparse.Namespace) -> None:
    """Draw the figure."""
    from force2geo.config import read_settings
    from force2geo.evaluate.figures import save
    from force2geo.plan.shown import find

    figure = find("figure", args.name).draw(read_settings(args.settings), args.folder)
    save(figure, args.out, args.name)
