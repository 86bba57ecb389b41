r"""Batched BFGS beside ASE's: same weights, molecules, precision and run.

    python benchmarks/relaxation/speed.py --model painn_published.pt \
        --published painn.py --path pyg

`--model` is a checkpoint of `variant: published`, whose weights the published code can carry;
`--published` and `--path` as in training/speed.py. `--torch-sim` is a folder with the source of a
release that has BFGS (0.6.1, say); under Python 3.11 its type parameters need the older spelling.
Peers that take one molecule at a time relax a part of the molecules, spread over all sizes; each
rate is molecules by seconds of its own part, in the faster of two runs.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
import types
import warnings
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
from force2geo.potentials.published_painn import convert
from force2geo.relax.batched import relax
from force2geo.relax.potentials import of_model
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
        for name, value in convert(network.state_dict())[1].items():
            value.copy_(ours[name])
    return network.double().eval()


def best_rate(count: int, run: Callable[[], Any]) -> tuple[float, Any]:
    """Return molecules/s of the faster of two runs, the first warms up, and its result."""
    rates = []
    for _ in range(2):
        start = time.perf_counter()
        result = run()
        rates.append(count / (time.perf_counter() - start))
    return max(rates), result


def ase_rate(frames: list[Atoms], calculator: Calculator) -> tuple[float, list[np.ndarray]]:
    """Return molecules/s of ASE's BFGS and where the molecules ended."""

    def run() -> list[np.ndarray]:
        ends = []
        for frame in frames:
            atoms = frame.copy()
            atoms.calc = calculator
            BFGS(atoms, logfile=None).run(fmax=THRESHOLD, steps=STEPS)
            ends.append(atoms.positions)
        return ends

    return best_rate(len(frames), run)


def ours_rate(frames: list[Atoms], evaluate: Any, **options: Any) -> tuple[float, list[Any]]:
    """Return molecules/s of the batched relaxation, and the relaxations."""
    options = {"threads": torch.get_num_threads(), "batch_atoms": BATCH_ATOMS, **options}

    def run() -> list[Any]:
        numbers, positions = [f.numbers for f in frames], [f.positions for f in frames]
        return relax(numbers, positions, evaluate, THRESHOLD, STEPS, **options)

    return best_rate(len(frames), run)


def torch_sim_rate(frames: list[Atoms], model: Any) -> tuple[float, Any]:
    """Return molecules/s of torch-sim's BFGS, its batches refilled after every step."""
    import torch_sim
    from torch_sim.autobatching import InFlightAutoBatcher

    from force2geo.potentials.torch_sim_model import TorchSimPotential

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

    return best_rate(len(frames), run)


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
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(args.threads)
    model = force2geo.load(args.model)
    frames = molecules(args.count)
    part = frames[:: len(frames) // args.part][: args.part]
    evaluate = of_model(model)
    rates: dict[str, float] = {}
    ends: list[np.ndarray] = []
    rates["ours, batched BFGS"], runs = ours_rate(frames, evaluate)
    converged = {"ours, batched BFGS": sum(run.converged for run in runs)}
    rates["ours, batched BFGS, float32"], _ = ours_rate(frames, of_model(model, "float32"))
    if args.torch_sim:
        sys.path.insert(0, str(args.torch_sim))
        rates["torch-sim BFGS, our potential"], found = torch_sim_rate(frames, model)
        largest = found.forces.norm(dim=1)
        largest = largest.new_zeros(len(frames)).scatter_reduce(
            0, found.system_idx, largest, "amax"
        )
        converged["torch-sim BFGS, our potential"] = int((largest < THRESHOLD).sum())
    peers = {"our calculator": model.calculator("float64")}
    if args.published:
        sys.path.append(str(args.path))
        network = published_network(args.published, model)
        peers["published implementation"] = PublishedCalculator(network)
    # A single small molecule may be faster on one thread than on more.
    for threads in sorted({1, args.threads}):
        torch.set_num_threads(threads)
        for name, calculator in peers.items():
            rate, found = ase_rate(part, calculator)
            rates[f"ASE BFGS, {name}, threads: {threads}"] = rate
            ends = found if name == "our calculator" else ends
    _, alone = ours_rate(part, evaluate)
    apart = max(
        float(np.abs(run.frames[-1] - end).max()) for run, end in zip(alone, ends, strict=True)
    )
    rates["ours, batched FIRE"], _ = ours_rate(frames, evaluate, optimizer="fire")
    result = {
        "molecules": len(frames),
        "atoms": [len(frames[0]), len(frames[-1])],
        "mean atoms": round(float(np.mean([len(f) for f in frames])), 1),
        "most steps": STEPS,
        "mean steps": round(float(np.mean([run.steps for run in runs])), 1),
        "threads": args.threads,
        "molecules/s": {name: round(rate, 3) for name, rate in rates.items()},
        "converged": converged,
        "furthest from ASE's end, Å": apart,
    }
    for name, rate in rates.items():
        print(f"{name:<40}{rate:8.2f} molecules/s")
    print(f"furthest from ASE's end: {apart:.1e} Å")
    write(args.out, {"machine": describe(), **result})


if __name__ == "__main__":
    main()
