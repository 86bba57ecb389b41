"""How many threads predictions are to use: one molecule by its size, and many small ones.

    python benchmarks/prediction/threads.py --threads 2

One molecule: milliseconds a call with one thread and with `--threads`, the fastest of several
rounds in which both take their turn; where the second is the faster is what
`potentials.threads.FEW_ATOMS` should be. Many: molecules/s of `predict` that shares them among the
threads, and with the operations of each batch shared instead. To be run on an idle machine.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from ase import Atoms

from force2geo.potentials import model as model_module
from force2geo.potentials import threads as thread_settings
from force2geo.potentials.model import Model
from force2geo.potentials.models import Potential
from force2geo.train.memory import keep_freed_memory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write

if TYPE_CHECKING:
    from collections.abc import Callable

SIZES = (5, 10, 20, 50, 100, 200, 400, 800)


def molecule(atoms: int, rng: np.random.Generator) -> Atoms:
    """Return atoms of H, C and O about 1.6 Å apart."""
    side = int(np.ceil(atoms ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)[:atoms]
    numbers = rng.choice([1, 6, 8], atoms)
    numbers[0] += numbers.sum() % 2 * 5  # an even number of electrons: H to C, C to Na, O to Al
    return Atoms(numbers, 1.6 * grid + rng.normal(scale=0.1, size=(atoms, 3)))


def seconds(run: Callable[[], object], least: float = 0.2) -> float:
    """Return the seconds of one call, over calls of `least` seconds in all."""
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < least:
        run()
        calls += 1
    return (time.perf_counter() - start) / calls


def single(
    model: Model, sizes: tuple[int, ...], threads: int, rounds: int
) -> dict[int, list[float]]:
    """Return milliseconds of one molecule's call with one thread and with more, by its size."""
    rng = np.random.default_rng(0)
    found: dict[int, list[float]] = {}
    for size in sizes:
        atoms, best = molecule(size, rng), [np.inf, np.inf]
        for _ in range(rounds + 1):  # the first compiles
            for place, number in enumerate((1, threads)):
                torch.set_num_threads(number)
                best[place] = min(best[place], seconds(lambda atoms=atoms: model.predict(atoms)))
        found[size] = [round(1e3 * value, 3) for value in best]
        print(f"{size:4d} atoms: {found[size][0]:9.2f} ms, one thread; {found[size][1]:9.2f} ms")
    return found


def many(model: Model, count: int, threads: int, rounds: int) -> dict[str, float]:
    """Return molecules/s of small molecules with the molecules shared, and with operations."""
    rng = np.random.default_rng(1)
    frames = [molecule(int(size), rng) for size in rng.integers(5, 25, count)]
    sharers = Model.sharers
    best: dict[str, float] = {"molecules shared": 0.0, "operations shared": 0.0}
    torch.set_num_threads(threads)
    for _ in range(rounds + 1):
        for name in best:
            Model.sharers = sharers if name.startswith("mol") else lambda *_: 1  # type: ignore[method-assign]
            start = time.perf_counter()
            model.predict(frames)
            best[name] = max(best[name], count / (time.perf_counter() - start))
    Model.sharers = sharers  # type: ignore[method-assign]
    for name, rate in best.items():
        print(f"{name}: {rate:.0f} molecules/s")
    return {name: round(rate, 1) for name, rate in best.items()}


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=SIZES[-1])
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(0)
    backbone = {"name": "painn", "layers": 3, "features": 64, "basis_size": 64, "cutoff": 5.0}
    model = Model(Potential(backbone).double(), {}, "cpu")
    few, thread_settings.FEW_ATOMS = thread_settings.FEW_ATOMS, 0
    sizes = tuple(size for size in SIZES if size <= args.largest)
    alone = single(model, sizes, args.threads, args.rounds)
    thread_settings.FEW_ATOMS = few
    assert few == model_module.FEW_ATOMS
    result = {
        "backbone": backbone,
        "threads": args.threads,
        "one molecule, ms a call with one thread and with all": alone,
        "few atoms": few,
        "many molecules/s": many(model, args.count, args.threads, args.rounds),
    }
    write(args.out, {"machine": describe(), **result})


if __name__ == "__main__":
    main()
