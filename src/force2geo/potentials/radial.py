"""Distances as features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from force2geo.potentials.pieces import join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from force2geo.potentials.pairs import Pairs

# Pairs are multiplied in bands of so many Gaussians, each with at least so many pairs: narrow
# bands excite fewer Gaussians, small products are slow.
_BANDS, _BAND_PAIRS = (4, 16), 256
# Gaussians further than this many spacings are below the precision: exp(-k²/2).
_REACH = {torch.float32: 6, torch.float64: 9}


@dataclass
class Excited:
    """Radial features of P pairs in the order of distance, without the many that are zero.

    A part holds the features (p, K+1) of pairs of like distance for the Gaussians `begin` to
    `end`, and in its last column what multiplies a layer's bias.
    """

    parts: list[tuple[Tensor, int, int]]

    def through(self, layer: nn.Linear, chunks: Sequence[int] = (0,), of: int = 1) -> Tensor:
        """Return (P, outputs) of a linear layer on all Gaussians.

        Its outputs are taken as `of` equal chunks, of which those of the given numbers come side
        by side.
        """
        weights, biases = layer.weight.chunk(of), layer.bias.chunk(of)
        weight = torch.cat([weights[chunk] for chunk in chunks]).t()
        bias = torch.cat([biases[chunk] for chunk in chunks])[None]
        rows = [values @ torch.cat([weight[begin:end], bias]) for values, begin, end in self.parts]
        return join(rows, 0)


class GaussianBasis(nn.Module):
    """Gaussians evenly spaced on [0, cutoff], as wide as they are apart (SchNet, eq. 4)."""

    centres: Tensor

    def __init__(self, size: int, cutoff: float) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(0.0, cutoff, size))
        self.spacing = float(self.centres[1] - self.centres[0])
        self.coefficient = -0.5 / self.spacing**2

    def forward(self, distance: Tensor, pairs: Pairs, scale: Tensor | None = None) -> Excited:
        """Return features of (P,) distances in Å, in the pairs' order, times `scale` (P,).

        A distance excites about a dozen Gaussians of 128; of sorted pairs only those are computed.
        """
        size = len(self.centres)
        if scale is None:
            scale = torch.ones_like(distance)
        if pairs.sorted is None or not len(distance):
            return Excited([(self._part(distance, scale, 0, size), 0, size)])
        reach = _REACH[distance.dtype]
        width = min(max(size * _BAND_PAIRS // len(distance), _BANDS[0]), _BANDS[1])
        bounds = torch.arange(width, size + width, width, dtype=distance.dtype) * self.spacing
        stops = torch.searchsorted(pairs.sorted.distance, bounds).tolist()
        stops[-1] = len(distance)  # and those that are no numbers
        parts, start = [], 0
        for band, stop in enumerate(stops):
            if stop > start:
                begin = max(0, band * width - reach)
                end = min(size, (band + 1) * width + reach + 1)
                part = self._part(distance[start:stop], scale[start:stop], begin, end)
                parts.append((part, begin, end))
                start = stop
        return Excited(parts)

    def _part(self, distance: Tensor, scale: Tensor, begin: int, end: int) -> Tensor:
        away = distance[:, None] - self.centres[begin:end]
        values = torch.exp(self.coefficient * away**2) * scale[:, None]
        return torch.cat([values, scale[:, None]], dim=1)


class CosineEnvelope(nn.Module):
    """Behler's cosine cutoff: 1 at 0, and 0 with zero slope at the cutoff."""

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def forward(self, distance: Tensor) -> Tensor:
        """Return (P,) weights of (P,) distances in Å."""
        inside = distance.clamp(max=self.cutoff)
        return 0.5 * (1.0 + torch.cos(torch.pi * inside / self.cutoff))
