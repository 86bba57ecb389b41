"""Train a peer's PaiNN on a property of molecules; `gap.py` calls this, a process for each.

It needs torch and the peer's package, nothing else: a peer runs in its own environment. All train
by the recipe of the file's `recipe`: the same batches' size, epochs, optimiser, schedule and
running mean of the weights. SchNetPack is given its pairs, which its own loader would look up and
copy; the published network, in PyTorch Geometric's loader, finds its own as it does in its own
training. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from published import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Molecules:
    """What `gap.py` wrote: atoms of all molecules in a row, values in eV, places of the splits."""

    def __init__(self, path: Path, cutoff: float) -> None:
        with np.load(path, allow_pickle=False) as file:
            self.numbers = torch.from_numpy(file["numbers"]).long()
            self.positions = torch.from_numpy(file["positions"]).float()
            self.ptr = file["ptr"]
            self.values = torch.from_numpy(file["values"]).float()
            self.splits = {name: file[name] for name in ("train", "test")}
        trained = self.values[torch.from_numpy(self.splits["train"])]
        self.mean, self.deviation = float(trained.mean()), float(trained.std())
        self.cutoff = cutoff

    def atoms(self, place: int) -> slice:
        """Return which atoms are a molecule's."""
        return slice(int(self.ptr[place]), int(self.ptr[place + 1]))

    def pairs(self, place: int) -> torch.Tensor:
        """Return (2,E) target and source of a molecule's pairs under the cutoff, both ways."""
        own = self.positions[self.atoms(place)]
        near = torch.cdist(own, own, compute_mode="donot_use_mm_for_euclid_dist") < self.cutoff
        near.fill_diagonal_(False)
        return near.nonzero().T


Peer = tuple[torch.nn.Module, "Callable[[Any], torch.Tensor]", "Callable[[str], Any]"]
"""A network, what it says (B,) of a batch in deviations from the mean, and a split's loader, whose
batches are pairs of inputs and values (B,) eV."""


def schnetpack(molecules: Molecules, recipe: dict[str, Any], _: Path | None) -> Peer:
    """Build SchNetPack's PaiNN with the mean over its atoms as output."""
    from typing import TypeVar

    import torch.utils.data.dataloader

    # A name that left torch and that SchNetPack imports, for annotations alone.
    torch.utils.data.dataloader.T_co = TypeVar("T_co", covariant=True)  # type: ignore[attr-defined]
    import schnetpack as spk
    from schnetpack import properties as names

    network = spk.model.NeuralNetworkPotential(
        representation=spk.representation.PaiNN(
            n_atom_basis=recipe["features"],
            n_interactions=recipe["layers"],
            radial_basis=spk.nn.GaussianRBF(n_rbf=recipe["basis_size"], cutoff=molecules.cutoff),
            cutoff_fn=spk.nn.CosineCutoff(molecules.cutoff),
        ),
        input_modules=[spk.atomistic.PairwiseDistances()],
        output_modules=[
            spk.atomistic.Atomwise(
                n_in=recipe["features"], output_key="value", aggregation_mode="avg"
            )
        ],
    )
    pairs = {int(i): molecules.pairs(i) for split in molecules.splits.values() for i in split}

    def batch(chosen: np.ndarray) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        slices = [molecules.atoms(i) for i in chosen]
        sizes = torch.tensor([one.stop - one.start for one in slices])
        begin = torch.cumsum(sizes, 0) - sizes
        both = torch.cat([pairs[int(i)] + b for i, b in zip(chosen, begin, strict=True)], dim=1)
        return {
            names.Z: torch.cat([molecules.numbers[one] for one in slices]),
            names.R: torch.cat([molecules.positions[one] for one in slices]),
            names.idx_i: both[0],
            names.idx_j: both[1],
            names.offsets: torch.zeros(both.shape[1], 3),
            names.idx_m: torch.repeat_interleave(torch.arange(len(chosen)), sizes),
            names.n_atoms: sizes,
        }, molecules.values[torch.from_numpy(chosen)]

    def loader(split: str) -> Iterator[Any]:
        order = molecules.splits[split]
        order = np.random.default_rng().permutation(order) if split == "train" else order
        for first in range(0, len(order), recipe["batch_size"]):
            yield batch(order[first : first + recipe["batch_size"]])

    return network, lambda inputs: network(inputs)["value"], loader


