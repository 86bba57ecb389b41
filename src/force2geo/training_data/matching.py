"""Atoms of one structure paired with those of another by their bonds, as lies closest in space.

What hangs on a molecule's rings (or, where it has none, on its centre) are trees. How the rings can
be laid on each other is enumerated, and that fixes a superposition; equivalent branches, down to
the hydrogens of a methyl group, are then given to each other by linear assignment, which is exact
however many permutations there are. Superposition and assignment alternate until nothing changes,
from several starts, and at the end no single exchange of equivalents may lie closer.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.superposition import superpose, transform

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Pairs = dict[int, int]

# Ways to lay the rings on each other; beyond so many the closest cannot be promised.
_MOST_WAYS = 10_000
# Of them, by how well the rings alone fit, so many are followed to the end.
_FOLLOWED = 256
# Of where they end, so many are improved by exchanges.
_IMPROVED = 6
# Å: atoms less wide than this in their second direction fix no rotation.
_LINEAR = 0.2
# Manners of pairing a way's other heavy atoms that are started from.
_HEAVY = 48
# Å²: a pair at this cost is not made.
_NEVER = 1e6
# Å²: nothing lies closer than this.
_SAME = 1e-13


@dataclass
class Bonded:
    """Atomic numbers (n,) and each atom's neighbours; hydrogens are atoms like others."""

    numbers: Sequence[int]
    neighbours: list[list[int]]

    @classmethod
    def of_rdkit(cls, molecule: Any) -> Bonded:
        """Return an RDKit molecule's atoms and bonds: no orders, charges or configurations."""
        atoms = molecule.GetAtoms()
        return cls(
            [atom.GetAtomicNum() for atom in atoms],
            [[other.GetIdx() for other in atom.GetNeighbors()] for atom in atoms],
        )


class _Branches:
    """A molecule's core, the trees on it and for every atom a number that names its tree."""

    def __init__(self, molecule: Bonded, names: dict[tuple[int, ...], int]) -> None:
        self.molecule = molecule
        left = {atom: set(others) for atom, others in enumerate(molecule.neighbours)}
        self.children: list[list[int]] = [[] for _ in left]
        self.code = [0] * len(left)

        def name(atom: int) -> None:
            below = sorted(self.code[child] for child in self.children[atom])
            key = (molecule.numbers[atom], *below)
            self.code[atom] = names.setdefault(key, len(names) + 1)

        # Ends fall off, round by round. Of two ends that hold each other, both stay.
        while ends := [
            atom
            for atom, others in left.items()
            if len(others) == 1 and len(left[next(iter(others))]) > 1
        ]:
            for atom in ends:
                (parent,) = left.pop(atom)
                left[parent].discard(atom)
                name(atom)
                self.children[parent].append(atom)
        self.core = sorted(left)
        for atom in self.core:
            name(atom)

    def as_rdkit(self) -> Any:
        """Return the core as a molecule whose isotopes are the trees' names."""
        from rdkit import Chem

        core, place = Chem.RWMol(), {atom: index for index, atom in enumerate(self.core)}
        for atom in self.core:
            made = Chem.Atom(int(self.molecule.numbers[atom]))
            made.SetIsotope(self.code[atom])
            made.SetNoImplicit(True)
            core.AddAtom(made)
        for atom in self.core:
            for other in self.molecule.neighbours[atom]:
                if other in place and atom < other:
                    core.AddBond(place[atom], place[other], Chem.BondType.SINGLE)
        return core.GetMol()


def closest(
    moving: Bonded, images: Sequence[np.ndarray], fixed: Bonded, reference: np.ndarray
) -> np.ndarray | None:
    """Return the one of `images` (n,3) Å in the order of `reference` (n,3) Å, superposed on it.

    `images` are structures of `moving`. Atoms are paired as the bonds allow and with the least
    deviation. None when the two are not bonded alike, or when their rings fit on each other in
    more ways than can be tried.
    """
    end = _closest(moving, images, fixed, reference)
    return None if end is None else end.positions


def order(
    moving: Bonded, positions: np.ndarray, fixed: Bonded, reference: np.ndarray
) -> np.ndarray | None:
    """Return for each atom (n,) of `reference` (n,3) Å the one of `positions` (n,3) Å it is.

    They are paired as in `closest`, and None is returned as there.
    """
    end = _closest(moving, [positions], fixed, reference)
    return None if end is None else np.array([end.pairs[atom] for atom in range(len(reference))])


