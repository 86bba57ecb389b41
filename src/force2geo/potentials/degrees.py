"""Features by degree: what networks of tensor products and attention share.

A feature of degree l has 2l+1 components, which turn as spherical harmonics do, in e3nn's real
basis: degree 1 is x, y, z. All that is here keeps to rotations alone; no parity is told apart.
"""

from __future__ import annotations

from typing import Any

import torch
from e3nn import o3
from torch import Tensor, nn


def coupling(degree_in: int, harmonic: int, degree_out: int, highest: int) -> Tensor:
    """Return (S,2·degree_out+1,2·degree_in+1) Clebsch–Gordan coefficients, of unit norm, float64.

    S runs over all harmonics up to `highest`; those of other degrees than `harmonic` have zeros.
    """
    table = torch.zeros((highest + 1) ** 2, 2 * degree_out + 1, 2 * degree_in + 1).double()
    one = o3.wigner_3j(degree_in, harmonic, degree_out, dtype=torch.float64, device="cpu")
    table[harmonic**2 : (harmonic + 1) ** 2] = one.permute(1, 2, 0)
    return table


class EdgeMatrices(nn.Module):
    """Matrices of edges, linear in the harmonics of their directions.

    `tables` are (S,rows,columns) each, float64; they stay exact whatever the weights' dtype.
    `normalization` of the harmonics is e3nn's.
    """

    def __init__(self, tables: dict[str, Tensor], highest: int, normalization: str) -> None:
        super().__init__()
        self.highest, self.normalization = highest, normalization
        self.shapes = {key: table.shape[1:] for key, table in tables.items()}
        for key, table in tables.items():
            self.register_buffer(f"table_{key}", table.flatten(1), persistent=False)

    def _apply(self, fn: Any, recurse: bool = True) -> EdgeMatrices:
        # A constant in float32 would break the symmetry of a network in float64.
        exact = dict(self._buffers)
        super()._apply(fn, recurse)
        for key, table in exact.items():
            moved = self._buffers[key]
            if table is not None and moved is not None and moved.dtype != table.dtype:
                self._buffers[key] = table.to(moved.device)
        return self

    def forward(self, vectors: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return harmonics (E,S) of edge vectors (E,3), and matrices (E,rows,columns)."""
        degrees = list(range(self.highest + 1))
        harmonics = o3.spherical_harmonics(degrees, vectors, True, self.normalization)
        matrices = {
            key: (harmonics @ self.get_buffer(f"table_{key}").to(harmonics.dtype)).unflatten(
                1, shape
            )
            for key, shape in self.shapes.items()
        }
        return harmonics, matrices


def attention(scores: Tensor, receiver: Tensor, atoms: int) -> Tensor:
    """Return (E,H) weights, a softmax of scores (E,H) over the edges that reach an atom."""
    index = receiver[:, None].expand_as(scores)
    # Any shift leaves a softmax as it is; the highest score keeps the exponential in bounds.
    highest = scores.new_zeros(atoms, scores.shape[1])
    highest = highest.scatter_reduce(0, index, scores.detach(), "amax", include_self=False)
    weights = (scores - highest.index_select(0, receiver)).exp()
    return weights / received(weights, receiver, atoms).index_select(0, receiver)


def received(messages: Tensor, receiver: Tensor, atoms: int) -> Tensor:
    """Return (N,…) sums of messages (E,…) over the edges that reach an atom."""
    return messages.new_zeros(atoms, *messages.shape[1:]).index_add(0, receiver, messages)
