"""Bytes and decoding speed of the store beside the published format, one core, one run.

The trajectories are the real ones in shared/data/dft_trajectories at the digits logs print. The
speed is taken at 29 atoms and 31 steps, the published averages, on paths put together from
several molecules' real ones.

    python benchmarks/curation/store.py --trajectories ../shared/data/dft_trajectories
"""

from __future__ import annotations

import argparse
import gzip
import pickle
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.interchange import pubchemqcr
from force2geo.interchange.export import logs_of
from force2geo.interchange.protocol import read_protocol
from force2geo.logs import parse_log
from force2geo.store.lmdb_store import RawWriter, StoreWriter
from force2geo.store.record import Record, encode
from force2geo.trajectory import PATH_STAGES, Stage, Trajectory

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write

ATOMS, STEPS, MOLECULES = 29, 31, 40


def printed(path: Path, number: int) -> Trajectory:
    """Return a trajectory as its logs give it back, Firefly's and SMASH's layouts in turn."""
    trajectory = read_protocol(path, f"{number:09d}")
    program = "firefly" if number % 2 == 0 else "smash"
    for name, text in logs_of(trajectory, program):
        stage = name.rsplit(".", 2)[1]
        if stage in PATH_STAGES:
            log = parse_log(text.encode())
            old = trajectory.stages[stage]
            old.positions, old.energies, old.gradients = log.positions, log.energies, log.gradients
            old.program = log.program
    trajectory.stages.pop("dft_points", None)
    return trajectory


def composed(trajectories: list[Trajectory], rng: np.random.Generator) -> Trajectory:
    """Return a path of 29 atoms and 31 steps put together from real ones."""
    long = [t for t in trajectories if len(t.stages["pm3"]) >= STEPS]
    numbers, positions, gradients = [], [], []
    atoms = 0
    while atoms < ATOMS:
        chosen = long[rng.integers(len(long))]
        stage, count = chosen.stages["pm3"], min(ATOMS - atoms, len(chosen.atomic_numbers))
        numbers.append(chosen.atomic_numbers[:count])
        positions.append(stage.positions[:STEPS, :count])
        gradients.append(stage.gradients[:STEPS, :count])
        energies, atoms = stage.energies[:STEPS], atoms + count
    path = Stage(
        "firefly", "8.0.1", "b3lyp", "6-31g*", True,
        np.concatenate(positions, axis=1), energies, np.concatenate(gradients, axis=1),
    )  # fmt: skip
    return Trajectory("000000001", np.concatenate(numbers), stages={"dft_1st": path})


def published_arrays(value: bytes) -> tuple[np.ndarray, ...]:
    """Decode a published value to arrays, as its loader does."""
    steps = pickle.loads(gzip.decompress(value))["DFT_1st"]
    return (
        np.array([[(a["x"], a["y"], a["z"]) for a in s["coordinates"]] for s in steps]),
        np.array([s["energy"] for s in steps]),
        np.array([[(a["dx"], a["dy"], a["dz"]) for a in s["gradient"]] for s in steps]),
    )


def best_seconds(work: Callable[[bytes], Any], values: list[bytes], repeats: int) -> float:
    """Return the shortest of some timings of working through all values."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        for value in values:
            work(value)
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trajectories", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    paths = sorted(args.trajectories.glob("*.npz"))
    trajectories = [printed(path, number) for number, path in enumerate(paths)]
    snapshots = sum(len(s) for t in trajectories for s in t.stages.values())
    ours, theirs = [encode(t) for t in trajectories], [pubchemqcr.encode(t) for t in trajectories]
    with tempfile.TemporaryDirectory() as folder:
        writer, raw = StoreWriter(Path(folder) / "a.lmdb"), RawWriter(Path(folder) / "b.lmdb")
        for trajectory, value in zip(trajectories, theirs, strict=True):
            writer.put(trajectory)
            raw.pending[trajectory.cid.encode()] = value
        writer.finish()
        raw.commit()
        raw.close()
        files = [(Path(folder) / name).stat().st_size for name in ("a.lmdb", "b.lmdb")]

    rng = np.random.default_rng(0)
    long = [composed(trajectories, rng) for _ in range(MOLECULES)]
    records, values = [encode(t) for t in long], [pubchemqcr.encode(t) for t in long]
    fast = best_seconds(lambda data: Record(data).stage("dft_1st"), records, 50)
    slow = best_seconds(published_arrays, values, 5)
    count = MOLECULES * STEPS
    result = {
        "real trajectories": {
            "molecules": len(trajectories),
            "snapshots": snapshots,
            "bytes": sum(map(len, ours)),
            "published bytes": sum(map(len, theirs)),
            "ratio": round(sum(map(len, ours)) / sum(map(len, theirs)), 4),
            "LMDB files' bytes (pages of 4 kB)": files,
        },
        "29 atoms, 31 steps": {
            "bytes a snapshot": round(sum(map(len, records)) / count, 1),
            "published bytes a snapshot": round(sum(map(len, values)) / count, 1),
            "ratio": round(sum(map(len, records)) / sum(map(len, values)), 4),
            "decoded snapshots a second": round(count / fast),
            "published, decoded a second": round(count / slow),
            "speed ratio": round(slow / fast, 1),
        },
    }
    for name, part in result.items():
        print(name, part)
    write(args.out, {"machine": describe(), **result})


if __name__ == "__main__":
    main()
