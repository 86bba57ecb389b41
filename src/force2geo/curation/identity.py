"""What SMILES and InChI say: the molecule, and what its logs must hold."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np

from force2geo.elements import SYMBOLS, atomic_number

_PART = re.compile(r"(\d*)((?:[A-Z][a-z]?\d*)+)")
_ELEMENT = re.compile(r"([A-Z][a-z]?)(\d*)")
_CHARGE = re.compile(r"/([qp])([^/]*)")
_SIGNED = re.compile(r"(\d*)\*?([+-]\d+)")


def read_molecule(smiles: str, inchi: str) -> Any | None:
    """Return RDKit's molecule of a SMILES or, where that says nothing, of an InChI, else None."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")
    molecule = Chem.MolFromSmiles(smiles) if smiles.strip() else None
    if molecule is None and inchi.strip():
        molecule = Chem.MolFromInchi(inchi)
    return molecule if molecule is not None and molecule.GetNumAtoms() else None


def inchi_contents(inchi: str) -> tuple[Counter[int], int] | None:
    """Return the atoms (by atomic number) and the charge of an InChI, None without a formula.

    Layer q is the charge of the parts, layer p protons added or taken away, which change both.
    """
    layers = inchi.split("/")
    if len(layers) < 2 or not layers[0].startswith("InChI="):
        return None
    atoms: Counter[int] = Counter()
    for part in layers[1].split("."):
        match = _PART.fullmatch(part)
        if match is None:
            return None
        for symbol, count in _ELEMENT.findall(match.group(2)):
            try:
                atoms[atomic_number(symbol)] += int(match.group(1) or 1) * int(count or 1)
            except KeyError:
                return None
    charge = 0
    for layer, text in _CHARGE.findall(inchi):
        total = sum(int(times or 1) * int(value) for times, value in _SIGNED.findall(text))
        charge += total
        if layer == "p":
            atoms[1] += total
    return +atoms, charge


def formula(numbers: np.ndarray) -> str:
    """Return the sum formula in Hill's order."""
    counts = {SYMBOLS[z]: int(n) for z, n in zip(*np.unique(numbers, return_counts=True))}  # noqa: B905
    if "C" not in counts:
        order = sorted(counts)
    else:
        first = [symbol for symbol in ("C", "H") if symbol in counts]
        order = first + sorted(set(counts) - set(first))
    return "".join(f"{s}{counts[s] if counts[s] > 1 else ''}" for s in order)


def contradiction(inchi: str, numbers: np.ndarray, charge: int) -> str:
    """Return how atoms and charge contradict an InChI, empty when they do not."""
    expected = inchi_contents(inchi)
    if expected is None:
        return ""
    if Counter(int(z) for z in numbers) != expected[0]:
        wanted = formula(np.array(sorted(expected[0].elements())))
        return f"the atoms are {formula(numbers)}, those of the InChI {wanted}"
    if charge != expected[1]:
        return f"the charge is {charge}, that of the InChI {expected[1]}"
    return ""
