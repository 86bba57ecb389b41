r"""Training step and inference of PaiNN beside peers: same frames, batch, precision and run.

Each network runs in a process of its own, in the environment its package lives in, one after the
other and several times over; the fastest time of each counts.

    python benchmarks/training/speed.py --frames ../shared/data/rmd17/aspirin_train_01.xyz.gz \
        --published painn.py --path pyg --peer schnetpack=spk/bin/python \
        --peer mace=peers/bin/python --peer torchmd-net=peers/bin/python \
        --peer nequip=nequip/bin/python

`--published` is the file of that name in the published code (divelab/AIRS, OpenMol/Force2Geo,
Molecule3D/model/painn), `--path` a folder with torch-geometric for it. Plain torch operations
stand in for its two compiled packages, torch_scatter and torch_cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write

OURS = ("painn", "painn-published", "schnet")
_RATES = ("training, snapshots/s", "inference, snapshots/s")


def measure(command: list[str], path: Path | None) -> dict[str, Any]:
    """Run one network and return its line."""
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure all and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=Path, required=True, help="extended XYZ, gzip'd")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--published", type=Path, help="the published painn.py")
    parser.add_argument("--path", type=Path, help="folder with torch-geometric")
    parser.add_argument("--peer", action="append", default=[], help="NAME=PYTHON, repeatable")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    networks = dict.fromkeys(OURS, sys.executable)
    if args.published:
        networks["published"] = sys.executable
    networks |= dict(peer.split("=", 1) for peer in args.peer)
    rows: list[dict[str, Any]] = []
    for threads in args.threads:
        found: dict[str, dict[str, Any]] = {}
        for _ in range(args.rounds):
            for name, python in networks.items():
                command = [python, str(Path(__file__).with_name("network.py")), name]
                command += ["--frames", str(args.frames), "--batch", str(args.batch)]
                command += ["--threads", str(threads), "--device", args.device]
                if name == "published":
                    command += ["--published", str(args.published)]
                row = measure(command, args.path if name == "published" else None)
                best = found.setdefault(name, row)
                best |= {rate: max(best[rate], row[rate]) for rate in _RATES}
        for row in found.values():
            row["ours is faster, training"] = round(found["painn"][_RATES[0]] / row[_RATES[0]], 2)
            row["ours is faster, inference"] = round(found["painn"][_RATES[1]] / row[_RATES[1]], 2)
            print(row)
        rows += found.values()
    data = {"data": args.frames.name, "batch": args.batch, "device": args.device}
    write(args.out, {"machine": describe(), **data, "rows": rows})


if __name__ == "__main__":
    main()
