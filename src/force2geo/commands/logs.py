"""`force2geo logs`: read logs and print what they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import numpy as np

    from force2geo.logs import Log
    from force2geo.logs.archives import Entry

KEYS = (
    "program", "version", "run", "method", "functional", "basis", "spherical", "charge",
    "multiplicity", "status", "converged", "homo", "lumo", "dipole", "origin", "notes",
)  # fmt: skip
ARRAYS = ("atomic_numbers", "positions", "energies", "gradients")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n  force2geo logs relaxation.log\n  force2geo logs *.log.xz --json\n"
        "  force2geo logs calculations/ shard.tar.xz\n\n"
        "reads GAMESS, Firefly, SMASH, PySCF and MOPAC (.aux, .out), also compressed, in folders "
        "with all\nbelow them and in tar and zip archives; positions in Angstrom, energies in "
        "Hartree, gradients in\nHartree/bohr, null where a step printed none. Files of a folder "
        "or an archive that are no logs are\nskipped, saying so.\n"
        "exit status: 0 all logs read, 1 some were rejected, 2 none was read"
    )
    parser.add_argument("files", nargs="+", type=Path, help="log files, folders or archives")
    parser.add_argument("--json", action="store_true", help="print all there is, one line a file")


def _plain(values: np.ndarray) -> list[Any]:
    """Return nested lists; a structure's numbers that are not there become None."""
    missing = (values != values).reshape(len(values), -1).any(axis=1)
    return [None if gone else row for gone, row in zip(missing, values.tolist(), strict=True)]


def as_dict(name: str, log: Log) -> dict[str, Any]:
    """Return all a log says as plain values."""
    return {
        "file": name,
        **{key: getattr(log, key) for key in KEYS},
        "atomic_numbers": log.atomic_numbers.tolist(),
        **{key: _plain(getattr(log, key)) for key in ARRAYS[1:]},
    }


def _entries(source: Path) -> Iterator[tuple[str, bool, Entry]]:
    """Yield each log's name, whether it was named itself, and its bytes."""
    from force2geo.logs.archives import ARCHIVE_SUFFIXES, iterate_logs

    several = source.is_dir() or source.name.lower().endswith(ARCHIVE_SUFFIXES)
    for entry in iterate_logs(source):
        yield (f"{source}/{entry.name}".rstrip("/") if several else str(source)), not several, entry


def _print_log(name: str, log: Log, as_json: bool) -> None:
    if as_json:
        print(json.dumps(as_dict(name, log)))
        return
    level = "/".join(word for word in (log.functional or log.method, log.basis) if word)
    charge = f", charge {log.charge}" if log.charge else ""
    spin = f", multiplicity {log.multiplicity}" if log.multiplicity != 1 else ""
    print(
        f"{name}: {log.program} {log.version}, {level}{charge}{spin}, "
        f"{len(log.atomic_numbers)} atoms, {len(log.energies)} steps, "
        f"{'converged' if log.converged else 'not converged'}, {log.status} end, "
        f"last energy {log.energies[-1]:.8f} Hartree"
    )
    for note in log.notes:
        print(f"  note: {note}")


def _print_reject(name: str, error: Exception, as_json: bool) -> None:
    offset = getattr(error, "offset", 0)
    reason = str(error).removeprefix(f"{name}: ")
    print(f"{name}: rejected: {reason} (byte {offset})", file=sys.stderr)
    if as_json:
        nothing = dict.fromkeys((*KEYS, *ARRAYS))
        rejected = {"status": "rejected", "reason": reason, "offset": offset}
        print(json.dumps({"file": name, **nothing, **rejected}))


def run(args: argparse.Namespace) -> int:
    """Print each log; return 1 when some were rejected, 2 when none was read."""
    from force2geo.errors import UserError
    from force2geo.logs import LogError, parse_log
    from force2geo.logs.log import NoLogError

    read = rejected = skipped = 0
    for source in args.files:
        try:
            for name, named, entry in _entries(source):
                try:
                    if entry.content is None:
                        raise LogError(entry.reason)
                    log = parse_log(entry.content)
                except NoLogError as error:
                    if named:
                        rejected += 1
                        _print_reject(name, error, args.json)
                    else:
                        skipped += 1
                        print(f"{name}: skipped: {error}", file=sys.stderr)
                except LogError as error:
                    rejected += 1
                    _print_reject(name, error, args.json)
                else:
                    read += 1
                    _print_log(name, log, args.json)
        except (UserError, OSError) as error:  # no such source, or one that may not be opened
            rejected += 1
            _print_reject(str(source), error, args.json)
    if read + rejected + skipped != 1:
        words = f"{read} logs read, {rejected} rejected, {skipped} files that are no logs"
        print(f"force2geo logs: {words}", file=sys.stderr)
    return (1 if rejected else 0) if read else 2
