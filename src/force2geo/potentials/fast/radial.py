"""Distances as features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import torch
from torch import Tensor, nn

from force2geo.potentials.fast.torch_state import wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from force2geo.potentials.fast.tabulated import Tabulated
    from force2geo.potentials.pairs import Pairs

try:
    from force2geo.potentials.fast import tabulated
except ImportError:  # numba is not installed
    tabulated = None  # type: ignore[assignment]

# Pairs are multiplied in bands of so many Gaussians, each with at least so many pairs: narrow
# bands excite fewer Gaussians, small products are slow.
_BANDS, _BAND_PAIRS = (4, 16), 256
# So few Gaussians in all are not worth bands for the points of a table.
_SMALL = 64
# Gaussians further than this many spacings are below the precision: exp(-k²/2).
_REACH = {torch.float32: 6, torch.float64: 9}


@dataclass
class Excited:
    """Radial features of P pairs in the order of distance, without the many that are zero.

    A part holds the features (p, K+1) of pairs of like distance for the Gaussians `begin` to
    `end`, and in its last column what multiplies a layer's bias: `scale` (P,).
    """

    parts: list[tuple[Tensor, int, int]]
    basis: GaussianBasis
    distance: Tensor
    scale: Tensor

    def through(self, layer: nn.Module, chunks: Sequence[int] = (0,), of: int = 1) -> Tensor:
        """Return (P, outputs) of a layer on all Gaussians, times the scale.

        Its outputs are taken as `of` equal chunks, of which those of the given numbers come side
        by side. Of a plain linear layer the weights alone are used, with what is excited; any
        other, one that an adapter wraps or that has hooks, is called with all Gaussians.
        """
        if _is_plain(layer):
            return self.product(layer.weight, layer.bias, chunks, of)
        whole = layer(self.basis.gaussians(self.distance)) * self.scale[:, None]
        pieces = whole.chunk(of, dim=1)
        return torch.cat([pieces[chunk] for chunk in chunks], dim=1)

    def apply(self, filters: Callable[[Excited], Tensor]) -> Tensor:
        """Return (P, outputs) of a network of the distance."""
        return filters(self)

    def product(
        self, weight: Tensor, bias: Tensor, chunks: Sequence[int] = (0,), of: int = 1
    ) -> Tensor:
        """Return the same of a linear layer with `weight` (outputs,K) and `bias` (outputs,)."""
        weights, biases = weight.chunk(of), bias.chunk(of)
        weight = torch.cat([weights[chunk] for chunk in chunks]).t()
        bias = torch.cat([biases[chunk] for chunk in chunks])[None]
        if len(self.parts) == 1:
            values, begin, end = self.parts[0]
            return values @ torch.cat([weight[begin:end], bias])
        bounds = [(begin, end) for _, begin, end in self.parts]
        parts = [values for values, _, _ in self.parts]
        return cast("Tensor", _Through.apply(bounds, weight, bias, *parts))


def _is_plain(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Say whether calling a layer is no more than its product with a weight and a bias.

    Parametrisations are: they are behind the name of the weight.
    """
    linear = isinstance(layer, nn.Linear) and does_no_more_than(nn.Linear, layer)
    return linear and layer.bias is not None


def does_no_more_than(kind: type[nn.Module], layer: nn.Module) -> bool:
    """Say whether calling a layer runs `kind.forward` and no hook."""
    hooks = (
        layer._forward_hooks,
        layer._forward_pre_hooks,
        layer._backward_hooks,
        layer._backward_pre_hooks,
    )
    own = type(layer).forward is kind.forward and "forward" not in layer.__dict__
    return own and not any(hooks)


class _Through(torch.autograd.Function):
    """Products of parts with their Gaussians' weights (K,F) and the bias (1,F), row after row.

    Each is written where it belongs: put together afterwards, they would all be copied.
    """

    @staticmethod
    def forward(ctx: Any, bounds: Any, weight: Tensor, bias: Tensor, *parts: Tensor) -> Tensor:
        ctx.bounds = bounds
        ctx.save_for_backward(weight, bias, *parts)
        whole = weight.new_empty(sum(len(part) for part in parts), weight.shape[1])
        rows = whole.split([len(part) for part in parts])
        for part, row, (begin, end) in zip(parts, rows, bounds, strict=True):
            torch.mm(part, torch.cat([weight[begin:end], bias]), out=row)
        return whole

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        weight, bias, *parts = ctx.saved_tensors
        weights_too, _, *parts_too = wanted(ctx)
        by_weight, by_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        by_parts: list[Tensor | None] = []
        rows = slope.split([len(part) for part in parts])
        for part, row, (begin, end), too in zip(parts, rows, ctx.bounds, parts_too, strict=True):
            both = torch.cat([weight[begin:end], bias])
            by_parts.append(row @ both.t() if too else None)
            if weights_too:
                by_both = part.t() @ row
                by_weight[begin:end] += by_both[:-1]
                by_bias += by_both[-1:]
        return None, *((by_weight, by_bias) if weights_too else (None, None)), *by_parts


