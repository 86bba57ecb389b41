"""MOPAC's `.aux` files (optimisations and single points with gradients) and `.out` files."""

from __future__ import annotations

import re

import numpy as np

from force2geo.logs.fields import assemble, cut_notes, number, symbols_to_numbers
from force2geo.logs.log import Log, LogError
from force2geo.units import BOHR_TO_ANGSTROM, EV_PER_KCAL_MOL, HARTREE_TO_EV

AUX_BANNERS = (b"START OF MOPAC FILE",)
AUX_STEP, AUX_END = b" ATOM_X", b"END OF MOPAC FILE"
OUT_BANNERS = (b" CALCULATION RESULTS",)
OUT_STEP, OUT_END = b"CARTESIAN COORDINATES", b"JOB ENDED NORMALLY"

_KCAL = EV_PER_KCAL_MOL / HARTREE_TO_EV
_VALUE = re.compile(
    rb"^ (HEAT_OF_FORM_UPDATED|HEAT_OF_FORMATION|ATOM_X_UPDATED|ATOM_X_OPT|ATOM_X|GRADIENTS"
    rb"|EIGENVALUES|DIP_VEC|NUM_ELECTRONS|TOTAL_SPIN|ATOM_EL|KEYWORDS|METHOD|MOPAC_VERSION"
    rb"|COMMENTS)(?::[^\n=\[]*)?(\[\d+\])?=([^\n]*\n(?:(?:(?! [A-Z_#]{4,}).)*\n)*)",
    re.MULTILINE,
)
_DECIMAL = re.compile(rb"[-+]?\d*\.(\d+(?:D[-+]\d\d)?)")
_CHARGE = re.compile(r"\bCHARGE=([-+]?\d+)")
_MS = re.compile(r"MS=(-?\d*\.?\d+)")
_SPINS = (
    "SINGLET", "DOUBLET", "TRIPLET", "QUARTET", "QUINTET", "SEXTET", "SEPTET", "OCTET", "NONET",
)  # fmt: skip
_OTHER_RUNS = {"FORCE", "FORCETS", "THERMO", "IRC", "DRC", "TS", "SADDLE", "LOCATE-TS"}
STEP, CONVERGED = "relaxation step", "relaxation converged"
"""What the comments of a series of single points and of its last one say."""


def _numbers(text: bytes, offset: int) -> np.ndarray:
    return np.array([number(word, offset) for word in text.split()])


def _whole_numbers(text: bytes) -> list[float]:
    """Return the numbers at the head of a text that may be cut off, as far as they are whole."""
    values, form = [], None
    for word in text.split():
        match = _DECIMAL.fullmatch(word)
        # All are printed alike, so one with fewer digits or without exponent is cut.
        if match is None or (form is not None and len(match.group(1)) != form):
            break
        form = len(match.group(1))  # the decimals and the exponent
        values.append(number(word, 0))
    return values


def _multiplicity(keywords: set[str], electrons: int) -> int:
    """Return the multiplicity asked for; without, MOPAC takes the lowest that fits."""
    for index, name in enumerate(_SPINS, start=1):
        if name in keywords:
            return index
    spins = [match.group(1) for match in map(_MS.fullmatch, keywords) if match]
    return round(2 * abs(float(spins[0]))) + 1 if spins else 1 + electrons % 2


def _refuse_other_runs(keywords: set[str]) -> None:
    for word in keywords:
        name = re.split(r"[=(]", word)[0]
        if name in _OTHER_RUNS:
            raise LogError(f"run type is '{name.lower()}', not an optimisation")


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
    keywords = set(last(b"KEYWORDS").decode("latin-1").upper().strip(' \n"').split())
    _refuse_other_runs(keywords)
    finished = AUX_END in data
    # Where a run that did not come to its end stopped: numbers there may be cut off.
    cut = -1 if finished else max(place for places in found.values() for place, _ in places)

    def values(offset: int, text: bytes, count: int) -> np.ndarray:
        """Return so many numbers, NaN where the run stopped in them."""
        if offset == cut:
            whole = _whole_numbers(text)
            return np.array(whole) if len(whole) == count else np.full(count, np.nan)
        read = _numbers(text, offset)
        if len(read) != count:
            raise LogError(f"{len(read)} numbers where {count} belong", offset)
        return read

    def structure(offset: int, text: bytes) -> np.ndarray:
        return values(offset, text, 3 * atoms).reshape(atoms, 3)

    def energy(offset: int, text: bytes) -> float:
        return np.nan if offset == cut else float(values(offset, text, 1)[0])

    positions = [structure(*item) for item in found.get(b"ATOM_X_UPDATED", [])]
    heats = found.get(b"HEAT_OF_FORM_UPDATED", [])[: len(positions)]
    energies = [energy(*item) for item in heats]
    energies += [np.nan] * (len(positions) - len(energies))
    final = found.get(b"ATOM_X_OPT") or ([] if positions else found.get(b"ATOM_X", []))
    gradients = {}
    if final and b"HEAT_OF_FORMATION" in found:
        positions.append(structure(*final[-1]))
        energies.append(energy(*found[b"HEAT_OF_FORMATION"][-1]))
        if b"GRADIENTS" in found:
            slope = structure(*found[b"GRADIENTS"][-1]) * _KCAL * BOHR_TO_ANGSTROM
            gradients[len(positions) - 1] = slope
        elif atoms == 1 and "GRADIENTS" in keywords:
            gradients[len(positions) - 1] = np.zeros((1, 3))  # it prints none of a lone atom
    if not positions:
        raise LogError("no structure with an energy in the file")
    path = np.array(positions)
    steps = assemble(path, [e * _KCAL for e in energies], gradients)
    single = "1SCF" in keywords
    comment = last(b"COMMENTS").decode("latin-1").strip(' \n"')
    charge = _CHARGE.search(" ".join(keywords))
    charge_value = int(charge.group(1)) if charge else 0
    log = Log(
        program="mopac",
        version=last(b"MOPAC_VERSION").strip().decode("latin-1"),
        run="gradient" if single and comment not in (STEP, CONVERGED) else "optimize",
        method=last(b"METHOD").strip().decode("latin-1").lower(),
        basis="",
        charge=charge_value,
        multiplicity=_multiplicity(keywords, int(numbers.sum()) - charge_value),
        finished=finished,
        converged=comment == CONVERGED
        if single
        else b"ATOM_X_OPT" in found and steps.last == len(path) - 1,
        atomic_numbers=numbers,
        positions=steps.positions,
        energies=steps.energies,
        gradients=steps.gradients,
        notes=cut_notes(path, np.array(list(gradients.values()))),
    )
    electrons = last(b"NUM_ELECTRONS").strip()
    occupied = (int(electrons) + 1) // 2 if electrons.isdigit() else 0
    levels = _whole_numbers(last(b"EIGENVALUES"))[max(occupied - 1, 0) : occupied + 1]
    if occupied and len(levels) == 2:
        log.homo, log.lumo = (level / HARTREE_TO_EV for level in levels)
    dipole = _whole_numbers(last(b"DIP_VEC"))
    log.dipole = dipole if len(dipole) == 3 else None
    return log


