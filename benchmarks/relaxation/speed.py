r"""Batched BFGS beside ASE's: same weights, molecules, precision and run.

    python benchmarks/relaxation/speed.py --model painn_published.pt \
        --published painn.py --path pyg

`--model` is a checkpoint of `variant: published`, whose weights the published code can carry;
`--published` and `--path` as in training/speed.py. `--torch-sim` is a folder with the source of a
release that has BFGS (0.6.1, say); under Python 3.11 its type parameters need the older spelling.
Peers that take one molecule at a time relax a part of the molecules, spread over all sizes; each
rate is molecules by seconds of its own part, in the fastest of several rounds in which all take
their turn.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import types
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import BFGS
from rdkit import Chem
from rdkit.Chem import AllChem

import force2geo
from force2geo.potentials.published import convert
from force2geo.relax.batched import relax
from force2geo.relax.evaluators import of_model
from force2geo.train.memory import keep_freed_memory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "training"))
from machine import describe, write

if TYPE_CHECKING:
    from collections.abc import Callable

CORES = (
    "c1ccccc1{}", "C1CCCCC1{}", "c1ccncc1{}", "C1CCOC1{}", "C1CCCC1{}", "CC(C){}", "c1ccoc1{}",
    "C1CNCC1{}", "CC=C{}", "CCC{}", "C1CC1{}", "c1c[nH]cc1{}", "CC(=O){}", "COC{}", "CCCC{}",
    "NCC{}",
)  # fmt: skip
GROUPS = (
    "O", "N", "C(=O)O", "C#N", "OC", "C(=O)C", "CC", "C(=O)N", "CO", "NC", "C=O", "CC#C", "C=C",
    "OCC", "CCl", "CF", "C(=O)OC", "N(C)C", "C(C)O", "CCC", "CCCCC",
    "C1CCCCC1",
)  # fmt: skip
STEPS, THRESHOLD, BATCH_ATOMS = 50, 0.05, 4096
OURS, TORCH_SIM = "ours, batched BFGS", "torch-sim BFGS, our potential"


def molecules(count: int) -> list[Atoms]:
    """Return conformers of molecules of 9 to 30 atoms, by size."""
    found: dict[str, Atoms] = {}
    for core, group in itertools.product(CORES, GROUPS):
        molecule = Chem.AddHs(Chem.MolFromSmiles(core.format(group)))
        name = Chem.MolToSmiles(molecule)
        if name in found or not 9 <= molecule.GetNumAtoms() <= 30:
            continue
        if AllChem.EmbedMolecule(molecule, randomSeed=7) == 0:
            numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
            found[name] = Atoms(numbers, molecule.GetConformer().GetPositions())
    if len(found) < count:
        sys.exit(f"only {len(found)} molecules could be made")
    chosen = list(found.values())[:: len(found) // count][:count]
    return sorted(chosen, key=len)


class PublishedCalculator(Calculator):
    """The published network with a checkpoint's weights; totals, as ASE wants them."""

    implemented_properties = ("energy", "forces")

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def calculate(
        self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes
    ) -> None:
        """Compute energy and forces."""
        super().calculate(atoms, properties, system_changes)
        positions = torch.tensor(self.atoms.positions, requires_grad=True)
        numbers = torch.from_numpy(self.atoms.numbers).long()
        data = types.SimpleNamespace(
            xyz=positions, z=numbers, batch=torch.zeros(len(numbers), dtype=torch.long)
        )
        energy = self.network(data).sum() * len(numbers)
        (slope,) = torch.autograd.grad(energy, positions)
        self.results = {"energy": float(energy.detach()), "forces": -slope.numpy()}


def published_network(path: Path, model: Any) -> torch.nn.Module:
    """Return the published network with the weights of our checkpoint, float64."""
    import network as builder

    backbone = model.network.config["backbone"]
    builder.LAYERS, builder.FEATURES = backbone["layers"], backbone["features"]
    builder.BASIS, builder.CUTOFF = backbone["basis_size"], backbone["cutoff"]

    def find_edges(positions: torch.Tensor) -> torch.Tensor:
        near = torch.cdist(positions.detach(), positions.detach()) < builder.CUTOFF
        return (near & ~torch.eye(len(positions), dtype=torch.bool)).nonzero().T

    data = types.SimpleNamespace(find_edges=find_edges)
    network, _ = builder.published(data, types.SimpleNamespace(published=path))
    ours = model.network.state_dict()
    with torch.no_grad():
        for name, value in model.network.renamed(convert(network.state_dict())[1]).items():
            value.copy_(ours[name])
    return network.double().eval()


def by_ase(frames: list[Atoms], calculator: Calculator) -> list[np.ndarray]:
    """Return where molecules end that ASE's BFGS relaxes one after the other."""
    ends = []
    for frame in frames:
        atoms = frame.copy()
        atoms.calc = calculator
        BFGS(atoms, logfile=None).run(fmax=THRESHOLD, steps=STEPS)
        ends.append(atoms.positions)
    return ends


