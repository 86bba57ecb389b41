"""`force2geo config`: a run's configuration with all its defaults, checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n  force2geo config config.yaml\n"
        "  force2geo config workflow/config/paper.yaml my.yaml\n"
        "  force2geo config --reference > docs/config.md\n\n"
        "each file's values go on top of those before it, as with snakemake --configfile; paths "
        "are looked\nfor from here. The way out is 2, and one line says why, where it is not valid"
    )
    parser.add_argument("files", nargs="*", type=Path, help="configuration, YAML")
    parser.add_argument("--schema", action="store_true", help="print the JSON schema instead")
    parser.add_argument("--reference", action="store_true", help="print the reference page instead")


def run(args: argparse.Namespace) -> None:
    """Print what is asked for."""
    from force2geo.errors import UserError

    if args.schema or args.reference:
        from force2geo.config.reference import reference, schema_text

        print(schema_text() if args.schema else reference(), end="")
        return
    if not args.files:
        raise UserError("give a configuration's file, --schema or --reference")
    import yaml

    from force2geo.config import resolve

    values: dict[str, Any] = {}
    for path in args.files:
        _put(_read(path), values)
    print(yaml.safe_dump(dict(resolve(values)), sort_keys=False, allow_unicode=True), end="")


def _read(path: Path) -> dict[str, Any]:
    import yaml

    from force2geo.errors import UserError

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML ({' '.join(str(error).split())[:200]})") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: not a configuration, keys with values")
    return found


def _put(values: dict[str, Any], on: dict[str, Any]) -> None:
    """Put values on top of others, key by key, as Snakemake does."""
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(on.get(key), dict):
            _put(value, on[key])
        else:
            on[key] = value
