"""Joining and splitting of tensors, each the derivative of the other to any order.

Torch's own second derivatives of them write a whole tensor of zeros for every piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


def join(parts: Sequence[Tensor], dim: int) -> Tensor:
    """Return the tensors one after the other along `dim`."""
    return cast("Tensor", _Join.apply(dim, *parts))


def split(whole: Tensor, pieces: int, dim: int) -> tuple[Tensor, ...]:
    """Return contiguous pieces of equal size along `dim`."""
    sizes = (whole.shape[dim] // pieces,) * pieces
    return cast("tuple[Tensor, ...]", _Split.apply(whole, sizes, dim))


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, dim: int, *parts: Tensor) -> Tensor:
        ctx.dim, ctx.sizes = dim, tuple(part.shape[dim] for part in parts)
        return torch.cat(parts, dim)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        return None, *_Split.apply(slope, ctx.sizes, ctx.dim)


class _Split(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, whole: Tensor, sizes: tuple[int, ...], dim: int) -> tuple[Tensor, ...]:
        ctx.dim = dim
        return tuple(part.contiguous() for part in whole.split(sizes, dim))

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        return _Join.apply(ctx.dim, *slopes), None, None
