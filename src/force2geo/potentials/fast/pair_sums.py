"""Sums over pairs of atoms, the messages of PaiNN and SchNet, differentiable any number of times.

A message is what atoms receive: the derivative, by the receivers G, of a form that is linear in
each of its factors. With index p for pairs (i, j), f for features, c for components it is for
SchNet

    Σ W[p,f] (G[i,f] X[j,f] + G[j,f] X[i,f])

and for PaiNN, whose filters W (P,3F) are three side by side,

    Σ W0[p,f] (G[i,f] X[j,f] + G[j,f] X[i,f])
    + W1[p,f] U[p,c] (H[i,c,f] Y[j,f] − H[j,c,f] Y[i,f])
    + W2[p,f] (H[i,c,f] V[j,c,f] + H[j,c,f] V[i,c,f])

with receivers G (N,F), H (N,3,F), senders X, Y (N,F), V (N,3,F) and directions U (P,3) from first
to second atom. Every derivative is a derivative of the same form by another factor, so that one
rule gives gradients of any order, and a step never keeps more than factors and results.
Quantities of pairs are in the order of `pairs`. On a CPU with numba the sums run in compiled
loops, elsewhere in torch operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from force2geo.potentials.fast import pair_operations
from force2geo.potentials.fast.torch_state import wanted

if TYPE_CHECKING:
    from force2geo.potentials.pairs import Pairs

try:
    from force2geo.potentials.fast import pair_loops
except ImportError:  # numba is not installed
    pair_loops = None  # type: ignore[assignment]

_KINDS = (torch.float32, torch.float64)


def scalar_message(sender: Tensor, weights: Tensor, pairs: Pairs) -> Tensor:
    """Return (N,F): for each atom, Σ over its pairs of `weights` (P,F) × other's `sender` (N,F)."""
    return cast("Tensor", _Scalar.apply("node", pairs, sender, weights))


def painn_message(
    to_scalars: Tensor,
    along_edges: Tensor,
    vectors: Tensor | None,
    weights: Tensor,
    directions: Tensor,
    pairs: Pairs,
) -> tuple[Tensor, Tensor]:
    """Return PaiNN's message: (N,F) to scalars and (N,3,F) to vectors.

    Senders X, Y and V as above; without vectors `weights` are (P,2F).
    """
    if vectors is None:
        vectors = to_scalars.new_zeros(0, 3, to_scalars.shape[1])
    factors = (to_scalars, along_edges, vectors, weights, directions)
    return cast("tuple[Tensor, Tensor]", _PaiNN.apply("GH", pairs, True, *factors))


def _compiled(values: Tensor, pairs: Pairs) -> bool:
    return pair_loops is not None and pairs.sorted is not None and values.dtype in _KINDS


class _Scalar(torch.autograd.Function):
    """`node` takes X and W (G and X are alike), `pair` takes G and X."""

    @staticmethod
    def forward(ctx: Any, kind: str, pairs: Pairs, one: Tensor, other: Tensor) -> Tensor:
        ctx.kind, ctx.pairs = kind, pairs
        # The inputs themselves: copies would be constants to a second derivative.
        ctx.save_for_backward(one, other)
        one, other = one.contiguous(), other.contiguous()
        if _compiled(one, pairs):
            return pair_loops.scalar(kind, one, other, pairs)
        return pair_operations.scalar(kind, one, other, pairs)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        one, other = ctx.saved_tensors
        apply, pairs, (first, second) = _Scalar.apply, ctx.pairs, wanted(ctx)
        if ctx.kind == "node":
            by_one = apply("node", pairs, slope, other) if first else None
            by_other = apply("pair", pairs, slope, one) if second else None
        else:
            by_one = apply("node", pairs, other, slope) if first else None
            by_other = apply("node", pairs, one, slope) if second else None
        return None, None, by_one, by_other


# What the derivative by a group of factors takes.
TAKES = {"GH": "XYVWU", "XYV": "GHWU", "W": "GHXYVU", "U": "HYW"}


class _PaiNN(torch.autograd.Function):
    """The derivative by the factors `kind`; with `whole` unset, of the form's second line alone."""

    @staticmethod
    def forward(ctx: Any, kind: str, pairs: Pairs, whole: bool, *given: Tensor) -> Any:
        ctx.kind, ctx.pairs, ctx.whole = kind, pairs, whole
        ctx.save_for_backward(*given)
        factors = {name: value.contiguous() for name, value in zip(TAKES[kind], given, strict=True)}
        compute = pair_loops.painn if _compiled(given[0], pairs) else pair_operations.painn
        results = compute(kind, pairs, whole, factors)
        return results if len(kind) > 1 else results[0]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        takes = TAKES[ctx.kind]
        factors = dict(zip(takes, ctx.saved_tensors, strict=True))
        factors |= dict(zip(ctx.kind, slopes, strict=True))
        # The form's other lines have no directions, so a derivative by them has the second alone.
        whole = ctx.whole and ctx.kind != "U"
        if ctx.kind == "U":
            three = factors["W"].shape[1] == 3 * factors["Y"].shape[1]
            unused = factors["Y"].detach(), factors["H"].detach()
            factors |= {"G": unused[0], "X": unused[0], "V": unused[1] if three else unused[1][:0]}
        asked = dict(zip(takes, wanted(ctx), strict=True))
        found: dict[str, Tensor] = {}
        for group in TAKES:
            if any(asked.get(name) for name in group):
                given = (factors[name] for name in TAKES[group])
                result = _PaiNN.apply(group, ctx.pairs, whole, *given)
                found |= dict(zip(group, result if len(group) > 1 else (result,), strict=True))
        return None, None, None, *(found.get(name) if asked[name] else None for name in takes)
