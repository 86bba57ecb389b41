"""Parsing speed on real logs beside cclib's, one core, one run.

cclib is not a dependency: give the Python of an environment that has it.

    python benchmarks/curation/parse.py --logs ../shared/data/logs --peer /tmp/cclib/bin/python
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from force2geo.logs import LogError, parse_log

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write

_REPEATS = 7
PEER = """
import json, logging, sys, time
import cclib
repeats, *paths = sys.argv[1:]
found = {"version": cclib.__version__, "seconds": {}}
for path in paths:
    best = None
    for _ in range(int(repeats)):
        start = time.perf_counter()
        try:
            data = cclib.io.ccread(path, loglevel=logging.CRITICAL)
        except Exception:
            data = None
        seconds = time.perf_counter() - start
        best = seconds if best is None else min(best, seconds)
    found["seconds"][path] = best if data is not None else None
print(json.dumps(found))
"""


def seconds_of(content: bytes) -> tuple[float, str]:
    """Return the shortest of some timings and what became of the log."""
    best, outcome = float("inf"), ""
    for _ in range(5 * _REPEATS):
        start = time.perf_counter()
        try:
            log = parse_log(content)
            outcome = f"{len(log.energies)} steps of {len(log.atomic_numbers)} atoms"
        except LogError as error:
            outcome = f"told apart: {error}"
        best = min(best, time.perf_counter() - start)
    return best, outcome


def main() -> None:
    """Time both and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--peer", required=True, help="Python with cclib")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    paths = sorted(args.logs.glob("*/*.out"))
    done = subprocess.run(
        [args.peer, "-c", PEER, str(_REPEATS), *map(str, paths)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    peer = json.loads(done.stdout.splitlines()[-1])
    rows = []
    for path in paths:
        content = path.read_bytes()
        seconds, outcome = seconds_of(content)
        theirs = peer["seconds"][str(path)]
        row = {
            "log": f"{path.parent.name}/{path.name}",
            "MB": round(len(content) / 1e6, 3),
            "MB_per_s": round(len(content) / 1e6 / seconds, 1),
            "cclib_MB_per_s": theirs and round(len(content) / 1e6 / theirs, 2),
            "ratio": theirs and round(theirs / seconds, 1),
            "outcome": outcome,
        }
        rows.append(row)
        print(row)
    write(args.out, {"machine": describe(), "cclib": peer["version"], "logs": rows})


if __name__ == "__main__":
    main()