class GaussianBasis(nn.Module):
    """Gaussians evenly spaced on [0, cutoff], as wide as they are apart (SchNet, eq. 4)."""

    centres: Tensor

    def __init__(self, size: int, cutoff: float) -> None:
        super().__init__()
        self.register_buffer("centres", torch.linspace(0.0, cutoff, size))
        self._measure()
        # A checkpoint's centres may have been made in another precision.
        self.register_load_state_dict_post_hook(_measure_again)

    def _measure(self) -> None:
        self.spacing = float(self.centres[1] - self.centres[0])
        self.coefficient = -0.5 / self.spacing**2
        self._points: Excited | None = None

    def gaussians(self, distance: Tensor) -> Tensor:
        """Return (P,K) values of all Gaussians at (P,) distances in Å."""
        return self._values(distance, 0, len(self.centres))

    def _values(self, distance: Tensor, begin: int, end: int) -> Tensor:
        return torch.exp(self.coefficient * (distance[:, None] - self.centres[begin:end]) ** 2)

    def forward(
        self, distance: Tensor, pairs: Pairs, scale: Tensor | None = None
    ) -> Excited | Tabulated:
        """Return features of (P,) distances in Å, in the pairs' order, times `scale` (P,).

        A distance excites about a dozen Gaussians of 128; of sorted pairs only those are computed,
        and of many none: they are looked up in a table.
        """
        if pairs.sorted is None or not len(distance):
            return self._whole(distance, scale)
        if tabulated is not None and tabulated.worthwhile(distance, size := len(self.centres)):
            spacing = self.spacing / tabulated.PER_SPACING
            if self._points is None:
                # Those of a computation without slopes would not do in one with them.
                with torch.inference_mode(False):
                    distances = torch.arange(tabulated.points_of(size)) * spacing
                    small = size <= _SMALL
                    self._points = (self._whole if small else self._in_bands)(distances)
            return tabulated.look_up(self._points, spacing, distance, scale)
        return self._in_bands(distance, scale)

    def _whole(self, distance: Tensor, scale: Tensor | None = None) -> Excited:
        """Return features of (P,) distances in any order, all Gaussians."""
        scale = torch.ones_like(distance) if scale is None else scale
        size = len(self.centres)
        return Excited([(self._part(distance, scale, 0, size), 0, size)], self, distance, scale)

    def _in_bands(self, distance: Tensor, scale: Tensor | None = None) -> Excited:
        """Return features of (P,) ascending distances, without the many that are zero."""
        scale = torch.ones_like(distance) if scale is None else scale
        size = len(self.centres)
        width = min(max(size * _BAND_PAIRS // len(distance), _BANDS[0]), _BANDS[1])
        reach = _REACH[distance.dtype]
        bounds = torch.arange(width, size + width, width, dtype=distance.dtype) * self.spacing
        stops = torch.searchsorted(distance.detach(), bounds).tolist()
        stops[-1] = len(distance)  # and those that are no numbers
        parts, start = [], 0
        for band, stop in enumerate(stops):
            if stop > start:
                begin = max(0, band * width - reach)
                end = min(size, (band + 1) * width + reach + 1)
                part = self._part(distance[start:stop], scale[start:stop], begin, end)
                parts.append((part, begin, end))
                start = stop
        return Excited(parts, self, distance, scale)

    def _part(self, distance: Tensor, scale: Tensor, begin: int, end: int) -> Tensor:
        values = self._values(distance, begin, end) * scale[:, None]
        return torch.cat([values, scale[:, None]], dim=1)


def _measure_again(basis: GaussianBasis, _: Any) -> None:
    basis._measure()


class CosineEnvelope(nn.Module):
    """Behler's cosine cutoff: 1 at 0, and 0 with zero slope at the cutoff."""

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        self.cutoff = cutoff

    def forward(self, distance: Tensor) -> Tensor:
        """Return (P,) weights of (P,) distances in Å."""
        inside = distance.clamp(max=self.cutoff)
        return 0.5 * (1.0 + torch.cos(torch.pi * inside / self.cutoff))
