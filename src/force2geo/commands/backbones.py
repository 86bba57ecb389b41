"""`force2geo backbones`: what networks there are, where they come from and how large they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from force2geo.potentials.backbone import Backbone

COLUMNS = (
    "name", "title", "parameters", "size", "licence", "code", "extra", "installed", "source",
)  # fmt: skip
_ABOUT = ("title", "source", "licence", "code", "extra")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n  force2geo backbones\n  force2geo backbones painn schnet --json\n\n"
        "lists this project's networks and those that other packages register (entry points of "
        "the group\nforce2geo.backbones). Parameters are the network's without heads, for all "
        "elements, at the size of\nForce2Geo's table 8, else at its own defaults, '-' where a "
        "size has to be given."
    )
    parser.add_argument("names", nargs="*", help="these alone (default: all)")
    parser.add_argument("--json", action="store_true", help="print a list of objects")


def _size(name: str, found: type[Backbone]) -> dict[str, Any]:
    """Return settings and parameters at table 8's size or at the network's defaults."""
    from force2geo.errors import UserError
    from force2geo.potentials.registry import build_backbone
    from force2geo.settings import plain, read

    values, batch_size = found.about.table8 or ({}, None)
    try:
        settings = plain(read(found.Settings, values, f"backbone {name}"))
    except UserError:  # without defaults there is no size to speak of
        return {}
    network = build_backbone({"name": name, **settings})
    return {
        "size": "table 8" if found.about.table8 else "defaults",
        "settings": settings,
        "batch_size": batch_size,
        "parameters": sum(value.numel() for value in network.parameters()),
    }


def describe(name: str) -> dict[str, Any]:
    """Return all there is to say of a backbone as plain values, None where it is not known.

    One that cannot be loaded is no reason to say nothing of the others, so whatever is wrong with
    it stands under `missing`.
    """
    from dataclasses import asdict

    from force2geo.potentials import unimported
    from force2geo.potentials.backbone import About
    from force2geo.potentials.registry import find

    keys = ("size", "settings", "batch_size", "parameters", "missing")
    described: dict[str, Any] = {"name": name, **dict.fromkeys((*_ABOUT, *keys))}
    try:
        found = find(name)
        about = asdict(found.about)
        described |= _size(name, found)
    except Exception as error:  # of another's package, whatever it be
        said = unimported.about(name)
        about = asdict(About("", "")) | said if said else {}
        described["missing"] = str(error.__cause__ or error) or type(error).__name__
    described |= {key: about[key] for key in _ABOUT if key in about}
    return described | {"installed": described["missing"] is None}


def _cells(described: dict[str, Any]) -> list[str]:
    """Return a row of the table."""
    shown = described | {"installed": "yes"}
    if described["missing"] is not None:
        shown["installed"] = f"no: {described['missing']}"
        if described["extra"]:
            shown["installed"] += f" (pip install 'force2geo[{described['extra']}]')"
    if described["parameters"] is not None:
        shown["parameters"] = f"{described['parameters']:,}"
    return [str(shown[column] or "-") for column in COLUMNS]


def run(args: argparse.Namespace) -> int:
    """Print the table, or the list."""
    from force2geo.errors import UserError
    from force2geo.potentials import registry

    known = registry.names()
    for name in args.names:
        if name not in known:
            raise UserError(f"unknown backbone '{name}', there are {', '.join(known)}")
    described = [describe(name) for name in args.names or known]
    if args.json:
        print(json.dumps(described, indent=2))
        return 0
    rows = [[column.capitalize() for column in COLUMNS], *map(_cells, described)]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if column == "parameters" else cell.ljust(width)
            for column, cell, width in zip(COLUMNS, row, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())
    return 0
