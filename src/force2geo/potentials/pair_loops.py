"""The sums of `pair_sums` as compiled loops over pairs, for CPUs.

One molecule is one thread's, so that no two write to one atom and results do not depend on the
number of threads.
"""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

import numba
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from force2geo.potentials.pairs import Pairs

# Sums may be reordered and products fused; infinities and NaN keep their meaning.
_MATH = {"reassoc", "contract", "nsz"}
_MOST_THREADS = numba.config.NUMBA_NUM_THREADS


class _Loop:
    """A loop compiled for one thread and for several, each when it is first called.

    A pool of threads that waits for work keeps its cores busy: with one thread there is none.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        plain = cast("FunctionType", function)
        self.serial = _compile(plain, "serial", parallel=False)
        self.parallel = _compile(plain, "parallel", parallel=True)

    def __call__(self, *arrays: Any) -> None:
        threads = torch.get_num_threads()
        if threads == 1:
            self.serial(*arrays)
            return
        numba.set_num_threads(min(threads, _MOST_THREADS))
        self.parallel(*arrays)


def _compile(function: FunctionType, name: str, parallel: bool) -> Callable[..., None]:
    # The compiled code is kept under the function's name: two kinds need two names.
    named = FunctionType(function.__code__, function.__globals__, function.__name__)
    named.__qualname__ = f"{function.__qualname__}_{name}"
    named.__module__ = function.__module__
    try:
        return numba.njit(parallel=parallel, fastmath=_MATH, cache=True)(named)
    except RuntimeError:  # no folder to keep the compiled code in
        return numba.njit(parallel=parallel, fastmath=_MATH)(named)


@_Loop
def _three_node(sender, weights, first, second, row, ptr, out) -> None:  # type: ignore[no-untyped-def]
    for molecule in numba.prange(len(ptr) - 1):
        for pair in range(ptr[molecule], ptr[molecule + 1]):
            i, j, p = first[pair], second[pair], row[pair]
            for c in range(sender.shape[1]):
                for f in range(sender.shape[2]):
                    out[i, c, f] += sender[j, c, f] * weights[p, f]
                for f in range(sender.shape[2]):
                    out[j, c, f] += sender[i, c, f] * weights[p, f]


@_Loop
def _three_pair(receiver, sender, first, second, row, ptr, out) -> None:  # type: ignore[no-untyped-def]
    for molecule in numba.prange(len(ptr) - 1):
        for pair in range(ptr[molecule], ptr[molecule + 1]):
            i, j, p = first[pair], second[pair], row[pair]
            for c in range(sender.shape[1]):
                for f in range(sender.shape[2]):
                    out[p, f] += (
                        receiver[i, c, f] * sender[j, c, f] + receiver[j, c, f] * sender[i, c, f]
                    )


@_Loop
def _four_receiver(sender, weights, directions, first, second, row, ptr, out) -> None:  # type: ignore[no-untyped-def]
    for molecule in numba.prange(len(ptr) - 1):
        for pair in range(ptr[molecule], ptr[molecule + 1]):
            i, j, p = first[pair], second[pair], row[pair]
            for c in range(3):
                u = directions[p, c]
                for f in range(sender.shape[1]):
                    out[i, c, f] += u * weights[p, f] * sender[j, f]
                for f in range(sender.shape[1]):
                    out[j, c, f] -= u * weights[p, f] * sender[i, f]


@_Loop
def _four_sender(receiver, weights, directions, first, second, row, ptr, out) -> None:  # type: ignore[no-untyped-def]
    for molecule in numba.prange(len(ptr) - 1):
        for pair in range(ptr[molecule], ptr[molecule + 1]):
            i, j, p = first[pair], second[pair], row[pair]
            x, y, z = directions[p, 0], directions[p, 1], directions[p, 2]
            for f in range(weights.shape[1]):
                along = x * receiver[i, 0, f] + y * receiver[i, 1, f] + z * receiver[i, 2, f]
                out[j, f] += weights[p, f] * along
            for f in range(weights.shape[1]):
                along = x * receiver[j, 0, f] + y * receiver[j, 1, f] + z * receiver[j, 2, f]
                out[i, f] -= weights[p, f] * along


@_Loop
def _four_weights(receiver, sender, directions, first, second, row, ptr, out) -> None:  # type: ignore[no-untyped-def]
    for molecule in numba.prange(len(ptr) - 1):
        for pair in range(ptr[molecule], ptr[molecule + 1]):
            i, j, p = first[pair], second[pair], row[pair]
            x, y, z = directions[p, 0], directions[p, 1], directions[p, 2]
            for f in range(sender.shape[1]):
                there = x * receiver[i, 0, f] + y * receiver[i, 1, f] + z * receiver[i, 2, f]
                back = x * receiver[j, 0, f] + y * receiver[j, 1, f] + z * receiver[j, 2, f]
                out[p, f] = sender[j, f] * there - sender[i, f] * back


@_Loop
def _four_directions(receiver, sender, weights, first, second, row, ptr, out) -> None:  # type: ignore[no-untyped-def]
    for molecule in numba.prange(len(ptr) - 1):
        for pair in range(ptr[molecule], ptr[molecule + 1]):
            i, j, p = first[pair], second[pair], row[pair]
            for c in range(3):
                total = out[p, c]
                for f in range(sender.shape[1]):
                    total += weights[p, f] * (
                        receiver[i, c, f] * sender[j, f] - receiver[j, c, f] * sender[i, f]
                    )
                out[p, c] = total


_FOUR = {"G": _four_receiver, "X": _four_sender, "W": _four_weights, "U": _four_directions}


def _run(
    loop: Callable[..., None], factors: tuple[Tensor, ...], pairs: Pairs, out: Tensor
) -> Tensor:
    arrays: list[Any] = [factor.detach().numpy() for factor in factors]
    assert pairs.sorted is not None
    kept = pairs.first, pairs.second, pairs.sorted.row, pairs.sorted.ptr
    places = [tensor.numpy() for tensor in kept]
    loop(*arrays, *places, out.numpy())
    return out


def three(kind: str, one: Tensor, other: Tensor, pairs: Pairs) -> Tensor:
    """Return a derivative of `pair_sums.three`."""
    if kind == "node":
        return _run(_three_node, (one, other), pairs, torch.zeros_like(one))
    return _run(_three_pair, (one, other), pairs, one.new_zeros(len(pairs), one.shape[2]))


def four(kind: str, factors: tuple[Tensor, ...], pairs: Pairs) -> Tensor:
    """Return a derivative of `pair_sums.four`."""
    features = factors[0].shape[-1]
    shape = {
        "G": (pairs.atoms, 3, features),
        "X": (pairs.atoms, features),
        "W": (len(pairs), features),
        "U": (len(pairs), 3),
    }[kind]
    return _run(_FOUR[kind], factors, pairs, factors[0].new_zeros(shape))
