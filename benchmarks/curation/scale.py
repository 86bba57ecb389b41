"""Curation at scale: memory by shard size, two workers beside one, the plan of 3,500 shards.

The shards hold the demo's logs over and over under new CIDs, as many as asked for.

    python benchmarks/curation/scale.py
"""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from force2geo.config.data import Curate
from force2geo.settings import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))
from machine import describe, write  # noqa: E402

_TIMED = """
import json, resource, sys, time
from force2geo.cli import main
start = time.perf_counter()
status = main(sys.argv[1:])
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"status": status, "seconds": time.perf_counter() - start,
                  "MB resident": usage.ru_maxrss / 1e3}), file=sys.stderr)
"""


def demo_logs() -> list[tuple[str, bytes]]:
    """Return the demo's logs of relaxed molecules, molecule by molecule."""
    logs = []
    for path in sorted((ROOT / "workflow/resources/demo").glob("*.tar.xz")):
        with tarfile.open(path) as archive:
            for member in archive:
                handle = archive.extractfile(member)
                if handle is not None and "dft_points" not in member.name:
                    logs.append((Path(member.name).name, handle.read()))
    return logs


def numbered(logs: list[tuple[str, bytes]], count: int) -> Iterator[tuple[str, bytes]]:
    """Yield so many logs; each time through the demo its molecules get new CIDs."""
    new, last, cid = 0, "", ""
    for number in range(count):
        name, content = logs[number % len(logs)]
        if name[:9] != last or number % len(logs) == 0:
            new, last = new + 1, name[:9]
            cid = f"{new:09d}"
        yield f"{cid}/{cid}{name[9:]}", content


def build(path: Path, logs: list[tuple[str, bytes]], count: int) -> None:
    """Write a tar archive of so many logs."""
    with tarfile.open(path, "w") as archive:
        for name, content in numbered(logs, count):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def start(folder: Path, shard: Path, name: str) -> subprocess.Popen[str]:
    """Start curating a shard in a process of its own."""
    arguments = [
        "curate", "--settings", folder / "curate.json", "--logs", shard,
        "--store", folder / f"{name}.lmdb", "--index", folder / f"{name}.parquet",
        "--rejects", folder / f"{name}.csv",
    ]  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", _TIMED, *map(str, arguments)],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def outcome(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a process measured of itself."""
    result = json.loads(process.communicate()[1].splitlines()[-1])
    assert not result.pop("status")
    return result


def curate_times(folder: Path, small: int, large: int) -> dict[str, Any]:
    """Curate a small and a large shard, then two at a time."""
    (folder / "curate.json").write_text(json.dumps(plain(Curate())))
    logs = demo_logs()
    result: dict[str, Any] = {}
    for count in (small, large):
        shard = folder / f"{count}.tar"
        build(shard, logs, count)
        found = outcome(start(folder, shard, f"one{count}"))
        size = shard.stat().st_size / 1e6
        result[f"{count} logs"] = {
            "MB of logs": round(size),
            "seconds": round(found["seconds"], 1),
            "logs a second": round(count / found["seconds"]),
            "MB a second": round(size / found["seconds"], 1),
            "MB resident": round(found["MB resident"]),
        }
        print(result)
    middle = (small * large) ** 0.5
    shard = folder / "pair.tar"
    build(shard, logs, round(middle))
    alone = outcome(start(folder, shard, "alone"))["seconds"]
    begin = time.perf_counter()
    pair = [start(folder, shard, f"pair{i}") for i in range(2)]
    together = max(outcome(process)["seconds"] for process in pair)
    result["two workers"] = {
        "logs each": round(middle),
        "seconds of one": round(alone, 1),
        "seconds of two at a time": round(together, 1),
        "wall seconds with start": round(time.perf_counter() - begin, 1),
        "throughput ratio": round(2 * alone / together, 2),
    }
    print(result["two workers"])
    return result


def plan(folder: Path, shards: int) -> dict[str, Any]:
    """Return time and memory of a dry run over a simulated tree of archives."""
    tree = folder / "raw"
    tree.mkdir()
    for number in range(shards):
        first = 1000 * number + 1
        (tree / f"Compound_{first:09d}_{first + 999:09d}.tar.xz").touch()
    copy = folder / "run"
    copy.mkdir()
    for name in ("Snakefile", "config.yaml", "workflow", "slurm"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    demo = yaml.safe_load((ROOT / "config.yaml").read_text())
    (copy / "large.yaml").write_text(
        yaml.safe_dump(demo | {"run": "large", "raw": {"logs": [str(tree)]}})
    )
    command = ["snakemake", "-n", "--quiet", "rules", "--configfile", "large.yaml"]
    begin = time.perf_counter()
    done = subprocess.run(
        ["/usr/bin/time", "-v", *command] if Path("/usr/bin/time").exists() else command,
        cwd=copy, capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - begin
    memory = re.search(r"Maximum resident set size \(kbytes\): (\d+)", done.stderr)
    jobs = re.search(r"^total +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
    return {
        "shards": shards,
        "jobs": int(jobs.group(1)) if jobs else None,
        "seconds": round(seconds, 1),
        "MB resident": round(int(memory.group(1)) / 1e3) if memory else None,
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=1_000)
    parser.add_argument("--large", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=3_500)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        planned = plan(Path(name), args.shards)
        print(planned)
        result = {"plan": planned, **curate_times(Path(name), args.small, args.large)}
    write(args.out, {"machine": describe(), **result})


if __name__ == "__main__":
    main()
