"""A Hessian to begin with, from the geometry alone.

Lindh, Bernhardsson, Karlström and Malmqvist, Chem. Phys. Lett. 241, 423 (1995): every stretch, bend
and torsion of atoms that are near each other has a force constant that falls with their distances.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase.units import Bohr, Hartree
from scipy.sparse import csr_matrix

STRETCH, BEND, TORSION = 0.45, 0.15, 0.005
"""Force constants at the reference distances: Hartree/bohr², and twice Hartree/rad²."""
_DECAY = np.array([[1.0, 0.3949, 0.3949], [0.3949, 0.28, 0.28], [0.3949, 0.28, 0.28]])
_DISTANCE = np.array([[1.35, 2.10, 2.53], [2.10, 2.87, 3.40], [2.53, 3.40, 3.40]])
# By rows of the periodic table, H and He, Li to Ne and all others: bohr⁻² and bohr.
_LAST_OF_ROW = (2, 10)
FLOOR = 1.0
"""eV/Å², laid on all: nothing is softer, rigid motions and what is far apart neither."""
_SMALL_STRETCH, _SMALL = 1e-4, 1e-2  # parts of the constants, less of which is left out
_LINEAR, _NO_TORSION = 0.1, 0.2  # sines of angles


class _Terms(NamedTuple):
    """K coordinates of m atoms each: `atoms` (K,m), their `slopes` (K,m,3), `constants` (K,)."""

    atoms: np.ndarray
    slopes: np.ndarray
    constants: np.ndarray


def model_hessian(
    numbers: np.ndarray, positions: np.ndarray, fixed: np.ndarray | None = None
) -> np.ndarray:
    """Return (3n,3n) eV/Å² of a molecule (n,), (n,3) Å: symmetric, no curvature under `FLOOR`.

    What is `fixed` (n,3) has no part in anything. Of atoms in one place there is none, but NaN.
    """
    places = np.asarray(positions, dtype=float) / Bohr
    row = np.searchsorted(_LAST_OF_ROW, numbers)
    apart = places[:, None] - places
    squares = np.einsum("ijx,ijx->ij", apart, apart)
    bond = np.exp(_DECAY[row[:, None], row] * (_DISTANCE[row[:, None], row] ** 2 - squares))
    np.fill_diagonal(bond, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):  # of atoms in one place
        terms = [_stretches(places, bond), *_bends(places, bond), _torsions(places, bond)]
    hessian = sum(_summed(one, len(places)) for one in terms) * (Hartree / Bohr**2)
    if fixed is not None:
        still = np.asarray(fixed, dtype=bool).ravel()
        hessian[still], hessian[:, still] = 0.0, 0.0
    hessian[np.diag_indices_from(hessian)] += FLOOR
    return np.asarray(hessian)


def _summed(terms: _Terms, count: int) -> np.ndarray:
    """Return the Hessian (3n,3n) of harmonic terms."""
    rows, atoms = terms.atoms.shape
    columns = (3 * terms.atoms[:, :, None] + np.arange(3)).reshape(rows, 3 * atoms)
    starts = 3 * atoms * np.arange(rows + 1)
    root = np.sqrt(terms.constants)[:, None, None]
    slopes = csr_matrix(
        ((root * terms.slopes).ravel(), columns.ravel(), starts), shape=(rows, 3 * count)
    )
    return np.asarray((slopes.T @ slopes).toarray())


def _stretches(places: np.ndarray, bond: np.ndarray) -> _Terms:
    one, other = np.nonzero(np.triu(bond) > _SMALL_STRETCH)
    along = _unit(places[one] - places[other])
    return _Terms(
        np.stack([one, other], axis=1),
        np.stack([along, -along], axis=1),
        STRETCH * bond[one, other],
    )


def _bends(places: np.ndarray, bond: np.ndarray) -> tuple[_Terms, ...]:
    """Return the bends between two near atoms of each; a linear one is two, across each other."""
    centre, one = np.nonzero(bond > _SMALL)
    edge, place = _each(np.bincount(centre, minlength=len(bond))[centre])
    other = one[_first_of(centre, len(bond))[centre[edge]] + place]
    one, centre = one[edge], centre[edge]
    constant = BEND * bond[one, centre] * bond[centre, other]
    kept = (one < other) & (constant > BEND * _SMALL)
    one, centre, other, constant = one[kept], centre[kept], other[kept], constant[kept]
    atoms = np.stack([one, centre, other], axis=1)
    arms = [places[end] - places[centre] for end in (one, other)]
    lengths = [np.linalg.norm(arm, axis=1, keepdims=True) for arm in arms]
    first, second = (arm / length for arm, length in zip(arms, lengths, strict=True))
    cosine = np.einsum("ij,ij->i", first, second)[:, None].clip(-1, 1)
    sine = np.sqrt(1 - cosine**2)
    bent = sine[:, 0] > _LINEAR

    def terms(rows: np.ndarray, outer: np.ndarray, inner: np.ndarray) -> _Terms:
        slopes = np.stack([outer, -outer - inner, inner], axis=1)
        return _Terms(atoms[rows], slopes, constant[rows])

    across = [
        (cosine * own - far)[bent] / (length * sine)[bent]
        for own, far, length in ((first, second, lengths[0]), (second, first, lengths[1]))
    ]
    found = [terms(bent, *across)]
    if not bent.all():
        straight = ~bent
        axis = first[straight]
        # The coordinate axis that is most across, made wholly so.
        helper = np.eye(3)[np.abs(axis).argmin(axis=1)]
        up = _unit(np.cross(axis, helper))
        for way in (up, np.cross(axis, up)):
            outer, inner = (way / length[straight] for length in lengths)
            found.append(terms(straight, outer, -np.sign(cosine[straight]) * inner))
    return tuple(found)


def _torsions(places: np.ndarray, bond: np.ndarray) -> _Terms:
    """Return the torsions about each near pair, none where three atoms are in a line."""
    begin, end = np.nonzero(bond > _SMALL)
    counts, first = np.bincount(begin, minlength=len(bond)), _first_of(begin, len(bond))
    two, three = begin[begin < end], end[begin < end]
    edge, place = _each(counts[two] * counts[three])
    two, three = two[edge], three[edge]
    one = end[first[two] + place // counts[three]]
    four = end[first[three] + place % counts[three]]
    constant = TORSION * bond[one, two] * bond[two, three] * bond[three, four]
    kept = (one != three) & (four != two) & (one != four) & (constant > TORSION * _SMALL)
    one, two, three, four, constant = (x[kept] for x in (one, two, three, four, constant))
    out, axis, back = places[one] - places[two], places[two] - places[three], places[four]
    back = back - places[three]
    left, right = np.cross(out, axis), np.cross(back, axis)
    length = np.linalg.norm(axis, axis=1)
    over_left, over_right = (np.einsum("ij,ij->i", v, v) for v in (left, right))
    kept = (
        np.minimum(
            over_left / np.einsum("ij,ij->i", out, out),
            over_right / np.einsum("ij,ij->i", back, back),
        )
        > (_NO_TORSION * length) ** 2
    )
    one, two, three, four, constant = (x[kept] for x in (one, two, three, four, constant))
    out, axis, back, left, right, length, over_left, over_right = (
        x[kept] for x in (out, axis, back, left, right, length, over_left, over_right)
    )
    # Blondel and Karplus, J. Comput. Chem. 17, 1132 (1996), equation 27.
    start = -(length / over_left)[:, None] * left
    finish = (length / over_right)[:, None] * right
    lean = np.einsum("ij,ij->i", out, axis) / (over_left * length)
    turn = np.einsum("ij,ij->i", back, axis) / (over_right * length)
    shift = lean[:, None] * left - turn[:, None] * right
    return _Terms(
        np.stack([one, two, three, four], axis=1),
        np.stack([start, shift - start, -shift - finish, finish], axis=1),
        constant,
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _first_of(ordered: np.ndarray, count: int) -> np.ndarray:
    """Return where each of `count` numbers would begin in an ascending array."""
    return np.searchsorted(ordered, np.arange(count))


def _each(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which group each of `counts` (G,) items is in, and its place there."""
    group = np.repeat(np.arange(len(counts)), counts)
    return group, np.arange(len(group)) - (np.cumsum(counts) - counts)[group]
