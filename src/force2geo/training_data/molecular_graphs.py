"""Molecular graphs with the features of the Open Graph Benchmark (Hu et al. 2020, 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

# Each feature is a place in its list; what is in no list has the last place.
_CHIRALITY = ("CHI_UNSPECIFIED", "CHI_TETRAHEDRAL_CW", "CHI_TETRAHEDRAL_CCW", "CHI_OTHER", "")
_HYBRIDISATION = ("SP", "SP2", "SP3", "SP3D", "SP3D2", "")
_ORDER = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC", "")
_STEREO = ("STEREONONE", "STEREOZ", "STEREOE", "STEREOCIS", "STEREOTRANS", "STEREOANY")
ATOM_SIZES = (119, len(_CHIRALITY), 12, 12, 10, 6, len(_HYBRIDISATION), 2, 2)
"""Values of an atom's nine features: element, chirality, neighbours, formal charge from −5,
implicit hydrogens, radical electrons, hybridisation, whether aromatic, whether in a ring."""
BOND_SIZES = (len(_ORDER), len(_STEREO), 2)
"""Values of a bond's three: order, stereo, whether conjugated."""


@dataclass(frozen=True)
class BondGraph:
    """n atoms with `atoms` (n,9) features; `bonds` (m,2) their ends, `orders` (m,3) features."""

    atoms: np.ndarray
    bonds: np.ndarray
    orders: np.ndarray

    def in_order(self, places: np.ndarray) -> BondGraph:
        """Return the graph with its atom `places[i]` at place i, for all i of (n,)."""
        now = np.empty(len(places), dtype=np.int32)
        now[places] = np.arange(len(places))
        return BondGraph(self.atoms[places], now[self.bonds], self.orders)


def bond_graph(molecule: Any) -> BondGraph:
    """Return the graph of an RDKit molecule in its order of atoms; hydrogens in it are atoms."""
    atoms = [
        (
            _within(atom.GetAtomicNum() - 1, ATOM_SIZES[0]),
            _place(_CHIRALITY, atom.GetChiralTag()),
            _within(atom.GetTotalDegree(), ATOM_SIZES[2]),
            _within(atom.GetFormalCharge() + 5, ATOM_SIZES[3]),
            _within(atom.GetTotalNumHs(), ATOM_SIZES[4]),
            _within(atom.GetNumRadicalElectrons(), ATOM_SIZES[5]),
            _place(_HYBRIDISATION, atom.GetHybridization()),
            int(atom.GetIsAromatic()),
            int(atom.IsInRing()),
        )
        for atom in molecule.GetAtoms()
    ]
    bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in molecule.GetBonds()]
    orders = [
        (
            _place(_ORDER, bond.GetBondType()),
            _place(_STEREO, bond.GetStereo()),
            int(bond.GetIsConjugated()),
        )
        for bond in molecule.GetBonds()
    ]
    return BondGraph(
        np.array(atoms, dtype=np.uint8).reshape(-1, len(ATOM_SIZES)),
        np.array(bonds, dtype=np.int32).reshape(-1, 2),
        np.array(orders, dtype=np.uint8).reshape(-1, len(BOND_SIZES)),
    )


def _place(known: Sequence[str], value: Any) -> int:
    return known.index(str(value)) if str(value) in known else len(known) - 1


def _within(value: int, size: int) -> int:
    return value if 0 <= value < size - 1 else size - 1
