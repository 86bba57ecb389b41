"""What networks of distances, angles and torsions share: bases, and atoms around an atom.

Angles and torsions never appear as such. Spherical harmonics are polynomials of a direction's
components, so that nothing is divided by the sine of an angle and slopes stay finite where three
atoms are in line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from force2geo.potentials.pairs import occurrences

if TYPE_CHECKING:
    from force2geo.potentials.graph import Graph

_NEAREST = 1e-4  # Å; atoms that coincide count as so far apart, and have no direction


def polar(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Return lengths (E,) Å and directions (E,3) of vectors, with finite slopes at length 0."""
    length = vectors.square().sum(1).clamp_min(_NEAREST**2).sqrt()
    return length, vectors / length[:, None]


def sum_into(values: Tensor, index: Tensor, rows: int) -> Tensor:
    """Return (rows,F) sums of the values (E,F) that belong to each row."""
    return values.new_zeros(rows, values.shape[1]).index_add(0, index, values)


@dataclass(frozen=True)
class Around:
    """The edges that reach an atom, side by side: N atoms with up to D neighbours each.

    Edge e, from k to j, is at `place[e]` (E,) of a flat table of N·D places; `back[e]` (E,) is
    where j → k, the edge turned round, is; `present` (N,D) says which places are taken.
    """

    place: Tensor
    back: Tensor
    present: Tensor

    @classmethod
    def of(cls, graph: Graph) -> Around:
        """Return the table of a graph."""
        receiver, atoms = graph.receiver, graph.atoms
        counts = occurrences(receiver, atoms)
        order = receiver.argsort(stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device)
        rank -= (counts.cumsum(0) - counts)[receiver]
        widest = max(1, graph.pairs.most)
        place = receiver * widest + rank
        present = torch.arange(widest, device=counts.device) < counts[:, None]
        return cls(place, place.roll(len(place) // 2), present)

    def spread(self, values: Tensor) -> Tensor:
        """Return values of edges (E,F) as (N,D,F), zero where there is no edge."""
        atoms, widest = self.present.shape
        table = values.new_zeros(atoms * widest, values.shape[1])
        return table.index_copy(0, self.place, values).view(atoms, widest, -1)

    def turned(self, values: Tensor) -> Tensor:
        """Return (E,F) of (N,D,F), each edge what stands at the place of its reverse."""
        return values.flatten(0, 1).index_select(0, self.back)


class RadialBessel(nn.Module):
    """sin(nπ d/c) / d under a polynomial envelope, frequencies learned (DimeNet, eqs 7 and 8).

    The envelope's first two derivatives vanish at the cutoff c.
    """

    def __init__(self, size: int, cutoff: float, exponent: int) -> None:
        super().__init__()
        self.cutoff, self.exponent = cutoff, exponent
        self.frequencies = nn.Parameter(math.pi * torch.arange(1.0, size + 1))

    def envelope(self, x: Tensor) -> Tensor:
        """Return the envelope over x of distances in units of the cutoff, same shape."""
        p = self.exponent + 1
        a, b, c = -(p + 1) * (p + 2) / 2, p * (p + 2), -p * (p + 1) / 2
        return 1 / x + x ** (p - 1) * (a + x * (b + x * c))

    def forward(self, distance: Tensor) -> Tensor:
        """Return (E,K) of distances (E,) Å."""
        x = distance[:, None] / self.cutoff
        return self.envelope(x) * (self.frequencies * x).sin()


class SphericalBessel(nn.Module):
    """Normalised spherical Bessel functions j_l(z_ln d/c) that vanish at the cutoff c.

    They are kept as sums of Chebyshev polynomials of 2d/c − 1: the closed formulas lose all
    digits of single precision where the argument is small against the order.
    """

    coefficients: Tensor

    def __init__(self, orders: int, size: int, cutoff: float) -> None:
        super().__init__()
        self.orders, self.size, self.cutoff = orders, size, cutoff
        kept = torch.tensor(_bessel_table(orders, size), dtype=torch.get_default_dtype())
        self.register_buffer("coefficients", kept, persistent=False)

    def forward(self, distance: Tensor) -> Tensor:
        """Return (E,L,K) of distances (E,) Å."""
        values = chebyshev(2 * distance / self.cutoff - 1, len(self.coefficients))
        return (values @ self.coefficients).view(-1, self.orders, self.size)


@cache
def _bessel_table(orders: int, size: int) -> np.ndarray:
    """Return (C,L·K) Chebyshev coefficients of the normalised functions."""
    zeros = bessel_zeros(orders, size)
    order = np.repeat(np.arange(orders), size)
    # A function of exponential type z/2 needs so many polynomials for the last digit.
    count = int(zeros.max() / 2) + 30
    angles = np.pi * (np.arange(count) + 0.5) / count
    x = (np.cos(angles) + 1) / 2
    norm = np.sqrt(0.5) * np.abs(bessel(order + 1, zeros.ravel()))
    values = bessel(order[:, None], zeros.reshape(-1, 1) * x) / norm[:, None]
    table = 2 / count * np.cos(np.arange(count)[:, None] * angles) @ values.T
    table[0] /= 2
    return table


def chebyshev(t: Tensor, count: int) -> Tensor:
    """Return (E,count) Chebyshev polynomials of t (E,), by T_{m+k} = 2 T_m T_k − T_{m−k}."""
    known = torch.stack([torch.ones_like(t), t], 1)
    while known.shape[1] < count:
        last = known[:, -1:]
        more = 2 * last * known[:, 1:] - known[:, :-1].flip(1)
        known = torch.cat([known, more], 1)
    return known[:, :count]


def bessel(order: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return spherical Bessel functions, by their integral over a plane wave (DLMF 10.54.2)."""
    nodes, weights = np.polynomial.legendre.leggauss(40 + int(np.max(x, initial=0)))
    legendre = np.polynomial.legendre.legvander(nodes, int(order.max()))[:, order]
    wave = np.moveaxis(np.exp(1j * np.multiply.outer(nodes, x)), 0, -1)
    summed = (np.moveaxis(legendre, 0, -1) * wave) @ weights
    return np.asarray(np.real((-1j) ** order * summed) / 2)


def bessel_zeros(orders: int, size: int) -> np.ndarray:
    """Return (orders,size) positive zeros; an order's lie between those of the one before."""
    found = np.pi * np.arange(1, size + orders)
    rows = [found[:size]]
    for order in range(1, orders):
        low, high = found[:-1], found[1:]
        orders_of = np.full(len(low), order)
        rising = bessel(orders_of, low) < 0
        for _ in range(60):
            middle = (low + high) / 2
            before = (bessel(orders_of, middle) < 0) == rising
            low, high = np.where(before, middle, low), np.where(before, high, middle)
        found = (low + high) / 2
        rows.append(found[:size])
    return np.stack(rows)


def zonal(cosine: Tensor, orders: int) -> Tensor:
    """Return (…,L) harmonics Y_l0 of the cosines (…) of angles."""
    values = [torch.ones_like(cosine), cosine]
    for order in range(2, orders):
        before, last = values[-2:]
        values.append(((2 * order - 1) * cosine * last - (order - 1) * before) / order)
    norms = [math.sqrt((2 * order + 1) / (4 * math.pi)) for order in range(orders)]
    return torch.stack([n * v for n, v in zip(norms, values, strict=False)], -1)


def harmonics(x: Tensor, y: Tensor, z: Tensor, orders: int) -> Tensor:
    """Return (…,L²) real spherical harmonics of unit vectors, m from −l to l within each l.

    Without the phase (−1)^m; with the polar angle θ from z and φ from x, those of m > 0 go with
    cos mφ, those of m < 0 with sin |m|φ.
    """
    rows: list[list[Tensor | None]] = [[None] * (2 * order + 1) for order in range(orders)]
    cosines, sines = torch.ones_like(z), torch.zeros_like(z)  # times sin^m θ
    for m in range(orders):
        if m:
            cosines, sines = cosines * x - sines * y, cosines * y + sines * x
        # Derivatives of Legendre polynomials, which take no root.
        legendre = [torch.full_like(z, float(math.prod(range(1, 2 * m, 2))))]
        for order in range(m + 1, orders):
            value = (2 * order - 1) * z * legendre[-1]
            if order > m + 1:
                value = value - (order + m - 1) * legendre[-2]
            legendre.append(value / (order - m))
        for order, value in enumerate(legendre, m):
            ratio = math.factorial(order - m) / math.factorial(order + m)
            norm = math.sqrt((2 * order + 1) / (4 * math.pi) * ratio * (2 if m else 1))
            rows[order][order + m] = norm * value * cosines
            if m:
                rows[order][order - m] = norm * value * sines
    return torch.stack([value for row in rows for value in row if value is not None], -1)


def glorot_orthogonal(weight: Tensor, scale: float = 2.0) -> None:
    """Fill a weight with a random orthogonal matrix of Glorot's variance (DimeNet, appendix)."""
    nn.init.orthogonal_(weight)
    variance = scale / (weight.shape[0] + weight.shape[1])
    with torch.no_grad():
        weight.mul_((variance / weight.var()).sqrt())


def linear(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    """Return a layer with an orthogonal weight and no bias to start with."""
    layer = nn.Linear(inputs, outputs, bias)
    glorot_orthogonal(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def uniform_embedding(elements: int, features: int) -> nn.Embedding:
    """Return an embedding of variance 1, uniform."""
    layer = nn.Embedding(elements, features)
    nn.init.uniform_(layer.weight, -math.sqrt(3), math.sqrt(3))
    return layer


class Residual(nn.Module):
    """Two dense layers and a way past them."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.first, self.second = linear(features, features), linear(features, features)

    def forward(self, x: Tensor) -> Tensor:
        """Return the same shape."""
        return x + silu(self.second(silu(self.first(x))))


class EdgeReadout(nn.Module):
    """Features of atoms (N,O) of what their edges bring, and a number of each of them (N,)."""

    def __init__(self, features: int, width: int, layers: int, bias: bool) -> None:
        super().__init__()
        self.up = linear(features, width, bias)
        if bias:
            # As torch does it: the published code leaves this bias alone.
            nn.init.uniform_(self.up.bias, -(features**-0.5), features**-0.5)
        self.hidden = nn.ModuleList(linear(width, width) for _ in range(layers))
        self.last = linear(width, 1, bias=False)

    def forward(self, edges: Tensor, receiver: Tensor, atoms: int) -> tuple[Tensor, Tensor]:
        """Return features (N,O) and numbers (N,) of messages (E,F)."""
        x = self.up(sum_into(edges, receiver, atoms))
        for layer in self.hidden:
            x = silu(layer(x))
        return x, self.last(x)[:, 0]
