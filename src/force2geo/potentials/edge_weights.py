"""Weights of edges learned from their distances, as Equiformer has them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Radial(nn.Sequential):
    """Weights of edges from the basis (P,B) of their distances, each twice: there and back."""

    def __init__(self, basis_size: int, hidden: int, outputs: int) -> None:
        layers: list[nn.Module] = []
        for size in (basis_size, hidden):
            linear = nn.Linear(size, hidden)
            nn.init.zeros_(linear.bias)
            layers += [linear, nn.LayerNorm(hidden), nn.SiLU()]
        super().__init__(*layers, nn.Linear(hidden, outputs))

    def forward(self, basis: Tensor) -> Tensor:
        """Return (E,outputs)."""
        return super().forward(basis).repeat(2, 1)


class GaussianBasis(nn.Module):
    """Normal densities of distance over cutoff, their places and widths learned."""

    def __init__(self, size: int, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff
        self.mean = nn.Parameter(torch.rand(size))
        self.deviation = nn.Parameter(torch.empty(size).uniform_(1 / size, 1))
        self.stretch, self.shift = nn.Parameter(torch.ones(1)), nn.Parameter(torch.zeros(1))

    def forward(self, distance: Tensor) -> Tensor:
        """Return (P,B)."""
        width = self.deviation.abs() + 1e-5
        x = self.stretch * (distance / self.cutoff)[:, None] + self.shift
        return torch.exp(-0.5 * ((x - self.mean) / width).square()) / (
            math.sqrt(2 * math.pi) * width
        )