_OUT_VERSION = re.compile(rb"MOPAC ?v?(20\d\d|[\d.]+)")
_OUT_HEAT = re.compile(rb"FINAL HEAT OF FORMATION = +(\S+) KCAL/MOL")
_OUT_ROW = re.compile(rb" +\d+ +([A-Z][a-z]?)" + rb" +(-?\d+\.\d+)" * 3 + rb"[ \t]*\n")
_OUT_SLOPE = re.compile(rb"CARTESIAN [XYZ] +-?\d+\.\d+ +(-?\d+\.\d+) +KCAL/ANGSTROM")
_OUT_DONE = b"GEOMETRY OPTIMISED"
_OUT_ATOMS = re.compile(rb"Empirical Formula:[^\n]*= +(\d+) atoms")
# One line, or more where each but the last ends in `+` or `&`.
_OUT_KEYWORDS = re.compile(rb"\n \*{60,}[ \t]*\n(?! \*|[ \t]*\n)((?:[^\n]*[+&][ \t]*\n)*[^\n]*\n)")
_OUT_CHARGE = re.compile(rb"CHARGE ON SYSTEM = +(-?\d+)")
_OUT_GAP = re.compile(rb"HOMO LUMO ENERGIES \(EV\) = +(-?\d+\.\d+) +(-?\d+\.\d+)")


def _out_keywords(data: bytes) -> set[str]:
    """Return the keywords, which stand between the box of their meanings and the title."""
    match = _OUT_KEYWORDS.search(data)
    return set(match.group(1).decode("latin-1").upper().split()) if match else set()


def parse_out(data: bytes) -> Log:
    """Return the last structure of an `.out` file, which prints no other in full.

    Energy is the heat of formation (Hartree); the gradient is NaN unless GRADIENTS was asked for.
    """
    method = re.search(rb"([A-Z][A-Z0-9-]+) CALCULATION RESULTS", data)
    keywords = _out_keywords(data)
    _refuse_other_runs(keywords)
    heat = _OUT_HEAT.search(data)
    if heat is None:
        raise LogError("no final heat of formation in the file")
    # Before the heat stands the geometry that the run began with.
    start = data.find(b"CARTESIAN COORDINATES", heat.end())
    match = _OUT_ROW.search(data, start) if start >= 0 else None
    rows = []
    while match:
        rows.append(match.groups())
        match = _OUT_ROW.match(data, match.end())
    count = _OUT_ATOMS.search(data)
    if not rows or (count and len(rows) != int(count.group(1))):
        atoms = int(count.group(1)) if count else 0
        raise LogError(f"the last geometry has {len(rows)} of {atoms} atoms", heat.start())
    slopes = np.array([float(v) for v in _OUT_SLOPE.findall(data, heat.end(), start)])
    gradients = {}
    if len(slopes) == 3 * len(rows):
        gradients[0] = slopes.reshape(-1, 3) * _KCAL * BOHR_TO_ANGSTROM
    positions = np.array([[[number(value, start) for value in row[1:]] for row in rows]])
    energy = number(heat.group(1), heat.start()) * _KCAL
    steps = assemble(positions, [energy], gradients)
    charge, gap = _OUT_CHARGE.search(data), _OUT_GAP.search(data)
    charge_value = int(charge.group(1)) if charge else 0
    version = _OUT_VERSION.search(data)
    numbers = symbols_to_numbers([row[0] for row in rows], start)
    return Log(
        program="mopac",
        version=version.group(1).decode() if version else "",
        run="optimize" if _OUT_DONE in data else "gradient",
        method=method.group(1).decode().lower() if method else "",
        basis="",
        charge=charge_value,
        multiplicity=_multiplicity(keywords, int(numbers.sum()) - charge_value),
        finished=OUT_END in data,
        converged=_OUT_DONE in data,
        atomic_numbers=numbers,
        positions=steps.positions,
        energies=steps.energies,
        gradients=steps.gradients,
        homo=float(gap.group(1)) / HARTREE_TO_EV if gap else None,
        lumo=float(gap.group(2)) / HARTREE_TO_EV if gap else None,
    )
