"""Arguments several subcommands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add_settings(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add `--settings`."""
    parser.add_argument(
        "--settings",
        type=Path,
        required=required,
        help="this stage's settings, JSON (the workflow writes results/RUN/settings/STAGE.json)",
    )


def add_models(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """Add `--model`, of one potential or of several that answer together."""
    parser.add_argument(
        "--model",
        nargs="+",
        action="extend",
        required=required,
        help="checkpoint of a potential, several that answer together, or a name in the box",
    )


def part_files(args: argparse.Namespace) -> None:
    """Let structures named right behind `--model` be input and output: they are no potentials."""
    from force2geo.relax.structures import is_structure_file

    for key in ("input", "output"):
        named = next((name for name in args.model or [] if is_structure_file(name)), None)
        if named is not None and getattr(args, key) is None:
            args.model.remove(named)
            setattr(args, key, Path(named))


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add `--store`."""
    parser.add_argument(
        "--store",
        type=Path,
        required=True,
        help="folder of shards (SHARD.lmdb, .index.parquet, .rejects.csv); the settings' list "
        "'shards' says which, else all",
    )


def selected(path: Path, name: str) -> Any:
    """Return a split or a set of a selection file; `UserError` where it has none of that name."""
    from force2geo.errors import UserError
    from force2geo.files import read_json

    selection = read_json(path, "a selection, a JSON object")
    if name not in selection:
        raise UserError(f"{path}: has no split or set '{name}', only {', '.join(selection)}")
    return selection[name]


def shards_of(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Return the settings and the names of the shards in use.

    A list of 3,500 files is too long for a command line, so shards travel in the settings.
    """
    from force2geo.config import read_settings
    from force2geo.errors import UserError

    settings = read_settings(args.settings) if args.settings else {}
    shards = settings.get("shards")
    if shards is None:
        shards = sorted(path.name.removesuffix(".lmdb") for path in args.store.glob("*.lmdb"))
    if not shards:
        raise UserError(f"{args.store}: no shard (*.lmdb) in this folder")
    return settings, shards
