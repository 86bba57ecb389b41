"""`force2geo logs`: read logs and print what they say."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = "example:\n  force2geo logs relaxation.log --json"
    parser.add_argument("files", nargs="+", type=Path, help="log files")
    parser.add_argument("--json", action="store_true", help="print all arrays as JSON lines")


def run(args: argparse.Namespace) -> int:
    """Print each file; return 1 when one was rejected."""
    from force2geo.logs import LogError, read_log

    failed = False
    for path in args.files:
        try:
            log = read_log(path)
        except (LogError, OSError) as error:
            failed = True
            print(f"{path}: rejected: {error}", file=sys.stderr)
            continue
        if args.json:
            values = {
                "file": str(path),
                "program": log.program,
                "version": log.version,
                "method": log.method,
                "basis": log.basis,
                "charge": log.charge,
                "multiplicity": log.multiplicity,
                "status": "normal" if log.finished else "abnormal",
                "converged": log.converged,
                "atomic_numbers": log.atomic_numbers.tolist(),
                "positions": log.positions.tolist(),
                "energies": log.energies.tolist(),
                "gradients": log.gradients.tolist(),
            }
            print(json.dumps(values))
        else:
            print(
                f"{path}: {log.program} {log.version}, {log.method}/{log.basis}, "
                f"{len(log.atomic_numbers)} atoms, {len(log.energies)} steps, "
                f"{'converged' if log.converged else 'not converged'}, "
                f"last energy {log.energies[-1]:.8f} Hartree"
            )
    return int(failed)
