"""Losses by name: how the errors of a batch become one number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from force2geo.train.processes import mean

if TYPE_CHECKING:
    from collections.abc import Callable


def _huber(weights: Tensor, size: Tensor, square: Tensor, delta: float) -> Tensor:
    """Return Huber's function in the errors' unit: e²/2δ up to δ, then e − δ/2."""
    return weights * torch.where(size < delta, square / (2 * delta), size - delta / 2)


# Each takes weights, sizes of errors, their squares and Huber's δ, and gives what is averaged.
_LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor, float], Tensor]] = {
    "mae": lambda weights, size, square, delta: weights * size,
    "mse": lambda weights, size, square, delta: weights * square,
    "rmse": lambda weights, size, square, delta: weights * square,
    "huber": _huber,
}


def _loss(name: str, weights: Tensor, size: Tensor, square: Tensor, delta: float) -> Tensor:
    """Return the loss over all processes: a root of their mean, not a mean of their roots."""
    average = mean(_LOSSES[name](weights, size, square, delta))
    # The constant keeps the root's gradient finite at a perfect prediction.
    return torch.sqrt(average + 1e-12) if name == "rmse" else average


def of_numbers(name: str, errors: Tensor, delta: float) -> Tensor:
    """Return the loss of errors (n,)."""
    return _loss(name, torch.ones_like(errors), errors.abs(), errors**2, delta)


def of_vectors(name: str, errors: Tensor, weights: Tensor, delta: float) -> Tensor:
    """Return the loss of vectors' errors (n,3), of which the length counts, times `weights` (n,).

    `mse` is per vector, three times that per component.
    """
    square = (errors**2).sum(dim=1)
    return _loss(name, weights, torch.sqrt(square + 1e-8), square, delta)
