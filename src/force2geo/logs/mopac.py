"""MOPAC's `.aux` files (optimisations and single points with gradients) and `.out` files."""

from __future__ import annotations

import re

import numpy as np

from force2geo.logs.fields import assemble, number, symbols_to_numbers
from force2geo.logs.log import Log, LogError
from force2geo.units import BOHR_TO_ANGSTROM, EV_PER_KCAL_MOL, HARTREE_TO_EV

AUX_BANNERS = (b"START OF MOPAC FILE",)
OUT_BANNERS = (b" CALCULATION RESULTS",)

_KCAL = EV_PER_KCAL_MOL / HARTREE_TO_EV
_VALUE = re.compile(
    rb"^ (HEAT_OF_FORM_UPDATED|HEAT_OF_FORMATION|ATOM_X_UPDATED|ATOM_X_OPT|ATOM_X|GRADIENTS"
    rb"|EIGENVALUES|DIP_VEC|NUM_ELECTRONS|TOTAL_SPIN|ATOM_EL|KEYWORDS|METHOD|MOPAC_VERSION"
    rb"|COMMENTS)(?::[^\n=\[]*)?(\[\d+\])?=([^\n]*\n(?:(?:(?! [A-Z_#]{4,}).)*\n)*)",
    re.MULTILINE,
)
_END = b"END OF MOPAC FILE"
_CHARGE = re.compile(r"CHARGE=(-?\d+)")
_SPINS = ("SINGLET", "DOUBLET", "TRIPLET", "QUARTET", "QUINTET", "SEXTET")
CONVERGED = "relaxation converged"
"""What the comment of the last of a series of single points says."""


def _numbers(text: bytes, offset: int) -> np.ndarray:
    return np.array([number(word, offset) for word in text.split()])


def _multiplicity(keywords: str) -> int:
    return next((i for i, name in enumerate(_SPINS, start=1) if name in keywords), 1)


def parse_aux(data: bytes) -> Log:
    """Return the steps of one `.aux` file; `LogError` when it holds none.

    Energies are heats of formation (Hartree). A series of optimisation steps prints no gradients
    but those of its last structure.
    """
    found: dict[bytes, list[tuple[int, bytes]]] = {}
    for match in _VALUE.finditer(data):
        found.setdefault(match.group(1), []).append((match.start(), match.group(3)))

    def last(key: bytes) -> bytes:
        return found[key][-1][1] if key in found else b""

    symbols = last(b"ATOM_EL").split()
    if not symbols:
        raise LogError("no atoms in the file")
    atoms = len(symbols)
    numbers = symbols_to_numbers(symbols, found[b"ATOM_EL"][-1][0])

    def structure(offset: int, text: bytes) -> np.ndarray:
        values = _numbers(text, offset)
        if len(values) == 3 * atoms:
            return values.reshape(atoms, 3)
        if offset == max(place for places in found.values() for place, _ in places):
            return np.full((atoms, 3), np.nan)
        raise LogError(f"{len(values)} numbers for {atoms} atoms", offset)

    positions = [structure(*item) for item in found.get(b"ATOM_X_UPDATED", [])]
    energies = [number(text.strip(), o) for o, text in found.get(b"HEAT_OF_FORM_UPDATED", [])]
    energies = (energies + [np.nan] * len(positions))[: len(positions)]
    final = found.get(b"ATOM_X_OPT") or ([] if positions else found.get(b"ATOM_X", []))
    gradients = {}
    if final and b"HEAT_OF_FORMATION" in found:
        positions.append(structure(*final[-1]))
        energies.append(number(last(b"HEAT_OF_FORMATION").strip(), final[-1][0]))
        if b"GRADIENTS" in found:
            slope = structure(*found[b"GRADIENTS"][-1]) * _KCAL * BOHR_TO_ANGSTROM
            gradients[len(positions) - 1] = slope
    if not positions:
        raise LogError("no structure with an energy in the file")
    steps = assemble(np.array(positions), [e * _KCAL for e in energies], gradients)
    keywords = last(b"KEYWORDS").decode("latin-1").upper()
    single = "1SCF" in keywords
    comment = last(b"COMMENTS").decode("latin-1")
    levels, electrons = _numbers(last(b"EIGENVALUES"), 0), last(b"NUM_ELECTRONS").strip()
    occupied = (int(electrons) + 1) // 2 if electrons.isdigit() else 0
    dipole = _numbers(last(b"DIP_VEC"), 0)
    frontier = levels[occupied - 1 : occupied + 1] / HARTREE_TO_EV if occupied else levels[:0]
    charge = _CHARGE.search(keywords)
    return Log(
        program="mopac",
        version=last(b"MOPAC_VERSION").strip().decode("latin-1"),
        run="gradient" if single and "relaxation" not in comment else "optimize",
        method=last(b"METHOD").strip().decode("latin-1").lower(),
        basis="",
        charge=int(charge.group(1)) if charge else 0,
        multiplicity=_multiplicity(keywords),
        finished=_END in data,
        converged=CONVERGED in comment if single else b"ATOM_X_OPT" in found,
        atomic_numbers=numbers,
        positions=steps[0],
        energies=steps[1],
        gradients=steps[2],
        homo=float(frontier[0]) if len(frontier) == 2 else None,
        lumo=float(frontier[1]) if len(frontier) == 2 else None,
        dipole=dipole.tolist() if len(dipole) == 3 else None,
    )


