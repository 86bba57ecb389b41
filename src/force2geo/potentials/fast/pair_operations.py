"""The sums of `pair_sums` as torch operations, for GPUs and for tracing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from force2geo.potentials.pairs import Pairs


def scalar(kind: str, one: Tensor, other: Tensor, pairs: Pairs) -> Tensor:
    """Return a derivative of SchNet's form (`pair_sums`)."""
    first, second = pairs.ends
    if kind == "pair":
        there = one.index_select(0, first) * other.index_select(0, second)
        return there + one.index_select(0, second) * other.index_select(0, first)
    return _to_ends(pairs, one.index_select(0, second) * other, one.index_select(0, first) * other)


def _to_ends(pairs: Pairs, to_first: Tensor, to_second: Tensor) -> Tensor:
    """Return the sums (N,…) of what pairs (P,…) give to their first and second atoms."""
    first, second = pairs.ends
    result = to_first.new_zeros(pairs.atoms, *to_first.shape[1:])
    return result.index_add_(0, first, to_first).index_add_(0, second, to_second)


def painn(kind: str, pairs: Pairs, whole: bool, factors: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Return the derivatives of PaiNN's form by the factors `kind` (`pair_sums`)."""
    first, second = pairs.ends
    features = factors["X" if "X" in factors else "H" if "H" in factors else "Y"].shape[-1]
    i = {key: factors[key].index_select(0, first) for key in "GHXY" if key in factors}
    j = {key: factors[key].index_select(0, second) for key in "GHXY" if key in factors}
    # Without vectors there is no third filter, and nothing is received or sent along it.
    vectors = whole and (
        factors["V"].shape[0] > 0 if "V" in factors else factors["W"].shape[1] == 3 * features
    )
    if vectors and "V" in factors:
        i["V"] = factors["V"].index_select(0, first)
        j["V"] = factors["V"].index_select(0, second)
    w: tuple[Tensor, ...] = factors["W"].split(features, dim=1) if "W" in factors else ()
    if kind == "U":
        there, back = i["H"] * j["Y"][:, None], j["H"] * i["Y"][:, None]
        return (((there - back) * w[1][:, None]).sum(dim=2),)
    u = factors["U"][:, :, None]
    if kind == "GH":
        zeros = i["X"].new_zeros(pairs.atoms, features)
        to_scalars = _to_ends(pairs, w[0] * j["X"], w[0] * i["X"]) if whole else zeros
        along = w[1][:, None] * u
        to_first, to_second = along * j["Y"][:, None], -along * i["Y"][:, None]
        if vectors:
            to_first = to_first + w[2][:, None] * j["V"]
            to_second = to_second + w[2][:, None] * i["V"]
        return to_scalars, _to_ends(pairs, to_first, to_second)
    along_i, along_j = (i["H"] * u).sum(dim=1), (j["H"] * u).sum(dim=1)
    if kind == "XYV":
        zeros = i["H"].new_zeros(pairs.atoms, features)
        by_x = _to_ends(pairs, w[0] * j["G"], w[0] * i["G"]) if whole else zeros
        by_y = _to_ends(pairs, -w[1] * along_j, w[1] * along_i)
        by_v = i["H"].new_zeros(pairs.atoms if len(w) == 3 else 0, 3, features)
        if vectors:
            by_v = _to_ends(pairs, w[2][:, None] * j["H"], w[2][:, None] * i["H"])
        return by_x, by_y, by_v
    zeros = torch.zeros_like(along_i)
    parts = [i["G"] * j["X"] + j["G"] * i["X"] if whole else zeros]
    parts.append(j["Y"] * along_i - i["Y"] * along_j)
    if factors["V"].shape[0] > 0:
        both = (i["H"] * j["V"] + j["H"] * i["V"]).sum(dim=1) if vectors else zeros
        parts.append(both)
    return (torch.cat(parts, dim=1),)
