"""Bonds of training molecules, for networks that look at them in place of a geometry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from force2geo.potentials.batch import Batch, on_device, spans

if TYPE_CHECKING:
    from force2geo.training_data.conformers import Graphs


@dataclass(frozen=True)
class Bonds:
    """The molecular graphs of M molecules with N atoms: `atoms` (N,9) their features.

    A molecule's bonds are `counts` (M,) rows from `starts` (M,) on of `ends` (K,2), atoms within
    the molecule, each bond once, and of `features` (K,3).
    """

    atoms: Tensor
    starts: Tensor
    counts: Tensor
    ends: Tensor
    features: Tensor

    @classmethod
    def of(cls, graphs: Graphs) -> Bonds:
        """Return the bonds of a file's molecules."""
        ptr = torch.from_numpy(graphs.ptr).long()
        ends, features = (torch.from_numpy(one) for one in (graphs.bonds, graphs.orders))
        return cls(torch.from_numpy(graphs.atoms), ptr[:-1], ptr.diff(), ends.long(), features)

    def to(self, device: torch.device | str) -> Bonds:
        """Return them on a device."""
        return on_device(self, device)

    def take(self, rows: Tensor, atoms: Tensor) -> Bonds:
        """Return those of the molecules at `rows` (m,), whose `atoms` (n,) these are."""
        return replace(
            self, atoms=self.atoms[atoms], starts=self.starts[rows], counts=self.counts[rows]
        )

    def on(self, batch: Batch) -> Batch:
        """Return a batch of all these molecules, in this order, with its bonds, both ways."""
        rows = spans(self.starts, self.counts)
        first = torch.repeat_interleave(batch.ptr[:-1], self.counts, output_size=len(rows))
        ends = self.ends[rows] + first[:, None]
        return replace(
            batch,
            bonds=torch.stack([ends, ends.flip(1)], dim=1).reshape(-1, 2).t().contiguous(),
            bond_features=self.features[rows].long().repeat_interleave(2, dim=0),
            atom_features=self.atoms.long(),
        )