def _closest(
    moving: Bonded, images: Sequence[np.ndarray], fixed: Bonded, reference: np.ndarray
) -> _End | None:
    """Return how an image lies closest, as `closest` says."""
    if len(moving.numbers) != len(fixed.numbers):
        return None
    names: dict[tuple[int, ...], int] = {}
    ours, theirs = _Branches(moving, names), _Branches(fixed, names)
    ways = _ways(ours, theirs)
    ends: list[_End] = []
    for image, pairs in _starts(ours, theirs, ways, images, reference):
        ends.append(_settle(ours, theirs, image, reference, pairs))
        if ends[-1].deviation < _SAME:
            return ends[-1]
    ends.sort(key=lambda end: end.deviation)
    improved = [_improve(ours, theirs, end, reference) for end in _distinct(ends)[:_IMPROVED]]
    return min(improved, key=lambda end: end.deviation, default=None)


def isomorphism(moving: Bonded, fixed: Bonded) -> np.ndarray | None:
    """Return for each atom (n,) of `fixed` one of `moving`, so that bonds lie on bonds.

    Of several such pairings it is any; None where the two are not bonded alike.
    """
    if sorted(moving.numbers) != sorted(fixed.numbers):
        return None
    names: dict[tuple[int, ...], int] = {}
    ours, theirs = _Branches(moving, names), _Branches(fixed, names)
    ways = _ways(ours, theirs, most=1)
    if not ways:
        return None
    pairs, waiting = dict(ways[0]), list(ways[0])
    while waiting:
        atom = waiting.pop()
        # Trees of one name have branches of the same names.
        left = sorted(ours.children[pairs[atom]], key=ours.code.__getitem__)
        right = sorted(theirs.children[atom], key=theirs.code.__getitem__)
        pairs |= dict(zip(right, left, strict=True))
        waiting += right
    return np.array([pairs[atom] for atom in range(len(fixed.numbers))])


def _ways(ours: _Branches, theirs: _Branches, most: int = 0) -> list[Pairs]:
    """Return all pairings of the cores' atoms, theirs to ours, that keep bonds and trees.

    None where there are too many; with `most` so many of them.
    """
    one, other = ours.as_rdkit(), theirs.as_rdkit()
    same_size = (one.GetNumAtoms(), one.GetNumBonds()) == (other.GetNumAtoms(), other.GetNumBonds())
    if not same_size:
        return []
    asked = most or _MOST_WAYS + 1
    matches = one.GetSubstructMatches(other, uniquify=False, maxMatches=asked)
    if len(matches) > _MOST_WAYS:
        return []
    return [
        {theirs.core[index]: ours.core[place] for index, place in enumerate(match)}
        for match in matches
    ]


def _starts(
    ours: _Branches,
    theirs: _Branches,
    ways: Sequence[Pairs],
    images: Sequence[np.ndarray],
    reference: np.ndarray,
) -> list[tuple[np.ndarray, Pairs]]:
    """Return images with pairs of atoms that fix a rotation, the best fitting of them."""
    starts = []
    for image in images:
        for way in ways:
            rigid = list(_until_rigid(ours, theirs, way, image, reference))
            for pairs in [*rigid, *_with_heavy(ours, theirs, way)]:
                fitted = superpose(image[list(pairs.values())], reference[list(pairs)])
                deviation = float(((fitted - reference[list(pairs)]) ** 2).mean())
                starts.append((deviation, image, pairs))
    starts.sort(key=lambda start: start[0])
    return [(image, pairs) for _, image, pairs in starts[:_FOLLOWED]]


def _wide(points: np.ndarray) -> bool:
    """Say whether points (k,3) Å do not lie on a line."""
    if len(points) < 3:
        return False
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spread[1] > _LINEAR)


def _until_rigid(
    ours: _Branches, theirs: _Branches, pairs: Pairs, image: np.ndarray, reference: np.ndarray
) -> Iterator[Pairs]:
    """Yield pairs with so many children added, in every way, that they fix a rotation."""
    own = list(pairs)
    if _wide(reference[own]) and _wide(image[list(pairs.values())]):
        yield pairs
        return
    open_ = [(parent, c) for parent in own for c in theirs.children[parent] if c not in pairs]
    if not open_:
        yield pairs
        return
    parent, child = next((p for p in open_ if _wide(reference[[*own, p[1]]])), open_[0])
    taken = set(pairs.values())
    for candidate in ours.children[pairs[parent]]:
        if candidate not in taken and ours.code[candidate] == theirs.code[child]:
            more = pairs | {child: candidate}
            yield from _until_rigid(ours, theirs, more, image, reference)


