"""Losses by name: how the errors of a batch become one number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable


def _rmse(weights: Tensor, size: Tensor, square: Tensor, delta: float) -> Tensor:
    # The constant keeps the root's gradient finite at a perfect prediction.
    return torch.sqrt((weights * square).mean() + 1e-12)


def _huber(weights: Tensor, size: Tensor, square: Tensor, delta: float) -> Tensor:
    """Return the mean of Huber's function in the errors' unit: e²/2δ up to δ, then e − δ/2."""
    return (weights * torch.where(size < delta, square / (2 * delta), size - delta / 2)).mean()


# Each takes weights, sizes of errors, their squares and Huber's δ.
_LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor, float], Tensor]] = {
    "mae": lambda weights, size, square, delta: (weights * size).mean(),
    "mse": lambda weights, size, square, delta: (weights * square).mean(),
    "rmse": _rmse,
    "huber": _huber,
}


def check_loss(name: str) -> str:
    """Return `name`, or raise `UserError` with those there are."""
    if name not in _LOSSES:
        raise UserError(f"loss: unknown name '{name}', choose one of {', '.join(_LOSSES)}")
    return name


def of_numbers(name: str, errors: Tensor, delta: float) -> Tensor:
    """Return the loss of errors (n,)."""
    return _LOSSES[name](torch.ones_like(errors), errors.abs(), errors**2, delta)


def of_vectors(name: str, errors: Tensor, weights: Tensor, delta: float) -> Tensor:
    """Return the loss of vectors' errors (n,3), of which the length counts, times `weights` (n,).

    `mse` is per vector, three times that per component.
    """
    square = (errors**2).sum(dim=1)
    return _LOSSES[name](weights, torch.sqrt(square + 1e-8), square, delta)
