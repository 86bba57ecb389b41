"""Relaxing on a baseline beside the sum of its parts.

Relaxes molecules of 10 to 20 atoms by a network that corrects GFN2-xTB and then computes, at the
same geometries in the same order, the baseline alone (each worker its share, every SCF started from
the molecule's last) and the network alone (as in a relaxation without a baseline, by all threads).
Each is done in turn several times and the least time counts: what else the machine does only adds.

  python benchmarks/relaxation/baseline.py [--molecules 40] [--repeats 3] [--layers 3] \
    [--out benchmarks/relaxation/baseline.json]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from force2geo.calculators.named import record_of
from force2geo.calculators.pool import Task
from force2geo.potentials.model import Model
from force2geo.potentials.models import Potential
from force2geo.relax.batched import relax_runs
from force2geo.relax.evaluators import of_model
from force2geo.relax.relaxation import Relaxation
from force2geo.training_data.embed import embed

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import machine

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


def relaxed(model: Model, count: int, threads: int) -> tuple[float, list[Relaxation]]:
    """Return the seconds of relaxing them, and their paths."""
    runs = starts(count)
    begun = time.perf_counter()
    relax_runs(runs, of_model(model), 0.05, 200, threads=threads)
    return time.perf_counter() - begun, runs


def baseline_alone(model: Model, runs: list[Relaxation]) -> float:
    """Return the seconds of the same calls: each worker goes through its molecules' paths."""
    assert model.baseline is not None
    names = [run.identity + 1_000_000 for run in runs]
    paths = [
        Task(run.atomic_numbers, x, 0, 1, name)
        for run, name in zip(runs, names, strict=True)
        for x in run.frames
    ]
    begun = time.perf_counter()
    model.baseline.pool.start(paths).result()
    return time.perf_counter() - begun


def network_alone(model: Model, runs: list[Relaxation], threads: int) -> float:
    """Return the seconds of a network's calls on batches as they were in the relaxation."""
    evaluate = of_model(model.network_alone())
    order = sorted(runs, key=lambda run: len(run.atomic_numbers))
    shares = [order[k::threads] for k in range(threads)]

    def work(share: list[Relaxation]) -> None:
        from force2geo.potentials.batch import collate

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
    begun = time.perf_counter()
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(work, shares))
    seconds = time.perf_counter() - begun
    torch.set_num_threads(before)
    return seconds


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
    _, runs = relaxed(model, args.molecules, threads)  # workers and compiled loops are there now
    seconds: dict[str, list[float]] = {"relaxation": [], "baseline": [], "network": []}
    for _ in range(args.repeats):
        took, runs = relaxed(model, args.molecules, threads)
        seconds["relaxation"].append(took)
        seconds["baseline"].append(baseline_alone(model, runs))
        seconds["network"].append(network_alone(model, runs, threads))
    least = {name: min(times) for name, times in seconds.items()}
    calls = sum(len(run.frames) for run in runs)
    sizes = [len(run.atomic_numbers) for run in runs]
    found = {
        "machine": machine(),
        "molecules": args.molecules,
        "atoms": [min(sizes), max(sizes)],
        "calls": calls,
        "converged": sum(run.converged for run in runs),
        "seconds": seconds,
        "milliseconds_per_call": {name: 1e3 * value / calls for name, value in least.items()},
        "relaxation_by_sum_of_parts": least["relaxation"] / (least["baseline"] + least["network"]),
    }
    print(json.dumps(found, indent=1))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
