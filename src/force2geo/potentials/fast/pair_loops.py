"""The sums of `pair_sums` as compiled loops over pairs, for CPUs.

One molecule is one thread's, so that no two write to one atom and results do not depend on the
number of threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba
import torch
from torch import Tensor

from force2geo.potentials.fast.loops import Loop, fetch

if TYPE_CHECKING:
    from force2geo.potentials.pairs import Pairs


AHEAD = 2  # pairs


@Loop
def _scalar_node(sender, weights, first, second, row, ptr, out) -> None:  # type: ignore[no-untyped-def]
    for molecule in numba.prange(len(ptr) - 1):
        for pair in range(ptr[molecule], ptr[molecule + 1]):
            i, j, p = first[pair], second[pair], row[pair]
            for f in range(sender.shape[1]):
                out[i, f] += sender[j, f] * weights[p, f]
            for f in range(sender.shape[1]):
                out[j, f] += sender[i, f] * weights[p, f]


@Loop
def _scalar_pair(receiver, sender, first, second, row, ptr, out) -> None:  # type: ignore[no-untyped-def]
    for molecule in numba.prange(len(ptr) - 1):
        for pair in range(ptr[molecule], ptr[molecule + 1]):
            i, j, p = first[pair], second[pair], row[pair]
            for f in range(sender.shape[1]):
                out[p, f] = receiver[i, f] * sender[j, f] + receiver[j, f] * sender[i, f]


@Loop
def _painn_gh(whole, vectors, x, y, v, w, u, first, second, row, ptr, g, h) -> None:  # type: ignore[no-untyped-def]
    features = x.shape[1]
    for molecule in numba.prange(len(ptr) - 1):
        for pair in range(ptr[molecule], ptr[molecule + 1]):
            i, j, p = first[pair], second[pair], row[pair]
            if pair + AHEAD < len(row):
                fetch(w, row[pair + AHEAD], 0, w.shape[1])
            if whole:
                for f in range(features):
                    g[i, f] += w[p, 0, f] * x[j, f]
                for f in range(features):
                    g[j, f] += w[p, 0, f] * x[i, f]
            for c in range(3):
                d = u[p, c]
                if vectors:
                    for f in range(features):
                        h[i, c, f] += d * w[p, 1, f] * y[j, f] + w[p, 2, f] * v[j, c, f]
                    for f in range(features):
                        h[j, c, f] += w[p, 2, f] * v[i, c, f] - d * w[p, 1, f] * y[i, f]
                else:
                    for f in range(features):
                        h[i, c, f] += d * w[p, 1, f] * y[j, f]
                    for f in range(features):
                        h[j, c, f] -= d * w[p, 1, f] * y[i, f]


@Loop
def _painn_xyv(whole, vectors, g, h, w, u, first, second, row, ptr, x, y, v) -> None:  # type: ignore[no-untyped-def]
    features = y.shape[1]
    for molecule in numba.prange(len(ptr) - 1):
        for pair in range(ptr[molecule], ptr[molecule + 1]):
            i, j, p = first[pair], second[pair], row[pair]
            if pair + AHEAD < len(row):
                fetch(w, row[pair + AHEAD], 0, w.shape[1])
            a, b, d = u[p, 0], u[p, 1], u[p, 2]
            if whole:
                for f in range(features):
                    x[i, f] += w[p, 0, f] * g[j, f]
                for f in range(features):
                    x[j, f] += w[p, 0, f] * g[i, f]
            for f in range(features):
                along = a * h[i, 0, f] + b * h[i, 1, f] + d * h[i, 2, f]
                y[j, f] += w[p, 1, f] * along
            for f in range(features):
                along = a * h[j, 0, f] + b * h[j, 1, f] + d * h[j, 2, f]
                y[i, f] -= w[p, 1, f] * along
            if vectors:
                for c in range(3):
                    for f in range(features):
                        v[i, c, f] += w[p, 2, f] * h[j, c, f]
                    for f in range(features):
                        v[j, c, f] += w[p, 2, f] * h[i, c, f]


@Loop
def _painn_w(whole, vectors, g, h, x, y, v, u, first, second, row, ptr, w) -> None:  # type: ignore[no-untyped-def]
    features = y.shape[1]
    for molecule in numba.prange(len(ptr) - 1):
        for pair in range(ptr[molecule], ptr[molecule + 1]):
            i, j, p = first[pair], second[pair], row[pair]
            a, b, d = u[p, 0], u[p, 1], u[p, 2]
            if whole:
                for f in range(features):
                    w[p, 0, f] = g[i, f] * x[j, f] + g[j, f] * x[i, f]
            for f in range(features):
                there = a * h[i, 0, f] + b * h[i, 1, f] + d * h[i, 2, f]
                back = a * h[j, 0, f] + b * h[j, 1, f] + d * h[j, 2, f]
                w[p, 1, f] = y[j, f] * there - y[i, f] * back
            if vectors:
                for f in range(features):
                    there = h[i, 0, f] * v[j, 0, f] + h[j, 0, f] * v[i, 0, f]
                    there += h[i, 1, f] * v[j, 1, f] + h[j, 1, f] * v[i, 1, f]
                    there += h[i, 2, f] * v[j, 2, f] + h[j, 2, f] * v[i, 2, f]
                    w[p, 2, f] = there


@Loop
def _painn_u(h, y, w, first, second, row, ptr, u) -> None:  # type: ignore[no-untyped-def]
    features = y.shape[1]
    for molecule in numba.prange(len(ptr) - 1):
        for pair in range(ptr[molecule], ptr[molecule + 1]):
            i, j, p = first[pair], second[pair], row[pair]
            if pair + AHEAD < len(row):
                fetch(w, row[pair + AHEAD], 1, 2)
            for c in range(3):
                total = u[p, c]
                for f in range(features):
                    total += w[p, 1, f] * (h[i, c, f] * y[j, f] - h[j, c, f] * y[i, f])
                u[p, c] = total


def _run(
    loop: Loop, pairs: Pairs, given: tuple[Any, ...], out: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    assert pairs.sorted is not None
    loop(*given, pairs.first, pairs.second, pairs.sorted.row, pairs.sorted.ptr, *out)
    return out


def scalar(kind: str, one: Tensor, other: Tensor, pairs: Pairs) -> Tensor:
    """Return a derivative of SchNet's form (`pair_sums`)."""
    if kind == "node":
        return _run(_scalar_node, pairs, (one, other), (torch.zeros_like(one),))[0]
    return _run(_scalar_pair, pairs, (one, other), (one.new_empty(len(pairs), one.shape[1]),))[0]