_OUT_VERSION = re.compile(rb"MOPAC ?v?(20\d\d|[\d.]+)")
_OUT_HEAT = re.compile(rb"FINAL HEAT OF FORMATION = +(\S+) KCAL")
_OUT_ROW = re.compile(rb" +\d+ +([A-Z][a-z]?)" + rb" +(-?\d+\.\d+)" * 3 + rb"[ \t]*\n")
_OUT_SLOPE = re.compile(rb"CARTESIAN [XYZ] +-?\d+\.\d+ +(-?\d+\.\d+) +KCAL/ANGSTROM")
_OUT_DONE = b"GEOMETRY OPTIMISED"
_OUT_CHARGE = re.compile(rb"CHARGE ON SYSTEM = +(-?\d+)")
_OUT_GAP = re.compile(rb"HOMO LUMO ENERGIES \(EV\) = +(-?\d+\.\d+) +(-?\d+\.\d+)")


def parse_out(data: bytes) -> Log:
    """Return the last structure of an `.out` file, which prints no other in full.

    Energy is the heat of formation (Hartree); the gradient is NaN unless GRADIENTS was asked for.
    """
    method = re.search(rb"([A-Z][A-Z0-9-]+) CALCULATION RESULTS", data)
    heat = _OUT_HEAT.search(data)
    if heat is None:
        raise LogError("no final heat of formation in the file")
    start = data.rfind(b"CARTESIAN COORDINATES")
    match = _OUT_ROW.search(data, start) if start >= 0 else None
    rows = []
    while match:
        rows.append(match.groups())
        match = _OUT_ROW.match(data, match.end())
    if not rows:
        raise LogError("no Cartesian coordinates in the file", heat.start())
    keywords = data[:6000].decode("latin-1").upper()
    if " FORCE" in keywords:
        raise LogError("run type is 'force', not an optimisation")
    slopes = np.array([float(v) for v in _OUT_SLOPE.findall(data)])
    gradients = {}
    if len(slopes) == 3 * len(rows):
        gradients[0] = slopes.reshape(-1, 3) * _KCAL * BOHR_TO_ANGSTROM
    positions = np.array([[[number(value, start) for value in row[1:]] for row in rows]])
    energy = number(heat.group(1), heat.start()) * _KCAL
    steps = assemble(positions, [energy], gradients)
    charge, gap = _OUT_CHARGE.search(data), _OUT_GAP.search(data)
    version = _OUT_VERSION.search(data)
    return Log(
        program="mopac",
        version=version.group(1).decode() if version else "",
        run="optimize" if _OUT_DONE in data else "gradient",
        method=method.group(1).decode().lower() if method else "",
        basis="",
        charge=int(charge.group(1)) if charge else 0,
        multiplicity=_multiplicity(keywords),
        finished=b"JOB ENDED NORMALLY" in data,
        converged=_OUT_DONE in data,
        atomic_numbers=symbols_to_numbers([row[0] for row in rows], start),
        positions=steps[0],
        energies=steps[1],
        gradients=steps[2],
        homo=float(gap.group(1)) / HARTREE_TO_EV if gap else None,
        lumo=float(gap.group(2)) / HARTREE_TO_EV if gap else None,
    )
