"""All pairs of atoms within a molecule closer than a cutoff, each pair once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch


@dataclass
class Pairs:
    """P pairs of N atoms, molecule by molecule.

    `first` < `second` (P,) are the atoms; molecule b's pairs are those from `ptr[b]` to
    `ptr[b + 1]` (B+1,). Quantities of pairs, `row` (P,) says where, are kept in the order of
    distance, which lets a filter use only the Gaussians that a distance excites.
    """

    first: Tensor
    second: Tensor
    row: Tensor
    order: Tensor
    ptr: Tensor
    distance: Tensor
    atoms: int

    def __len__(self) -> int:
        return len(self.first)

    @cached_property
    def by_distance(self) -> tuple[Tensor, Tensor]:
        """The atoms of each pair in the order of distance."""
        return self.first[self.order], self.second[self.order]

    def vectors(self, positions: Tensor) -> Tensor:
        """Return (P,3) vectors from first to second atom, in the order of distance."""
        first, second = self.by_distance
        return positions.index_select(0, second) - positions.index_select(0, first)


def find_pairs(batch: Batch, cutoff: float) -> Pairs:
    """Return all pairs under `cutoff` Å; exact, with no cap on their number."""
    counts = batch.atoms_per_molecule
    widest = int(counts.max()) if len(counts) else 0
    local = torch.arange(widest, device=counts.device)
    present = local < counts[:, None]
    positions = batch.positions.detach()
    padded = positions.new_full((batch.size, widest, 3), torch.nan)
    padded[present] = positions
    distance = torch.cdist(padded, padded, compute_mode="donot_use_mm_for_euclid_dist")
    near = (distance < cutoff) & (local[:, None] < local)
    molecule, i, j = near.nonzero(as_tuple=True)
    start = batch.ptr[molecule]
    found = distance[molecule, i, j]
    order = found.argsort(stable=True)
    row = torch.empty_like(order)
    row[order] = torch.arange(len(order), device=order.device)
    ptr = torch.searchsorted(molecule, torch.arange(batch.size + 1, device=molecule.device))
    return Pairs(start + i, start + j, row, order, ptr, found[order], len(positions))
