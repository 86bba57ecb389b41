r"""PaiNN's training step and inference on a CPU beside the published implementation, one run.

The published code is not part of this project: give the file `painn.py` of its public repository
(divelab/AIRS, OpenMol/Force2Geo, Molecule3D/model/painn) and a Python path with torch-geometric.
It imports two compiled packages, torch_scatter and torch_cluster; plain torch operations of the
same results stand in for them here.

    PYTHONPATH=/tmp/pyg python benchmarks/training/painn.py \
        --frames ../shared/data/rmd17/aspirin_train_01.xyz.gz --published /tmp/painn.py
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import io
import sys
import time
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ase.io import read

from force2geo.potentials.batch import Batch, collate
from force2geo.potentials.models import Potential
from force2geo.potentials.pairs import find_pairs
from force2geo.train.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import describe, write

# The published configuration (Force2Geo, table 8).
CONFIG = {"layers": 4, "features": 128, "basis_size": 128, "cutoff": 4.5}
_REPEATS = 5


def published(path: Path) -> torch.nn.Module:
    """Return the published network."""
    from torch_geometric.utils import scatter

    def radius_graph(pos: Any, r: float, batch: Any, **_: Any) -> torch.Tensor:
        counts = torch.bincount(batch)
        ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        pairs = find_pairs(Batch(batch, pos, batch, ptr), r)
        return torch.stack(
            [torch.cat([pairs.second, pairs.first]), torch.cat([pairs.first, pairs.second])]
        )

    for name, attributes in (
        ("torch_scatter", {"scatter": scatter, "segment_coo": None}),
        ("torch_cluster", {"radius_graph": radius_graph}),
    ):
        module = types.ModuleType(name)
        module.__dict__.update(attributes)
        sys.modules[name] = module
    spec = importlib.util.spec_from_file_location("published_painn", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PaiNN(hidden_channels=128, num_layers=4, num_rbf=128, cutoff=4.5)


def best(work: Callable[[], Any]) -> float:
    """Return the shortest of some timings."""
    work()
    seconds = float("inf")
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        seconds = min(seconds, time.perf_counter() - start)
    return seconds


def main() -> None:
    """Time all and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=Path, required=True, help="extended XYZ, gzip'd")
    parser.add_argument("--published", type=Path, help="the published painn.py")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    keep_freed_memory()
    text = io.StringIO(gzip.decompress(args.frames.read_bytes()).decode())
    frames = read(text, index=f":{args.batch}", format="extxyz")
    batch = collate([f.numbers for f in frames], [f.positions for f in frames])
    torch.manual_seed(0)
    energies, forces = torch.randn(batch.size), torch.randn(len(batch.positions), 3)
    networks: dict[str, Any] = {
        f"force2geo {variant}": Potential({"name": "painn", "variant": variant, **CONFIG})
        for variant in ("smooth", "published")
    }
    if args.published:
        networks["published implementation"] = published(args.published)

    def predict(network: Any, training: bool) -> tuple[torch.Tensor, torch.Tensor]:
        if isinstance(network, Potential):
            output = network(batch, training=training)
            return output["binding"], output["forces"]
        positions = batch.positions.clone().requires_grad_(True)
        data = types.SimpleNamespace(xyz=positions, z=batch.atomic_numbers, batch=batch.molecule)
        energy = network(data)
        (gradient,) = torch.autograd.grad(energy.sum(), positions, create_graph=training)
        return energy, -gradient

    def step(network: Any) -> None:
        energy, force = predict(network, True)
        loss = (energy - energies).abs().mean() + (force - forces).abs().mean()
        network.zero_grad()
        # Both are differentiated by their weights alone.
        loss.backward(inputs=list(network.parameters()))

    rows = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for name, network in networks.items():
            row = {
                "network": name,
                "threads": threads,
                "training, snapshots/s": round(args.batch / best(lambda n=network: step(n)), 1),
                "inference, snapshots/s": round(
                    args.batch / best(lambda n=network: predict(n, False)), 1
                ),
            }
            rows.append(row)
            print(row)
    pairs = 2 * len(find_pairs(batch, CONFIG["cutoff"]))
    sizes = {"batch": args.batch, "atoms": len(batch.positions), "edges": pairs}
    write(args.out, {"machine": describe(), "data": args.frames.name, **sizes, "rows": rows})


if __name__ == "__main__":
    main()
