"""Time one network on a batch of molecules; `speed.py` calls this, a process for each.

It needs torch and the network's own package, nothing else: a peer runs in its own environment.
Times are of energy and forces with what they need: ours and the published code find their pairs
in every call, the others are given theirs. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import resource
import sys
import time
import types
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from published import load

if TYPE_CHECKING:
    from collections.abc import Callable

LAYERS, FEATURES, BASIS, CUTOFF = 4, 128, 128, 4.5  # Force2Geo, table 8
_SYMBOLS = {"H": 1, "C": 6, "O": 8}
_REPEATS, _BUDGET = 10, 8.0  # seconds


class Data:
    """B frames of one molecule."""

    def __init__(self, path: Path, batch: int, device: str) -> None:
        lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        self.atoms = int(lines[0])
        rows = [lines[k * (self.atoms + 2) + 2 : (k + 1) * (self.atoms + 2)] for k in range(batch)]
        words = [line.split() for frame in rows for line in frame]
        self.batch = batch
        self.numbers = torch.tensor([_SYMBOLS[w[0]] for w in words], device=device)
        self.positions = torch.tensor([[float(v) for v in w[1:4]] for w in words], device=device)
        self.molecule = torch.arange(batch, device=device).repeat_interleave(self.atoms)
        self.ptr = torch.arange(0, batch * self.atoms + 1, self.atoms, device=device)
        self.edges = self.find_edges(self.positions)
        generator = torch.Generator().manual_seed(0)
        self.energy = torch.randn(batch, generator=generator).to(device)
        self.forces = torch.randn(len(words), 3, generator=generator).to(device)

    def find_edges(self, positions: torch.Tensor) -> torch.Tensor:
        """Return (2,E) source and target of all edges under the cutoff, both ways."""
        x = positions.detach().view(self.batch, self.atoms, 3)
        near = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist") < CUTOFF
        near &= ~torch.eye(self.atoms, dtype=torch.bool, device=x.device)
        b, i, j = near.nonzero(as_tuple=True)
        return torch.stack([b * self.atoms + i, b * self.atoms + j])


def ours(name: str, variant: str) -> Callable[[Data, Any], Any]:
    """Return what builds one of this project's potentials."""

    def make(data: Data, _: Any) -> Any:
        from force2geo.potentials.batch import Batch
        from force2geo.potentials.models import Potential
        from force2geo.train.memory import keep_freed_memory

        keep_freed_memory()
        settings = {"layers": LAYERS, "features": FEATURES, "basis_size": BASIS, "cutoff": CUTOFF}
        network = Potential({"name": name, "variant": variant, **settings})
        batch = Batch(data.numbers, data.positions, data.molecule, data.ptr)

        def predict(training: bool) -> tuple[torch.Tensor, torch.Tensor]:
            output = network(batch, training=training)
            return output["binding"], output["forces"]

        return network, predict

    return make


