"""Mutated logs through the whole of curation: no crash, no hang, every one accounted for.

python benchmarks/curation/fuzz.py --logs ../shared/data/logs --count 100000
"""

from __future__ import annotations

import argparse
import csv
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from force2geo.curation import curate as curation
from force2geo.curation.identifiers import Identifiers
from force2geo.logs.archives import Entry, plain_name, read_file
from force2geo.logs.names import NamePattern
from force2geo.logs.read import READER_FAILED
from force2geo.store.lmdb_store import Shard

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write

PATTERN = r"(?P<cid>\d{9})\.(?P<stage>pm3|hf|dft_1st|dft_2nd|dft_points)\.log$"
STAGES = ("pm3", "hf", "dft_1st", "dft_2nd", "dft_points")
# What the real logs are by themselves; a fifth of the mutants come under any name.
_FITTING = {
    "ff80_dvb_gopt.out": "hf", "v110_uhf_opt.out": "hf", "ethanol_pm3.aux": "pm3",
    "ethanol_pm3.out": "pm3", "methyl_pm3.aux": "pm3", "water_hf.pyscf.log": "hf",
}  # fmt: skip
OPEN_LOGS = Path(__file__).resolve().parents[2] / "tests/logs/data"
_NUMBERS = (
    b"********",
    b"-",
    b"1e999",
    b"NaN",
    b"0.0000000",
    b"-99999.9999999",
    b"D+00",
    b"9" * 40,
)


def mutate(log: bytearray, logs: list[bytes], rng: np.random.Generator) -> bytes:
    """Return a log with a few things done to it, some with pieces of the others."""
    for _ in range(rng.integers(1, 5)):
        if not log:
            break
        place = int(rng.integers(len(log)))
        kind = rng.integers(10)
        if kind == 0:
            del log[place:]
        elif kind == 1:
            del log[:place]
        elif kind == 2:
            del log[place : place + int(rng.integers(1, 20_000))]
        elif kind == 3:
            for at in rng.integers(len(log), size=int(rng.integers(1, 200))):
                log[at] = int(rng.integers(256))
        elif kind == 4:
            length = int(rng.integers(1, 20_000))
            log[place:place] = log[place : place + length]
        elif kind == 5:
            other = logs[rng.integers(len(logs))]
            begin = int(rng.integers(len(other)))
            log[place:place] = other[begin : begin + int(rng.integers(1, 20_000))]
        elif kind == 6:
            end = log.find(b"\n", place)
            log[place : max(end, place)] = _NUMBERS[rng.integers(len(_NUMBERS))]
        elif kind == 7:
            log = bytearray(bytes(log).replace(b"\n", b"\r\n"))
        elif kind == 8:
            digits = [b"0", b"5", b"9", b".", b"-", b" ", b"*"]
            for at in rng.integers(len(log), size=50):
                if log[at] in b"0123456789.- ":
                    log[at : at + 1] = digits[rng.integers(len(digits))]
        else:
            log += logs[rng.integers(len(logs))]
    return bytes(log)


def run(logs: list[bytes], stages: list[str], count: int, seed: int) -> dict[str, Any]:
    """Curate so many mutated logs and return what became of them."""
    rng, slowest, marks = np.random.default_rng(seed), [0.0], [0.0]

    def entries(_: Path) -> Iterator[Entry]:
        for number in range(count):
            base = int(rng.integers(len(logs)))
            content = mutate(bytearray(logs[base]), logs, rng)
            stage = stages[base] if rng.random() < 0.8 else STAGES[rng.integers(len(STAGES))]
            # Every eighth log is for the molecule before it, too.
            name = f"{number - (number % 8 == 7) + 1:09d}.{stage}.log"
            marks[0] = time.perf_counter()
            yield Entry(name, content)
            slowest[0] = max(slowest[0], time.perf_counter() - marks[0])

    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        with mock.patch.object(curation, "iterate_logs", entries):
            counts = curation.curate(
                folder, folder / "s.lmdb", folder / "s.csv", folder / "s.parquet",
                NamePattern(PATTERN), Identifiers(None),
            )  # fmt: skip
        stored = sum(len(s) for r in Shard(folder / "s.lmdb").records()
                     for s in r.trajectory().stages.values())  # fmt: skip
        with (folder / "s.csv").open(newline="") as handle:
            reasons = [row["reason"] for row in csv.DictReader(handle)]
    return {
        "logs": count,
        "read": counts.read,
        "rejected": counts.rejected,
        "rows": len(reasons),
        "reader failed": sum(reason.startswith(READER_FAILED) for reason in reasons),
        "snapshots": stored,
        "slowest": slowest[0],
        "MB resident": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def main() -> None:
    """Run and write the result; fails when a log is not accounted for or takes five seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    paths = sorted(args.logs.glob("*/*.out")) + sorted(OPEN_LOGS.glob("*.*"))
    paths = [path for path in paths if path.suffix != ".md"]
    logs = [read_file(path) for path in paths]
    stages = [_FITTING.get(plain_name(path.name), "dft_1st") for path in paths]
    share = args.count // args.workers
    start = time.perf_counter()
    with ProcessPoolExecutor(args.workers) as pool:
        jobs = [pool.submit(run, logs, stages, share, seed) for seed in range(args.workers)]
        parts = [job.result() for job in jobs]
    result = {
        "logs": sum(part["logs"] for part in parts),
        "read": sum(part["read"] for part in parts),
        "rejected": sum(part["rejected"] for part in parts),
        "snapshots stored": sum(part["snapshots"] for part in parts),
        "slowest log, seconds": round(max(part["slowest"] for part in parts), 3),
        "MB resident, one process": round(max(part["MB resident"] for part in parts)),
        "minutes": round((time.perf_counter() - start) / 60, 1),
        "workers": args.workers,
    }
    print(result)
    assert result["read"] + result["rejected"] == result["logs"], "a log is not accounted for"
    assert all(part["rows"] >= part["rejected"] for part in parts), "a reject has no row"
    assert not any(part["reader failed"] for part in parts), "a reader failed"
    assert result["slowest log, seconds"] < 5, "a log took too long"
    write(args.out, {"machine": describe(), **result})


if __name__ == "__main__":
    main()
