"""Who sees whom: the pairs of a batch under one cutoff, and what networks derive from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from force2geo.potentials.batch import spans
from force2geo.potentials.pairs import Pairs, find_pairs, occurrences

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch


@dataclass
class Graph:
    """The pairs of a batch, once (`pairs`) and, made when asked for, as E = 2P directed edges.

    An edge goes from `sender` (E,) to `receiver` (E,); edge e + P is edge e turned round. Within
    the two halves edges stand in the pairs' order, which is none that a network may rely on.
    """

    pairs: Pairs

    @classmethod
    def of(cls, batch: Batch, cutoff: float) -> Graph:
        """Return the graph of a batch for a cutoff in Å; pairs that a batch brings are checked."""
        return cls(find_pairs(batch, cutoff))

    @property
    def atoms(self) -> int:
        """Number of atoms N."""
        return self.pairs.atoms

    @property
    def cutoff(self) -> float:
        """Distance in Å under which atoms see each other."""
        return self.pairs.cutoff

    @cached_property
    def receiver(self) -> Tensor:
        """(E,) the atom that an edge's message goes to."""
        return torch.cat(self.pairs.ends)

    @cached_property
    def sender(self) -> Tensor:
        """(E,) the atom that an edge's message comes from."""
        first, second = self.pairs.ends
        return torch.cat([second, first])

    def vectors(self, positions: Tensor) -> Tensor:
        """Return (E,3) vectors from receiver to sender in Å."""
        half = self.pairs.vectors(positions)
        return torch.cat([half, -half])

    @cached_property
    def triplets(self) -> tuple[Tensor, Tensor]:
        """Edges (T,) k→j and (T,) j→i that meet in an atom j, with k ≠ i."""
        edges = len(self.sender)
        # Edges sorted by whom they reach; those that reach j stand together.
        order = self.receiver.argsort(stable=True)
        reached = occurrences(self.receiver, self.atoms)
        start = reached.cumsum(0) - reached
        counts = reached[self.sender]
        later = torch.repeat_interleave(torch.arange(edges, device=order.device), counts)
        earlier = order[spans(start[self.sender], counts)]
        apart = self.sender[earlier] != self.receiver[later]
        return earlier[apart], later[apart]
