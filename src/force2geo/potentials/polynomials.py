"""Products of tensors of several degrees: which there are, their coefficients, and polynomials.

Tensors of an atom are (N,D,F) with D = (degree + 1)²: all components of degree 0, then of degree 1,
and so on, each with F channels, which stand last so that products over channels are contiguous.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from e3nn import o3
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterable


class Path(NamedTuple):
    """A product of degrees `left` and `right` that gives degree `out`, and of which parity."""

    left: int
    right: int
    out: int
    parity: int


def span(degree: int) -> slice:
    """Return where the components of a degree stand."""
    return slice(degree**2, (degree + 1) ** 2)


def paths_to(lefts: Iterable[tuple[int, int]], degree: int, even: bool, most: int) -> list[Path]:
    """Return the products of tensors (degree, parity) with harmonics, up to a degree `most`."""
    found = []
    for (left, sign), right in product(lefts, range(degree + 1)):
        parity = sign * parity_of(right, even)
        found += [
            Path(left, right, out, parity)
            for out in range(abs(left - right), min(left + right, most) + 1)
        ]
    return found


def parity_of(degree: int, even: bool) -> int:
    """Return the parity of harmonics of a degree: their own, or 1 where all count as even."""
    return 1 if even else (-1) ** degree


def own_paths(degree: int, even: bool) -> list[Path]:
    """Return the products of harmonics that are again of the harmonics' kind."""
    own = [(one, parity_of(one, even)) for one in range(degree + 1)]
    return [path for path in paths_to(own, degree, even, degree) if (path.out, path.parity) in own]


def coupling(left: int, right: int, out: int) -> Tensor:
    """Return Clebsch-Gordan coefficients (out, left, right), a sum of squares of 2·out + 1."""
    three = o3.wigner_3j(out, left, right, dtype=torch.float64)
    return three * math.sqrt(2 * out + 1)


