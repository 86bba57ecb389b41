"""Arguments several subcommands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add `--settings`."""
    parser.add_argument(
        "--settings",
        type=Path,
        required=True,
        help="this stage's settings, JSON (the workflow writes results/RUN/settings/STAGE.json)",
    )
