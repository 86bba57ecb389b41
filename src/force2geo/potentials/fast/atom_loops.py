"""The steps of `atom_steps` as compiled loops over atoms, and their derivatives."""

# Chunks of F features have an axis of their own, (N,3,F) or (N,3,2,F); a, b and c are their places.
# Sums of places and features as one index might be negative, for all numba knows, and slow.
# mypy does not look into compiled loops.

from __future__ import annotations

import math

import numba

from force2geo.potentials.fast.loops import Loop


@Loop
def senders(context, vectors, a, b, c, along, gate, x, y, v):  # type: ignore[no-untyped-def]
    """Write what atoms send."""
    features = x.shape[1]
    for n in numba.prange(len(x)):
        for f in range(features):
            x[n, f] = context[n, a, f]
        for f in range(features):
            y[n, f] = along * context[n, b, f]
        for k in range(3):
            for f in range(features):
                v[n, k, f] = gate * context[n, c, f] * vectors[n, k, f]


@Loop
def senders_back(  # type: ignore[no-untyped-def]
    context, vectors, a, b, c, along, gate, by_x, by_y, by_v, by_context, by_vectors
):
    """Write the slopes of `senders`."""
    features = by_x.shape[1]
    for n in numba.prange(len(by_x)):
        for f in range(features):
            by_context[n, a, f] = by_x[n, f]
        for f in range(features):
            by_context[n, b, f] = along * by_y[n, f]
        for f in range(features):
            total = by_v[n, 0, f] * vectors[n, 0, f] + by_v[n, 1, f] * vectors[n, 1, f]
            by_context[n, c, f] = gate * (total + by_v[n, 2, f] * vectors[n, 2, f])
        for k in range(3):
            for f in range(features):
                by_vectors[n, k, f] = gate * context[n, c, f] * by_v[n, k, f]


@Loop
def invariants(scalars, mixed, scale, least, joined, product, left):  # type: ignore[no-untyped-def]
    """Write scalars beside lengths, products and left vectors."""
    features = scalars.shape[1]
    for n in numba.prange(len(scalars)):
        for f in range(features):
            joined[n, 0, f] = scalars[n, f]
        for f in range(features):
            square = mixed[n, 0, 1, f] ** 2 + mixed[n, 1, 1, f] ** 2
            square += mixed[n, 2, 1, f] ** 2
            joined[n, 1, f] = math.sqrt(square + least)
        for f in range(features):
            total = mixed[n, 0, 0, f] * mixed[n, 0, 1, f]
            total += mixed[n, 1, 0, f] * mixed[n, 1, 1, f]
            product[n, f] = scale * (total + mixed[n, 2, 0, f] * mixed[n, 2, 1, f])
        for k in range(3):
            for f in range(features):
                left[n, k, f] = mixed[n, k, 0, f]


@Loop
def invariants_back(  # type: ignore[no-untyped-def]
    mixed, joined, scale, by_joined, by_product, by_left, by_scalars, by_mixed
):
    """Write the slopes of `invariants`."""
    features = by_product.shape[1]
    for n in numba.prange(len(by_product)):
        for f in range(features):
            by_scalars[n, f] = by_joined[n, 0, f]
        for k in range(3):
            for f in range(features):
                other = mixed[n, k, 1, f]
                by_mixed[n, k, 0, f] = by_left[n, k, f] + scale * by_product[n, f] * other
            for f in range(features):
                by_mixed[n, k, 1, f] = scale * by_product[n, f] * mixed[n, k, 0, f]
            for f in range(features):
                by_mixed[n, k, 1, f] += by_joined[n, 1, f] / joined[n, 1, f] * mixed[n, k, 1, f]


@Loop
def updated(  # type: ignore[no-untyped-def]
    gates, product, left, scalars, vectors, a, b, c, factor, new_scalars, new_vectors
):
    """Write the new scalars and vectors."""
    features = scalars.shape[1]
    for n in numba.prange(len(scalars)):
        for f in range(features):
            change = gates[n, a, f] + gates[n, b, f] * product[n, f]
            new_scalars[n, f] = scalars[n, f] + factor * change
        for k in range(3):
            for f in range(features):
                new_vectors[n, k, f] = vectors[n, k, f] + gates[n, c, f] * left[n, k, f]


@Loop
def updated_back(  # type: ignore[no-untyped-def]
    gates, product, left, a, b, c, factor, by_s, by_v, by_gates, by_product, by_left
):
    """Write the slopes of `updated`."""
    features = by_s.shape[1]
    for n in numba.prange(len(by_s)):
        for f in range(features):
            by_gates[n, a, f] = factor * by_s[n, f]
        for f in range(features):
            by_gates[n, b, f] = factor * by_s[n, f] * product[n, f]
        for f in range(features):
            total = by_v[n, 0, f] * left[n, 0, f] + by_v[n, 1, f] * left[n, 1, f]
            by_gates[n, c, f] = total + by_v[n, 2, f] * left[n, 2, f]
        for f in range(features):
            by_product[n, f] = factor * by_s[n, f] * gates[n, b, f]
        for k in range(3):
            for f in range(features):
                by_left[n, k, f] = by_v[n, k, f] * gates[n, c, f]
