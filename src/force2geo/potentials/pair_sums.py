"""Sums over pairs of atoms, the messages of PaiNN and SchNet, differentiable any number of times.

Both are multilinear: the derivative by one factor is a sum of the same kind over the others, so
that one rule gives gradients of any order, and what a step needs is never more than factors and
results. With index p for pairs (i, j), f for features, c for components:

    three(G, X, W)   = Σ W[p,f] (G[i,c,f] X[j,c,f] + G[j,c,f] X[i,c,f])
    four(G, X, W, U) = Σ W[p,f] U[p,c] (G[i,c,f] X[j,f] − G[j,c,f] X[i,f])

G, X are of atoms, (N,C,F), (N,3,F) or (N,F); W (P,F) and U (P,3) of pairs in their order
(`pairs`). The functions here return the derivative by G: what the atoms receive.
On a CPU with numba the sums run in compiled loops, elsewhere in torch operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from force2geo.potentials.pairs import Pairs

try:
    from force2geo.potentials import pair_loops
except ImportError:  # numba is not installed
    pair_loops = None  # type: ignore[assignment]

_KINDS = (torch.float32, torch.float64)


def three_sum(sender: Tensor, weights: Tensor, pairs: Pairs) -> Tensor:
    """Return (N,C,F): for each atom, Σ over its pairs of `weights` (P,F) × other's `sender`."""
    return _Three.apply("node", pairs, sender.contiguous(), weights.contiguous())


def four_sum(sender: Tensor, weights: Tensor, directions: Tensor, pairs: Pairs) -> Tensor:
    """Return (N,3,F): for each atom, Σ of `weights` (P,F) × other's `sender` (N,F) × direction.

    `directions` (P,3) point from the first to the second atom; the second receives the opposite.
    """
    factors = (factor.contiguous() for factor in (sender, weights, directions))
    return _Four.apply("G", pairs, *factors)


def _compiled(values: Tensor, pairs: Pairs) -> bool:
    return pair_loops is not None and pairs.sorted is not None and values.dtype in _KINDS


class _Three(torch.autograd.Function):
    """`node` takes X and W (G and X are alike), `pair` takes G and X."""

    @staticmethod
    def forward(ctx: Any, kind: str, pairs: Pairs, one: Tensor, other: Tensor) -> Tensor:
        ctx.kind, ctx.pairs = kind, pairs
        # The inputs themselves: copies would be constants to a second derivative.
        ctx.save_for_backward(one, other)
        one, other = one.contiguous(), other.contiguous()
        if _compiled(one, pairs):
            return pair_loops.three(kind, one, other, pairs)
        return _three_in_torch(kind, one, other, pairs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        one, other = ctx.saved_tensors
        apply, pairs, wanted = _Three.apply, ctx.pairs, ctx.needs_input_grad
        if ctx.kind == "node":
            by_one = apply("node", pairs, slope, other) if wanted[2] else None
            by_other = apply("pair", pairs, slope, one) if wanted[3] else None
        else:
            by_one = apply("node", pairs, other, slope) if wanted[2] else None
            by_other = apply("node", pairs, one, slope) if wanted[3] else None
        return None, None, by_one, by_other


class _Four(torch.autograd.Function):
    """`kind` names the factor derived by; the three others come in their order G, X, W, U."""

    @staticmethod
    def forward(ctx: Any, kind: str, pairs: Pairs, *others: Tensor) -> Tensor:
        ctx.kind, ctx.pairs = kind, pairs
        ctx.save_for_backward(*others)
        factors = tuple(factor.contiguous() for factor in others)
        if _compiled(factors[0], pairs):
            return pair_loops.four(kind, factors, pairs)
        return _four_in_torch(kind, factors, pairs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        factors = dict(zip("GXWU".replace(ctx.kind, ""), ctx.saved_tensors, strict=True))
        factors[ctx.kind] = slope
        slopes: list[Tensor | None] = []
        for place, name in enumerate("GXWU".replace(ctx.kind, "")):
            wanted = ctx.needs_input_grad[2 + place]
            rest = [factors[other] for other in "GXWU" if other != name]
            slopes.append(_Four.apply(name, ctx.pairs, *rest) if wanted else None)
        return None, None, *slopes


def _three_in_torch(kind: str, one: Tensor, other: Tensor, pairs: Pairs) -> Tensor:
    first, second = pairs.ends
    if kind == "pair":
        there = one.index_select(0, first) * other.index_select(0, second)
        return (there + one.index_select(0, second) * other.index_select(0, first)).sum(dim=1)
    weights = other[:, None]
    result = torch.zeros_like(one)
    result.index_add_(0, first, one.index_select(0, second) * weights)
    return result.index_add_(0, second, one.index_select(0, first) * weights)


def _four_in_torch(kind: str, factors: tuple[Tensor, ...], pairs: Pairs) -> Tensor:
    first, second = pairs.ends
    given = dict(zip("GXWU".replace(kind, ""), factors, strict=True))
    if kind in "GX":
        weights, directions = given["W"][:, None], given["U"][:, :, None]
        if kind == "G":
            sender = given["X"]
            result = sender.new_zeros(pairs.atoms, 3, sender.shape[1])
            both = weights * directions
            result.index_add_(0, first, both * sender.index_select(0, second)[:, None])
            return result.index_add_(0, second, -both * sender.index_select(0, first)[:, None])
        receiver = given["G"]
        result = receiver.new_zeros(pairs.atoms, receiver.shape[2])
        along = (receiver.index_select(0, first) * directions).sum(dim=1)
        result.index_add_(0, second, given["W"] * along)
        along = (receiver.index_select(0, second) * directions).sum(dim=1)
        return result.index_add_(0, first, -given["W"] * along)
    receiver, sender = given["G"], given["X"]
    product = receiver.index_select(0, first) * sender.index_select(0, second)[:, None]
    product = product - receiver.index_select(0, second) * sender.index_select(0, first)[:, None]
    if kind == "W":
        return (product * given["U"][:, :, None]).sum(dim=1)
    return (product * given["W"][:, None]).sum(dim=2)