def painn(kind: str, pairs: Pairs, whole: bool, factors: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Return the derivatives of PaiNN's form by the factors `kind` (`pair_sums`)."""
    features = factors["H" if "H" in factors else "Y"].shape[-1]
    if "W" in factors:
        factors = factors | {"W": factors["W"].unflatten(1, (-1, features))}
    given = tuple(factors.values())
    if kind == "U":
        return _run(_painn_u, pairs, given, (given[0].new_zeros(len(pairs), 3),))
    three = len(factors["V"]) > 0 if "V" in factors else factors["W"].shape[1] == 3
    flags = whole, whole and three
    nodes = given[0].new_zeros
    if kind == "GH":
        out: tuple[Tensor, ...] = nodes(pairs.atoms, features), nodes(pairs.atoms, 3, features)
        return _run(_painn_gh, pairs, (*flags, *given), out)
    if kind == "XYV":
        out = nodes(pairs.atoms, features), nodes(pairs.atoms, features)
        out = *out, nodes(pairs.atoms if three else 0, 3, features)
        return _run(_painn_xyv, pairs, (*flags, *given), out)
    make = given[0].new_empty if whole else given[0].new_zeros
    weights = make(len(pairs), 2 + three, features)
    _run(_painn_w, pairs, (*flags, *given), (weights,))
    return (weights.flatten(1),)