class Constants(nn.Module):
    """Base of modules with fixed coefficients, which are in no checkpoint.

    They are remembered in float64 and rounded from there whatever precision the weights get.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exact: dict[str, Tensor] = {}

    def keep(self, **values: Tensor) -> None:
        """Keep numbers, made in float64, as buffers in the default precision."""
        for name, exact in values.items():
            self._exact[name] = exact
            self.register_buffer(name, exact.to(torch.get_default_dtype()), persistent=False)

    def _apply(self, fn: Any, recurse: bool = True) -> Constants:
        super()._apply(fn, recurse)
        for name, exact in self._exact.items():
            held = getattr(self, name)
            setattr(self, name, exact.to(held))
        return self


def random(*shape: int) -> nn.Parameter:
    """Return weights that are normal numbers to begin with."""
    return nn.Parameter(torch.randn(*shape))


class Polynomial(Constants):
    """Weighted products of one, two and three linear maps of an atom's tensors.

    A product of three is one of the first two, of any degree and parity, with the third. Weights
    are by element. Only what ends in `most` degrees is made.
    """

    pairs: Tensor
    thirds: Tensor

    def __init__(self, degree: int, features: int, even: bool, elements: int, most: int) -> None:
        super().__init__()
        self.most = most
        self.maps = random(degree + 1, features, 3 * features)
        own = [(one, parity_of(one, even)) for one in range(degree + 1)]
        pairs = paths_to(own, degree, even, 2 * degree)
        groups = sorted({(path.out, path.parity) for path in pairs})
        ends = {
            group: [
                path
                for path in paths_to([group], degree, even, most)
                if path.parity == parity_of(path.out, even)
            ]
            for group in groups
        }
        groups = [group for group in groups if ends[group]]
        members = [[pair for pair in pairs if (pair.out, pair.parity) == group] for group in groups]
        # Pairs of tensors, sorted by group, from the outer product of the first two.
        rows = []
        for left, right, out, _ in (pair for some in members for pair in some):
            row = torch.zeros(2 * out + 1, (degree + 1) ** 2, (degree + 1) ** 2).double()
            row[:, span(left), span(right)] = coupling(left, right, out)
            rows.append(row)
        self.keep(pairs=torch.cat(rows).flatten(1))
        # Groups by what they end in with the third, which is multiplied last.
        self.keep(thirds=self._thirds([end for group in groups for end in ends[group]], degree))
        self.sizes = [
            (len(ends[group]), len(some), 2 * group[0] + 1)
            for group, some in zip(groups, members, strict=True)
        ]
        # A group of a kind that the outcome has is a product of two of its own.
        self.quadratic = [
            group[0] if group[0] <= most and group[1] == parity_of(group[0], even) else None
            for group in groups
        ]
        # As published, weights start as one over their number for a degree.
        outs = [
            end.out
            for group, some in zip(groups, members, strict=True)
            for end in ends[group]
            for _ in some
        ]
        squares = zip(self.quadratic, members, strict=True)
        self.cubic = self._weights(elements, outs, features)
        self.square = self._weights(
            elements, [out for out, some in squares if out is not None for _ in some], features
        )
        self.linear = random(elements, most + 1, features)
        self.update = random(most + 1, features, features)

    def _weights(self, elements: int, outs: list[int], features: int) -> nn.Parameter:
        counts = torch.tensor([outs.count(out) for out in outs])
        return nn.Parameter(torch.randn(elements, len(outs), features) / counts[:, None])

    def _thirds(self, ends: list[Path], degree: int) -> Tensor:
        """Return (outcomes·D, components of all ends): what the third is multiplied by."""
        components = (self.most + 1) ** 2
        columns = []
        for left, right, out, _ in ends:
            column = torch.zeros(components, (degree + 1) ** 2, 2 * left + 1, dtype=torch.float64)
            column[span(out), span(right)] = coupling(left, right, out).transpose(1, 2)
            columns.append(column.flatten(0, 1))
        return torch.cat(columns, dim=1)

    def forward(self, tensors: Tensor, kinds: Tensor) -> Tensor:
        """Return (N,(most + 1)²,F) of (N,D,F) and the elements' numbers (N,)."""
        atoms, components, features = tensors.shape
        mapped = by_degree(tensors, self.maps)
        first, second, third = mapped.chunk(3, dim=2)
        # In the published order: the second map stands first, and in the linear term.
        outer = (second[:, :, None] * first[:, None]).flatten(1, 2)
        pairs = (self.pairs @ outer).split([some * size for _, some, size in self.sizes], dim=1)
        cubic = self.cubic[kinds].split([ends * some for ends, some, _ in self.sizes], dim=1)
        square = self.square[kinds]
        ends, squares, used = [], {}, 0
        for pair, weight, size, out in zip(pairs, cubic, self.sizes, self.quadratic, strict=True):
            pair = pair.view(atoms, *size[1:], features)
            weight = weight.view(atoms, *size[:2], 1, features)
            ends.append((weight * pair[:, None]).sum(2).flatten(1, 2))
            if out is not None:
                own = square[:, used : used + size[1], None]
                squares[out], used = (own * pair).sum(1), used + size[1]
        by_third = (self.thirds @ torch.cat(ends, dim=1)).view(atoms, -1, components, features)
        linear = self.linear[kinds]
        below = [
            squares[out] + linear[:, out, None] * second[:, span(out)]
            for out in range(self.most + 1)
        ]
        total = torch.cat(below, dim=1) + (by_third * third[:, None]).sum(2)
        return by_degree(total, self.update)


def by_degree(tensors: Tensor, weights: Tensor) -> Tensor:
    """Return linear maps (degrees,F,G) of the channels of tensors (N,D,F), one for each degree."""
    scaled = weights / math.sqrt(weights.shape[1])
    return torch.cat([tensors[:, span(one)] @ each for one, each in enumerate(scaled)], dim=1)
