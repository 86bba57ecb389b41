"""How far a prediction can be trusted, in a word and its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from force2geo.potentials.domain import Domain
    from force2geo.prediction.ensemble import Ensemble

IN, UNKNOWN, EDGE, OUTSIDE = WORDS = "in", "unknown", "edge", "outside"
"""From the best to the worst; of several the worst is told."""

FAR = 1.5
"""A molecule farther from training than so many times what 95 % of it are from one another is
outside."""
_STRETCH = 1.25  # sizes beyond the training set's by no more than this are at its edge
_SPREAD = (0.5, 1.0)  # of the error that 95 % of validation do not exceed: at the edge, outside


def judged(
    ensemble: Ensemble,
    numbers: np.ndarray,
    values: Mapping[str, np.ndarray],
    distances: np.ndarray,
) -> tuple[str, str]:
    """Return the word for a molecule of elements (n,), and why; no reason where it is in.

    `values` by property (K,) are what its models say, `distances` (M,) how far it is from the
    training set of each model.
    """
    domains = [model.domain for model in ensemble.models]
    told = [
        *_size(numbers, [domain for domain in domains if domain is not None]),
        *_distance(distances),
        *_spread(ensemble, values, domains),
    ]
    if not told:
        return IN, ""
    word = max((word for word, _ in told), key=WORDS.index)
    return word, "; ".join(reason for _, reason in told)


def worse(one: tuple[str, str], other: tuple[str, str]) -> tuple[str, str]:
    """Return the worse of two words and the reasons of both; an empty word says nothing."""
    word = max(one[0], other[0], key=lambda word: WORDS.index(word) if word else -1)
    return word, "; ".join(reason for _, reason in (other, one) if reason)


def _size(numbers: np.ndarray, domains: list[Domain]) -> list[tuple[str, str]]:
    if not domains:
        return []
    told = []
    for what, count, ranges in (
        ("atoms", len(numbers), [domain.atoms for domain in domains]),
        ("heavy atoms", int((numbers > 1).sum()), [domain.heavy for domain in domains]),
    ):
        least, most = max(low for low, _ in ranges), min(high for _, high in ranges)
        if not least <= count <= most:
            near = least / _STRETCH <= count <= most * _STRETCH
            told.append(
                (EDGE if near else OUTSIDE, f"{count} {what}, training had {least} to {most}")
            )
    return told


def _distance(distances: np.ndarray) -> list[tuple[str, str]]:
    if np.isnan(distances).any():
        return [(UNKNOWN, "unknown distance: the model keeps no features of its training set")]
    distance = far_off(distances)
    if distance <= 1:
        return []
    word = EDGE if distance <= FAR else OUTSIDE
    return [(word, f"{distance:.2g} times as far from training as 95 % of it from the rest")]


def far_off(distances: np.ndarray) -> float:
    """Return how far from training a molecule is, the median over models (M,)."""
    return float(np.median(distances))


def _spread(
    ensemble: Ensemble, values: Mapping[str, np.ndarray], domains: list[Domain | None]
) -> list[tuple[str, str]]:
    told = []
    for name, own in values.items():
        known = [domain for place in ensemble.of[name] if (domain := domains[place]) is not None]
        if len(own) < 2 or not known:
            continue
        error = float(np.mean([domain.errors[name] for domain in known]))
        spread = spread_of(own)
        edge, outside = (part * error for part in _SPREAD)
        if spread > edge:
            unit = ensemble.units[name]
            told.append(
                (
                    EDGE if spread <= outside else OUTSIDE,
                    f"models differ by {spread:.2g} {unit} in {name}, 95 % of validation's errors "
                    f"are below {error:.2g} {unit}",
                )
            )
    return told


def spread_of(values: np.ndarray) -> float:
    """Return the standard deviation of models (K,), NaN of one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
