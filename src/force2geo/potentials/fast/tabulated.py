"""Filters looked up in a table over distances instead of computed for each pair, on CPUs.

A filter is a smooth function of one distance, and a batch has many times more pairs than it takes
points to know the function to the last digit of single precision. So filters are computed at
points of the distance, and those of pairs are cubics through the four points around them. Pairs
are sorted by distance, so that what one reads from the table is there from the one before it.

Their slopes by the distance would be good to fewer digits: nothing that is differentiated by
positions takes this path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numba
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from force2geo.potentials.fast.loops import Loop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from force2geo.potentials.fast.radial import Excited

# Between two Gaussians. Cubics are then 0.07 / 24⁴ of a Gaussian's height off at most (at the very
# ends 0.13 / 24⁴), twice what single precision can tell.
PER_SPACING = 24

_WORTH = 2  # pairs for each point
_WIDTH = 64  # features that a thread takes


@dataclass
class Tabulated:
    """Radial features of P pairs, sorted by distance, as (P,4) shares of the points from `first`.

    `points` are the radial features of the table's distances.
    """

    points: Excited
    first: Tensor
    shares: Tensor

    def through(self, layer: nn.Module, chunks: Sequence[int] = (0,), of: int = 1) -> Tensor:
        """Return (P, outputs) of a layer, as `Excited.through`; it is called with the points."""
        return self.apply(lambda points: points.through(layer, chunks, of))

    def apply(self, filters: Callable[[Excited], Tensor]) -> Tensor:
        """Return (P, outputs) of a network of the distance, as `Excited.apply`."""
        return cast("Tensor", _LookUp.apply(filters(self.points), self.first, self.shares))


def points_of(size: int) -> int:
    """Return how many points a table of `size` Gaussians has."""
    return (size - 1) * PER_SPACING + 1


def worthwhile(distance: Tensor, size: int) -> bool:
    """Say whether filters of (P,) distances are had sooner by a table, and as well."""
    single = distance.dtype == torch.float32
    return single and not distance.requires_grad and len(distance) >= _WORTH * points_of(size)


def look_up(points: Excited, spacing: float, distance: Tensor, scale: Tensor | None) -> Tabulated:
    """Return the features of (P,) distances in Å, ascending, times `scale` (P,)."""
    place = distance / spacing
    # A distance that is no number takes any points, with shares that are none.
    second = place.long().clamp(1, len(points.distance) - 3)
    s = place - second
    before, after, last = s + 1, s - 1, s - 2
    shares = [-s * after * last / 6, before * after * last / 2, -before * s * last / 2]
    whole = torch.stack([*shares, before * s * after / 6], dim=1)
    return Tabulated(points, second - 1, whole if scale is None else whole * scale[:, None])


class _LookUp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, first: Tensor, shares: Tensor) -> Tensor:
        ctx.save_for_backward(first, shares)
        ctx.points = len(table)
        out = table.new_empty(len(first), table.shape[1])
        _read(_blocks(table.contiguous()), first, shares, _blocks(out))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        first, shares = ctx.saved_tensors
        by_table = slope.new_zeros(ctx.points, slope.shape[1])
        _add(_blocks(slope.contiguous()), first, shares, _blocks(by_table))
        return by_table, None, None


def _blocks(rows: Tensor) -> Tensor:
    """Return rows of features as (rows, blocks, features of a block)."""
    features = rows.shape[1]
    return rows.unflatten(1, (-1, _WIDTH if features % _WIDTH == 0 else features))


@Loop
def _read(table, first, shares, out) -> None:  # type: ignore[no-untyped-def]
    for pair in numba.prange(len(first)):
        k = first[pair]
        a, b, c, d = shares[pair, 0], shares[pair, 1], shares[pair, 2], shares[pair, 3]
        for block in range(out.shape[1]):
            for f in range(out.shape[2]):
                low = a * table[k, block, f] + b * table[k + 1, block, f]
                high = c * table[k + 2, block, f] + d * table[k + 3, block, f]
                out[pair, block, f] = low + high


@Loop
def _add(slope, first, shares, by_table) -> None:  # type: ignore[no-untyped-def]
    # A block is one thread's, so that no two write to one place.
    for block in numba.prange(slope.shape[1]):
        for pair in range(len(first)):
            for point in range(4):
                k, share = first[pair] + point, shares[pair, point]
                for f in range(slope.shape[2]):
                    by_table[k, block, f] += share * slope[pair, block, f]