def by_us(frames: list[Atoms], evaluate: Any, **options: Any) -> list[Any]:
    """Return the batched relaxations of molecules."""
    options = {"threads": torch.get_num_threads(), "batch_atoms": BATCH_ATOMS, **options}
    numbers, positions = [f.numbers for f in frames], [f.positions for f in frames]
    return relax(numbers, positions, evaluate, THRESHOLD, STEPS, **options)


def torch_sim_run(frames: list[Atoms], model: Any) -> Callable[[], Any]:
    """Return what relaxes by torch-sim's BFGS, its batches refilled after every step."""
    import torch_sim
    from torch_sim.autobatching import InFlightAutoBatcher

    from force2geo.potentials.interfaces.torch_sim_model import TorchSimPotential

    potential = TorchSimPotential(model, "float64")
    state = torch_sim.io.atoms_to_state(frames, torch.device("cpu"), torch.float64)
    below = torch_sim.generate_force_convergence_fn(THRESHOLD)

    def run() -> Any:
        batches = InFlightAutoBatcher(
            potential, memory_scales_with="n_atoms", max_memory_scaler=BATCH_ATOMS
        )
        with warnings.catch_warnings():  # of molecules that need more steps than allowed
            warnings.simplefilter("ignore")
            return torch_sim.optimize(
                state.clone(), potential, optimizer=torch_sim.Optimizer.bfgs, convergence_fn=below,
                max_steps=STEPS, steps_between_swaps=1, autobatcher=batches,
            )  # fmt: skip

    return run


def fastest(
    runs: dict[str, tuple[int, int, Callable[[], Any]]], rounds: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """Return each one's best molecules/s and its result, by (molecules, threads, what to call).

    All take their turn in every round: whatever else the machine does meets them alike.
    """
    rates, results = dict.fromkeys(runs, 0.0), {}
    for _ in range(rounds):
        for name, (count, threads, run) in runs.items():
            torch.set_num_threads(threads)
            start = time.perf_counter()
            results[name] = run()
            rate = count / (time.perf_counter() - start)
            rates[name] = max(rates[name], rate)
            print(f"{name:<48}{rate:8.2f} molecules/s", flush=True)
    return rates, results


def main() -> None:
    """Measure all and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--published", type=Path)
    parser.add_argument("--path", type=Path, help="folder with torch-geometric")
    parser.add_argument("--torch-sim", type=Path, help="folder with a torch-sim that has BFGS")
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--part", type=int, default=32, help="molecules of one-at-a-time peers")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4, help="the fastest of each counts")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    model = force2geo.load(args.model)
    frames = molecules(args.count)
    apart = len(frames) // args.part
    part = frames[apart // 2 :: apart][: args.part]
    evaluate, single = of_model(model), of_model(model, "float32")
    many = len(frames), args.threads
    runs = {
        OURS: (*many, lambda: by_us(frames, evaluate)),
        f"{OURS}, float32": (*many, lambda: by_us(frames, single)),
        "ours, batched FIRE": (*many, lambda: by_us(frames, evaluate, optimizer="fire")),
    }
    if args.torch_sim:
        sys.path.insert(0, str(args.torch_sim))
        runs[TORCH_SIM] = (*many, torch_sim_run(frames, model))
    peers = {"our calculator": model.calculator("float64")}
    if args.published:
        sys.path.append(str(args.path))
        network = published_network(args.published, model)
        peers["published implementation"] = PublishedCalculator(network)
    # A single small molecule may be faster on one thread than on more.
    for threads in sorted({1, args.threads}):
        for name, calculator in peers.items():
            runs[f"ASE BFGS, {name}, threads: {threads}"] = (
                len(part), threads, partial(by_ase, part, calculator)
            )  # fmt: skip
    rates, results = fastest(runs, args.rounds)
    converged = {OURS: sum(run.converged for run in results[OURS])}
    if args.torch_sim:
        found = results[TORCH_SIM]
        largest = found.forces.norm(dim=1)
        largest = largest.new_zeros(len(frames)).scatter_reduce(
            0, found.system_idx, largest, "amax"
        )
        converged[TORCH_SIM] = int((largest < THRESHOLD).sum())
    alone, ends = by_us(part, evaluate), results["ASE BFGS, our calculator, threads: 1"]
    furthest = max(
        float(np.abs(run.frames[-1] - end).max()) for run, end in zip(alone, ends, strict=True)
    )
    result = {
        "molecules": len(frames),
        "atoms": [len(frames[0]), len(frames[-1])],
        "mean atoms": round(float(np.mean([len(f) for f in frames])), 1),
        "most steps": STEPS,
        "mean steps": round(float(np.mean([run.steps for run in results[OURS]])), 1),
        "mean atoms and steps, part": [
            round(float(np.mean([len(f) for f in part])), 1),
            round(float(np.mean([run.steps for run in alone])), 1),
        ],
        "rounds": args.rounds,
        "threads": args.threads,
        "molecules/s": {name: round(rate, 3) for name, rate in rates.items()},
        "converged": converged,
        "furthest from ASE's end, Å": furthest,
    }
    print()
    for name, rate in rates.items():
        print(f"{name:<48}{rate:8.2f} molecules/s")
    print(f"furthest from ASE's end: {furthest:.1e} Å")
    write(args.out, {"machine": describe(), **result})


if __name__ == "__main__":
    main()