def published(molecules: Molecules, recipe: dict[str, Any], code: Path | None) -> Peer:
    """Build the published PaiNN, fed by PyTorch Geometric's loader."""
    from torch_geometric.data import Data
    from torch_geometric.loader import DataLoader

    def radius_graph(pos: torch.Tensor, r: float, batch: torch.Tensor, **_: Any) -> torch.Tensor:
        """Stand in for torch_cluster's: all pairs of each molecule at once."""
        sizes = torch.bincount(batch)
        begin = torch.cumsum(sizes, 0) - sizes
        padded = pos.new_full((len(sizes), int(sizes.max()), 3), math.inf)
        padded[batch, torch.arange(len(pos)) - begin[batch]] = pos.detach()
        apart = (padded[:, :, None] - padded[:, None]).square().sum(-1)
        b, i, j = (apart < r * r).nonzero(as_tuple=True)
        kept = i != j  # inf - inf is no number, and so not below
        return torch.stack([begin[b[kept]] + j[kept], begin[b[kept]] + i[kept]])

    assert code is not None
    module = load(code, radius_graph)
    network = module.PaiNN(
        hidden_channels=recipe["features"], num_layers=recipe["layers"],
        num_rbf=recipe["basis_size"], cutoff=molecules.cutoff,
    )  # fmt: skip
    data = {
        split: [
            Data(
                z=molecules.numbers[own],
                xyz=molecules.positions[own],
                y=molecules.values[i],
                num_nodes=own.stop - own.start,
            )
            for i in places
            for own in (molecules.atoms(i),)
        ]
        for split, places in molecules.splits.items()
    }

    def loader(split: str) -> Iterator[Any]:
        batches = DataLoader(data[split], batch_size=recipe["batch_size"], shuffle=split == "train")
        return ((batch, batch.y) for batch in batches)

    return network, lambda batch: network(batch).view(-1), loader


PEERS = {"schnetpack": schnetpack, "published": published}


def rate(step: int, steps: int, warmup: float) -> float:
    """Return the share of the learning rate: up in a line, down along a cosine."""
    begun = warmup * steps
    if step < begun:
        return (step + 1) / begun
    return 0.5 * (1 + math.cos(math.pi * (step - begun) / (steps - begun)))


def main() -> None:
    """Train one peer and tell its error and time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("--molecules", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, required=True)
    parser.add_argument("--code", type=Path, help="painn.py of the published code")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    recipe = json.loads(args.recipe.read_text(encoding="utf-8"))
    molecules = Molecules(args.molecules, recipe["cutoff"])
    network, predict, loader = PEERS[args.name](molecules, recipe, args.code)
    count = len(molecules.splits["train"])
    steps = args.epochs * math.ceil(count / recipe["batch_size"])
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe["learning_rate"])
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate(step, steps, recipe["warmup"])
    )
    averaged = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe["ema"])
    )
    start = time.perf_counter()
    for _ in range(args.epochs):
        for inputs, values in loader("train"):
            optimizer.zero_grad()
            scaled = (values - molecules.mean) / molecules.deviation
            torch.nn.functional.l1_loss(predict(inputs), scaled).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe["gradient_clip"])
            optimizer.step()
            schedule.step()
            averaged.update_parameters(network)
    seconds = time.perf_counter() - start
    network.load_state_dict(averaged.module.state_dict())
    errors = []
    with torch.no_grad():
        for inputs, values in loader("test"):
            found = predict(inputs) * molecules.deviation + molecules.mean
            errors.append((found - values).abs())
    weights = sum(weight.numel() for weight in network.parameters())
    told = {
        "weights": weights, "seconds": seconds, "molecules/s": args.epochs * count / seconds,
        "test MAE, eV": float(torch.cat(errors).mean()), "epochs": args.epochs,
    }  # fmt: skip
    print(json.dumps(told))


if __name__ == "__main__":
    main()