def by_energy(network: Any, data: Data, energies: Any) -> Any:
    """Return a network with its prediction: forces are the energy's derivative."""

    def predict(training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        positions = data.positions.clone().requires_grad_(True)
        energy = energies(positions)
        (slope,) = torch.autograd.grad(energy.sum(), positions, create_graph=training)
        return energy, -slope

    return network, predict


def published(data: Data, args: Any) -> Any:
    """Build the published PaiNN, plain torch operations for its two compiled packages."""

    def radius_graph(pos: torch.Tensor, **_: Any) -> torch.Tensor:
        return data.find_edges(pos)

    module = load(args.published, radius_graph)
    network = module.PaiNN(
        hidden_channels=FEATURES, num_layers=LAYERS, num_rbf=BASIS, cutoff=CUTOFF
    )

    def energies(positions: torch.Tensor) -> torch.Tensor:
        return network(types.SimpleNamespace(xyz=positions, z=data.numbers, batch=data.molecule))

    return by_energy(network, data, energies)


def schnetpack(data: Data, _: Any) -> Any:
    """Build SchNetPack's PaiNN with its energy head."""
    from typing import TypeVar

    import torch.utils.data.dataloader

    # A name that left torch and that SchNetPack 2.2 imports, for annotations alone.
    torch.utils.data.dataloader.T_co = TypeVar("T_co", covariant=True)  # type: ignore[attr-defined]
    import schnetpack as spk
    from schnetpack import properties as names

    network = spk.model.NeuralNetworkPotential(
        representation=spk.representation.PaiNN(
            n_atom_basis=FEATURES,
            n_interactions=LAYERS,
            radial_basis=spk.nn.GaussianRBF(n_rbf=BASIS, cutoff=CUTOFF),
            cutoff_fn=spk.nn.CosineCutoff(CUTOFF),
        ),
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(n_in=FEATURES, output_key="energy"),
            spk.atomistic.Forces(energy_key="energy", force_key="forces"),
        ],
    )
    order = data.edges[0].argsort(stable=True)
    inputs = {
        names.Z: data.numbers,
        names.idx_i: data.edges[0][order],
        names.idx_j: data.edges[1][order],
        names.offsets: torch.zeros(data.edges.shape[1], 3, device=data.numbers.device),
        names.idx_m: data.molecule,
        names.n_atoms: torch.full((data.batch,), data.atoms, device=data.numbers.device),
    }

    def predict(training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        network.train(training)
        output = network(inputs | {names.R: data.positions.clone()})
        return output["energy"], output["forces"]

    return network, predict


def mace(data: Data, _: Any) -> Any:
    """Build MACE with two layers of 128 scalars and vectors."""
    import numpy as np

    # e3nn 0.4 opens constants of its own with a pickle.
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    from e3nn import o3
    from mace import modules

    block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
    elements = sorted(_SYMBOLS.values())
    network = modules.MACE(
        r_max=CUTOFF,
        num_bessel=8,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=block,
        interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=len(elements),
        hidden_irreps=o3.Irreps("128x0e + 128x1o"),
        MLP_irreps=o3.Irreps("16x0e"),
        atomic_energies=np.zeros(len(elements)),
        avg_num_neighbors=data.edges.shape[1] / len(data.numbers),
        atomic_numbers=elements,
        correlation=3,
        gate=torch.nn.functional.silu,
    )
    device = data.numbers.device
    place = torch.tensor([elements.index(int(z)) for z in data.numbers], device=device)
    zeros = torch.zeros(data.edges.shape[1], 3, device=device)
    fixed = {
        "node_attrs": torch.nn.functional.one_hot(place, len(elements)).float(),
        "edge_index": data.edges,
        "shifts": zeros,
        "unit_shifts": zeros,
        "cell": torch.zeros(3 * data.batch, 3, device=device),
        "batch": data.molecule,
        "ptr": data.ptr,
        "head": torch.zeros(data.batch, dtype=torch.long, device=device),
    }

    def predict(training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        output = network(fixed | {"positions": data.positions.clone()}, training=training)
        return output["energy"], output["forces"]

    return network, predict


def nequip(data: Data, _: Any) -> Any:
    """Build NequIP with four layers of 64 features up to l = 1."""
    from nequip.data import AtomicDataDict
    from nequip.model import NequIPGNNModel
    from nequip.utils.global_state import set_global_state

    set_global_state()
    elements = sorted(_SYMBOLS.values())
    symbols = {number: symbol for symbol, number in _SYMBOLS.items()}
    network = NequIPGNNModel(
        seed=0,
        model_dtype="float32",
        r_max=CUTOFF,
        type_names=[symbols[z] for z in elements],
        num_layers=4,
        l_max=1,
        parity=False,
        num_features=64,
        avg_num_neighbors=data.edges.shape[1] / len(data.numbers),
        do_derivatives=True,
    )
    device = data.numbers.device
    place = torch.tensor([elements.index(int(z)) for z in data.numbers], device=device)
    fixed = {
        AtomicDataDict.ATOM_TYPE_KEY: place,
        AtomicDataDict.EDGE_INDEX_KEY: data.edges,
        AtomicDataDict.BATCH_KEY: data.molecule,
        AtomicDataDict.NUM_NODES_KEY: torch.full((data.batch,), data.atoms, device=device),
    }

    def predict(training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        network.train(training)
        output = network(fixed | {AtomicDataDict.POSITIONS_KEY: data.positions.clone()})
        return output["total_energy"], output["forces"]

    return network, predict


def torchmdnet(data: Data, _: Any) -> Any:
    """Build TorchMD-Net's equivariant transformer with four layers of 128 features."""
    from torchmdnet.models.model import create_model

    settings = {
        "model": "equivariant-transformer", "embedding_dimension": FEATURES, "num_layers": LAYERS,
        "num_rbf": 64, "rbf_type": "expnorm", "trainable_rbf": False, "activation": "silu",
        "attn_activation": "silu", "num_heads": 8, "distance_influence": "both",
        "neighbor_embedding": True, "cutoff_lower": 0.0, "cutoff_upper": CUTOFF, "max_z": 100,
        "max_num_neighbors": 64, "aggr": "add", "derivative": True, "atom_filter": -1,
        "prior_model": None, "output_model": "Scalar", "reduce_op": "add", "precision": 32,
    }  # fmt: skip
    network = create_model(settings)

    def predict(training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        network.train(training)
        energy, forces = network(data.numbers, data.positions.clone(), data.molecule)
        return energy[:, 0], forces

    return network, predict


NETWORKS: dict[str, tuple[str, Callable[[Data, Any], Any]]] = {
    "painn": ("force2geo", ours("painn", "smooth")),
    "painn-published": ("force2geo", ours("painn", "published")),
    "schnet": ("force2geo", ours("schnet", "smooth")),
    "published": ("torch-geometric", published),
    "schnetpack": ("schnetpack", schnetpack),
    "mace": ("mace-torch", mace),
    "nequip": ("nequip", nequip),
    "torchmd-net": ("torchmd-net", torchmdnet),
}


def best(work: Callable[[], Any], device: str) -> float:
    """Return the shortest of some timings, in seconds; two at least, more within the budget."""
    work()
    seconds, spent, repeats = float("inf"), 0.0, 0
    while repeats < 2 or (repeats < _REPEATS and spent < _BUDGET):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        taken = time.perf_counter() - start
        seconds, spent, repeats = min(seconds, taken), spent + taken, repeats + 1
    return seconds


def main() -> None:
    """Time a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=NETWORKS)
    parser.add_argument("--frames", type=Path, required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--published", type=Path, help="painn.py of the published code")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    package, build = NETWORKS[args.name]
    data = Data(args.frames, args.batch, args.device)
    network, predict = build(data, args)
    network.to(args.device)
    weights = [p for p in network.parameters() if p.requires_grad]

    def step() -> None:
        energy, forces = predict(True)
        loss = (energy - data.energy).abs().mean() + (forces - data.forces).abs().mean()
        network.zero_grad()
        # All are differentiated by their weights alone.
        loss.backward(inputs=weights)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    inference = best(lambda: predict(False), args.device)
    training = best(step, args.device)
    if args.device == "cuda":
        memory = torch.cuda.max_memory_allocated() / 2**20
    else:
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
    row = {
        "network": args.name,
        "version": version(package),
        "weights": sum(p.numel() for p in weights),
        "threads": args.threads,
        "training, snapshots/s": round(args.batch / training, 1),
        "inference, snapshots/s": round(args.batch / inference, 1),
        "memory of training, MB": round(memory),
        "edges": data.edges.shape[1],
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