def _with_heavy(ours: _Branches, theirs: _Branches, way: Pairs) -> list[Pairs]:
    """Return a way with all heavy atoms of the trees paired, in so many manners as are tried."""
    found: list[Pairs] = []

    def add(pairs: Pairs, left: list[int]) -> None:
        if not left:
            found.append(pairs)
            return
        parent, *others = left
        these = [c for c in theirs.children[parent] if theirs.molecule.numbers[c] > 1]
        those = [c for c in ours.children[pairs[parent]] if ours.molecule.numbers[c] > 1]
        wanted = [theirs.code[atom] for atom in these]
        for order in permutations(those):
            if len(found) == _HEAVY:  # ten equal branches have millions of orders
                return
            if [ours.code[atom] for atom in order] == wanted:
                add(pairs | dict(zip(these, order, strict=True)), others + these)

    add(way, list(way))
    return found


@dataclass
class _End:
    """Where alternation ended: an image, its atoms by theirs, and how it then lies."""

    image: np.ndarray
    pairs: Pairs
    positions: np.ndarray
    deviation: float


def _settle(
    ours: _Branches,
    theirs: _Branches,
    image: np.ndarray,
    reference: np.ndarray,
    pairs: Pairs,
    apart: int | None = None,
) -> _End:
    """Return where superposition and assignment end from pairs that fix a rotation.

    The first assignment keeps the atom `apart` of theirs from the one it is paired with.
    """
    core, end = {atom: pairs[atom] for atom in theirs.core}, None
    while True:
        order = list(pairs.values())
        moved = transform(image[order], reference[list(pairs)])(image)
        offset = reference[:, None, :] - moved[None, :, :]
        cost = np.einsum("ijk,ijk->ij", offset, offset)
        if apart is not None:
            cost[apart, pairs[apart]] += _NEVER
            apart = None
        pairs = _assign(ours, theirs, core, cost)
        fitted = superpose(image[[pairs[atom] for atom in range(len(reference))]], reference)
        deviation = float(((fitted - reference) ** 2).sum())
        if end is not None and deviation >= end.deviation - _SAME:
            return end
        end = _End(image, pairs, fitted, deviation)


def _distinct(ends: Sequence[_End]) -> list[_End]:
    """Return sorted ends without those that lie as the one before."""
    return [
        end
        for before, end in zip([None, *ends], ends, strict=False)
        if before is None or end.deviation > before.deviation + 1e-6
    ]


def _improve(ours: _Branches, theirs: _Branches, end: _End, reference: np.ndarray) -> _End:
    """Return an end from which no single exchange of equivalents leads closer."""
    found: _End | None = end
    while found is not None:
        end = found
        found = _exchanged(ours, theirs, end, reference)
    return end


def _exchanged(ours: _Branches, theirs: _Branches, end: _End, reference: np.ndarray) -> _End | None:
    """Return what lies closer after one atom was given another of its equivalents, if any does."""
    for siblings in theirs.children:
        codes = [theirs.code[child] for child in siblings]
        for child in siblings:
            if codes.count(theirs.code[child]) > 1:
                other = _settle(ours, theirs, end.image, reference, end.pairs, apart=child)
                if other.deviation < end.deviation - _SAME:
                    return other
    return None


def _assign(ours: _Branches, theirs: _Branches, core: Pairs, cost: np.ndarray) -> Pairs:
    """Return pairs of all atoms with the least sum of `cost` [theirs, ours], the core's given."""
    from scipy.optimize import linear_sum_assignment

    known: dict[tuple[int, int], tuple[float, list[tuple[int, int]]]] = {}

    def branch(atom: int, image: int) -> tuple[float, list[tuple[int, int]]]:
        """Return cost and pairs of an atom's tree laid on another's."""
        if (atom, image) in known:
            return known[atom, image]
        total, pairs = float(cost[atom, image]), [(atom, image)]
        groups: dict[int, tuple[list[int], list[int]]] = {}
        for side, children in enumerate((theirs.children[atom], ours.children[image])):
            for child in children:
                code = (theirs, ours)[side].code[child]
                groups.setdefault(code, ([], []))[side].append(child)
        for these, those in groups.values():
            laid = [[branch(one, other) for other in those] for one in these]
            costs = np.array([[cell[0] for cell in row] for row in laid])
            for row, column in zip(*linear_sum_assignment(costs), strict=True):
                total += laid[row][column][0]
                pairs = pairs + laid[row][column][1]
        known[atom, image] = total, pairs
        return total, pairs

    return dict(pair for atom, image in core.items() for pair in branch(atom, image)[1])
