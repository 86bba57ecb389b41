"""Relaxing on a baseline beside the sum of its parts.

Relaxes molecules of 10 to 20 atoms by a network that corrects GFN2-xTB and then computes, at the
same geometries in the same order, the baseline alone (each worker its share, every SCF started from
the molecule's last) and the network alone (as in a relaxation without a baseline, by all threads).
Each is done in turn several times and the least counts: what else the machine does only adds, to
seconds on the clock more than to those of the processors (`processor_seconds`, workers included).

  python benchmarks/relaxation/baseline.py [--molecules 40] [--repeats 3] [--layers 3] \
    [--out benchmarks/relaxation/baseline.json]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from force2geo.calling.named import record_of
from force2geo.calling.pool import Task
from force2geo.potentials.batch import collate
from force2geo.potentials.model import Model
from force2geo.potentials.models import Potential
from force2geo.relax.batched import relax_runs
from force2geo.relax.evaluators import of_model
from force2geo.relax.relaxation import Relaxation
from force2geo.training_data.embed import embed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write

SMILES = (
    "CC(=O)NC", "c1ccccc1O", "CC(C)C(=O)O", "CN(C)CCO", "C1CC1CC#N", "OCC(O)C=O", "CCOC(=O)C",
    "c1ccncc1C", "CC(=O)CC(C)=O", "OC1CCCC1", "NCC(=O)OC", "CSCC=O", "c1cc[nH]c1C=O", "CC#CC(C)O",
    "FC(F)CCO", "O=C1CCCN1", "CCCCC=O", "C1COCCN1", "NC(=O)C=CC", "COC=CC=O",
)  # fmt: skip


def starts(count: int) -> list[Relaxation]:
    """Return molecules, each another conformer."""
    found = []
    for place in range(count):
        made = embed(SMILES[place % len(SMILES)], place)
        assert made is not None
        numbers = np.array([atom.GetAtomicNum() for atom in made.GetAtoms()])
        found.append(Relaxation(numbers, made.GetConformer().GetPositions(), place))
    return found


def relaxed(model: Model, runs: list[Relaxation], threads: int) -> None:
    """Relax molecules, which then have their paths."""
    relax_runs(runs, of_model(model), 0.05, 200, threads=threads)


def baseline_alone(model: Model, runs: list[Relaxation], threads: int) -> None:
    """Make the same calls: each worker goes through its molecules' paths."""
    assert model.baseline is not None
    identities = itertools.count(-2, -2)
    first, rest = [], []
    for run, name in zip(runs, identities, strict=False):
        tasks = [Task(run.atomic_numbers, x, 0, 1, name) for x in run.frames]
        first.append(tasks[0])
        rest += tasks[1:]
    for tasks in (first, rest):  # the first say which worker each is at
        model.baseline.pool.start(tasks).result()


def network_alone(model: Model, runs: list[Relaxation], threads: int) -> None:
    """Make a network's calls on batches as they were in the relaxation."""
    evaluate = of_model(model.network_alone())
    order = sorted(runs, key=lambda run: len(run.atomic_numbers))
    shares = [order[k::threads] for k in range(threads)]

    def work(share: list[Relaxation]) -> None:
        for step in range(max(len(run.frames) for run in share)):
            left = [run for run in share if step < len(run.frames)]
            evaluate(
                collate(
                    [run.atomic_numbers for run in left],
                    [run.frames[step] for run in left],
                    torch.float64,
                )
            )

    before = torch.get_num_threads()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(work, shares))
    torch.set_num_threads(before)


def processor_seconds(model: Model) -> float:
    """Return what this process and its workers have used of processors until now."""
    assert model.baseline is not None
    used = sum(os.times()[:2])
    for worker in model.baseline.pool._workers.values():
        fields = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()
        used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--molecules", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    threads = len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = Potential(
        {"name": "painn", "layers": args.layers, "features": args.features, "basis_size": 32,
         "cutoff": 3.5}
    )  # fmt: skip
    with torch.no_grad():  # a correction, as a trained one is: small beside the baseline
        network.heads["energy"].requires_grad_(False)
        for name, weight in network.heads.named_parameters():
            if name.endswith("weight"):
                weight.mul_(0.1)
    network.config["baseline"] = record_of("gfn2-xtb")
    model = Model(network, {}, "cpu")
    relaxed(model, starts(2 * threads), threads)  # workers and compiled loops are there now
    parts = {"relaxation": relaxed, "baseline": baseline_alone, "network": network_alone}
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    processors: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(args.repeats):
        runs = starts(args.molecules)
        for name, part in parts.items():
            begun, used = time.perf_counter(), processor_seconds(model)
            part(model, runs, threads)
            seconds[name].append(time.perf_counter() - begun)
            processors[name].append(processor_seconds(model) - used)
    least, fewest = ({k: min(v) for k, v in kind.items()} for kind in (seconds, processors))
    calls = sum(len(run.frames) for run in runs)
    sizes = [len(run.atomic_numbers) for run in runs]
    found = {
        "machine": describe(),
        "molecules": args.molecules,
        "atoms": [min(sizes), max(sizes)],
        "calls": calls,
        "converged": sum(run.converged for run in runs),
        "seconds": seconds,
        "processor_seconds": processors,
        "milliseconds_per_call": {name: 1e3 * value / calls for name, value in least.items()},
        "relaxation_by_sum_of_parts": least["relaxation"] / (least["baseline"] + least["network"]),
        "processors_by_sum_of_parts": fewest["relaxation"]
        / (fewest["baseline"] + fewest["network"]),
    }
    print(json.dumps(found, indent=1))
    if args.out:
        write(args.out, found)


if __name__ == "__main__":
    main()
