"""`force2geo logs`: read logs and print what they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    import numpy as np

    from force2geo.logs import Log

KEYS = (
    "program", "version", "run", "method", "functional", "basis", "spherical", "charge",
    "multiplicity", "status", "converged", "homo", "lumo", "dipole", "origin", "notes",
)  # fmt: skip
ARRAYS = ("atomic_numbers", "positions", "energies", "gradients")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = (
        "examples:\n  force2geo logs relaxation.log\n  force2geo logs *.log.xz --json\n\n"
        "reads GAMESS, Firefly, SMASH, PySCF and MOPAC (.aux, .out), also compressed; positions in "
        "Angstrom,\nenergies in Hartree, gradients in Hartree/bohr, null where a step printed "
        "none.\nexit status: 0 all files read, 1 one was rejected"
    )
    parser.add_argument("files", nargs="+", type=Path, help="log files")
    parser.add_argument("--json", action="store_true", help="print all there is, one line a file")


def _plain(values: np.ndarray) -> list[Any]:
    """Return nested lists; a structure's numbers that are not there become None."""
    missing = (values != values).reshape(len(values), -1).any(axis=1)
    return [None if gone else row for gone, row in zip(missing, values.tolist(), strict=True)]


def as_dict(path: Path, log: Log) -> dict[str, Any]:
    """Return all a log says as plain values."""
    return {
        "file": str(path),
        **{key: getattr(log, key) for key in KEYS},
        "atomic_numbers": log.atomic_numbers.tolist(),
        **{name: _plain(getattr(log, name)) for name in ARRAYS[1:]},
    }


def run(args: argparse.Namespace) -> int:
    """Print each file; return 1 when one was rejected."""
    from force2geo.logs import LogError, read_log

    failed = False
    for path in args.files:
        try:
            log = read_log(path)
        except (LogError, OSError) as error:
            failed = True
            offset = getattr(error, "offset", 0)
            print(f"{path}: rejected: {error} (byte {offset})", file=sys.stderr)
            if args.json:
                nothing = dict.fromkeys((*KEYS, *ARRAYS))
                rejected = {"status": "rejected", "reason": str(error), "offset": offset}
                print(json.dumps({"file": str(path), **nothing, **rejected}))
            continue
        if args.json:
            print(json.dumps(as_dict(path, log)))
        else:
            level = "/".join(word for word in (log.functional or log.method, log.basis) if word)
            print(
                f"{path}: {log.program} {log.version}, {level}, "
                f"{len(log.atomic_numbers)} atoms, {len(log.energies)} steps, "
                f"{'converged' if log.converged else 'not converged'}, {log.status} end, "
                f"last energy {log.energies[-1]:.8f} Hartree"
            )
    return int(failed)
