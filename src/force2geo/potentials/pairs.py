"""All pairs of atoms within a molecule closer than a cutoff, each pair once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch


@dataclass
class Pairs:
    """P pairs of N atoms; `first` < `second` (P,) are the atoms, all that are under `cutoff` Å.

    On a CPU they are also `sorted`, which lets a filter use only the Gaussians that a distance
    excites; elsewhere quantities of pairs are in the pairs' own order.
    """

    first: Tensor
    second: Tensor
    atoms: int
    cutoff: float
    sorted: Sorted | None = None

    def __len__(self) -> int:
        return len(self.first)

    def to(self, device: torch.device | str) -> Pairs:
        """Return the pairs on `device`, no longer sorted where that is no CPU."""
        kept = self.sorted if torch.device(device).type == "cpu" else None
        first, second = self.first.to(device), self.second.to(device)
        return replace(self, first=first, second=second, sorted=kept)

    @cached_property
    def ends(self) -> tuple[Tensor, Tensor]:
        """The atoms of each pair, in the order that quantities of pairs are kept in."""
        if self.sorted is None:
            return self.first, self.second
        return self.first[self.sorted.order], self.second[self.sorted.order]

    def vectors(self, positions: Tensor) -> Tensor:
        """Return (P,3) vectors from first to second atom, in that order."""
        first, second = self.ends
        return positions.index_select(0, second) - positions.index_select(0, first)


@dataclass
class Sorted:
    """Pairs by distance: pair `order[k]` is at `row` k and has `distance[k]` Å, ascending.

    Molecule b's pairs are those from `ptr[b]` to `ptr[b + 1]` (B+1,).
    """

    order: Tensor
    row: Tensor
    distance: Tensor
    ptr: Tensor


def find_pairs(batch: Batch, cutoff: float) -> Pairs:
    """Return all pairs under `cutoff` Å; exact, with no cap on their number.

    A batch that brings its pairs keeps them, if they are those under this very cutoff.
    """
    if batch.pairs is not None and batch.pairs.cutoff == cutoff:
        return batch.pairs
    counts = batch.atoms_per_molecule
    widest = int(counts.max()) if len(counts) else 0
    local = torch.arange(widest, device=counts.device)
    present = local < counts[:, None]
    positions = batch.positions.detach()
    padded = positions.new_zeros((batch.size, widest, 3))
    padded[present] = positions
    distance = torch.cdist(padded, padded, compute_mode="donot_use_mm_for_euclid_dist")
    once = present[:, :, None] & present[:, None] & (local[:, None] < local)
    # A position that is no number is near all others, so that it spoils the energy and is noticed.
    molecule, i, j = (once & ~(distance >= cutoff)).nonzero(as_tuple=True)
    start = batch.ptr[molecule]
    pairs = Pairs(start + i, start + j, len(positions), cutoff)
    if positions.device.type != "cpu":
        return pairs
    found = distance[molecule, i, j]
    order = found.argsort(stable=True)
    row = torch.empty_like(order)
    row[order] = torch.arange(len(order))
    ptr = torch.searchsorted(molecule, torch.arange(batch.size + 1))
    return replace(pairs, sorted=Sorted(order, row, found[order], ptr))
