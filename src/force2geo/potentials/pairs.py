"""All pairs of atoms within a molecule closer than a cutoff, each pair once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
    excites; elsewhere quantities of pairs are in the pairs' own order. `largest` is the number of
    atoms of the largest molecule, where known; `found_at` is where the atoms stood, None where
    whoever made the pairs answers for them.
    """

    first: Tensor
    second: Tensor
    atoms: int
    cutoff: float
    sorted: Sorted | None = None
    largest: int | None = None
    found_at: Place | None = None

    def __len__(self) -> int:
        return len(self.first)

    def to(self, device: torch.device | str) -> Pairs:
        """Return the pairs on `device`, no longer sorted where that is no CPU."""
        kept = self.sorted if torch.device(device).type == "cpu" else None
        first, second = self.first.to(device), self.second.to(device)
        return replace(self, first=first, second=second, sorted=kept, found_at=None)

    def are_of(self, positions: Tensor) -> bool:
        """Say whether positions (N,3) are those that the pairs were found at."""
        return self.found_at is None or self.found_at == Place.of(positions)

    @cached_property
    def most(self) -> int:
        """How many neighbours an atom has at most; the device is waited for, once."""
        both = torch.cat(self.ends)
        return int(occurrences(both, self.atoms).max()) if self.atoms else 0

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


@dataclass(frozen=True)
class Place:
    """Which tensor positions are, and how often it was written to.

    Values are not compared: one would have to wait for the answer. The tensor is held, so that no
    other gets its address.
    """

    address: int
    version: int
    held: Tensor = field(compare=False, repr=False)

    @classmethod
    def of(cls, positions: Tensor) -> Place:
        """Return the place of a tensor, which is that of all that share its memory."""
        version = 0 if positions.is_inference() else positions._version
        return cls(positions.data_ptr(), version, positions.detach())


@dataclass
class Sorted:
    """Pairs by distance, ascending: pair `order[k]` is at `row` k.

    Molecule b's pairs are those from `ptr[b]` to `ptr[b + 1]` (B+1,).
    """

    order: Tensor
    row: Tensor
    ptr: Tensor


def occurrences(index: Tensor, size: int) -> Tensor:
    """Return (size,) how often each place is in `index` (n,).

    `bincount` does it in a way that waits for the device, to know the largest place.
    """
    return index.new_zeros(size).index_add(0, index, torch.ones_like(index))


def sorts(device: torch.device) -> bool:
    """Say whether pairs are sorted on a device: where loops are compiled for it."""
    return device.type == "cpu"


def find_pairs(batch: Batch, cutoff: float) -> Pairs:
    """Return all pairs under `cutoff` Å; exact, with no cap on their number.

    A batch that brings its pairs keeps them, if they are those under this very cutoff and its
    atoms have not moved since.
    """
    brought = batch.pairs
    if brought is not None and brought.cutoff == cutoff and brought.are_of(batch.positions):
        return brought
    counts = batch.atoms_per_molecule
    widest = int(counts.max()) if len(counts) else 0
    local = torch.arange(widest, device=counts.device)
    present = local < counts[:, None]
    positions = batch.positions.detach()
    place = torch.arange(len(positions), device=counts.device)
    place += batch.molecule * widest - batch.ptr[batch.molecule]
    padded = positions.new_zeros((batch.size * widest, 3)).index_copy_(0, place, positions)
    padded = padded.view(batch.size, widest, 3)
    distance = torch.cdist(padded, padded, compute_mode="donot_use_mm_for_euclid_dist")
    once = present[:, :, None] & present[:, None] & (local[:, None] < local)
    # A position that is no number is near all others, so that it spoils the energy and is noticed.
    molecule, i, j = (once & ~(distance >= cutoff)).nonzero(as_tuple=True)
    start = batch.ptr[molecule]
    pairs = Pairs(start + i, start + j, len(positions), cutoff, None, widest, Place.of(positions))
    if not sorts(positions.device):
        return pairs
    found = distance[molecule, i, j]
    order = found.argsort(stable=True)
    row = torch.empty_like(order)
    row[order] = torch.arange(len(order))
    ptr = torch.searchsorted(molecule, torch.arange(batch.size + 1))
    return replace(pairs, sorted=Sorted(order, row, ptr))
