"""`force2geo datasets`: the data sets there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from force2geo.training_data.dataset import DataSet


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n  force2geo datasets\n  force2geo datasets rmd17\n\n"
        "a data set of your own is one file in src/force2geo/datasets, or an entry point of the "
        "group\nforce2geo.datasets"
    )
    parser.add_argument("name", nargs="?", help="one data set: its settings and files, too")


def run(args: argparse.Namespace) -> None:
    """List them."""
    from dataclasses import asdict

    from force2geo.settings_schema import schema
    from force2geo.training_data import registry

    if args.name is None:
        for name in registry.names():
            found = registry.find(name)
            print(f"{name}: {found.about.title}, {found.about.level}; {' or '.join(found.kinds)}")
        return
    found = registry.find(args.name)
    for key, value in asdict(found.about).items():
        print(f"{key}: {value}")
    for target, unit in found.units.items():
        print(f"target {target}: {unit}")
    asked = schema(found.Settings)
    for key, about in asked["properties"].items():
        default = "required" if key in asked["required"] else f"default {about['default']}"
        print(f"setting {key}: {about['description']} ({default})")
    if set(asked["required"]) <= {"folder"}:
        for line in _files(
            registry.build({"from": args.name, **dict.fromkeys(asked["required"], "")})
        ):
            print(line)


def _files(data: DataSet) -> Iterator[str]:
    """Yield what the set reads with its default settings, a line each."""
    for file in data.files():
        known = {"bytes": file.size, "SHA-256": file.sha256, "MD5": file.md5}
        told = [f"{name} {value}" for name, value in known.items() if value is not None]
        yield f"file {file.path}: {', '.join(told) or 'size and checksum are not published'}"
