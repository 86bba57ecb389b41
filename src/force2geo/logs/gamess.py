"""GAMESS-US and Firefly (PC-GAMESS) optimisations, which share one layout.

The text is searched for a few landmarks with `bytes.find` and never split into lines: the steps
lie between landmarks, and their tables are decoded together (`columns`).
"""

from __future__ import annotations

import re

import numpy as np

from force2geo.logs.fields import (
    Tables,
    after,
    assemble,
    charges_to_numbers,
    cut_notes,
    last_cut,
    number,
    origin,
    printed,
    row_pattern,
    skip_lines,
    whole,
)
from force2geo.logs.log import Log, LogError

BANNERS = (b"GAMESS VERSION =", b"Firefly version", b"PC GAMESS version")

_ALL_ATOMS = b"COORDINATES OF ALL ATOMS ARE (ANGS)"
_UNIQUE_ATOMS = b"COORDINATES OF SYMMETRY UNIQUE ATOMS (ANGS)"
_FIRST_IN_BOHR = b"COORDINATES (BOHR)"
_GRADIENT = b"GRADIENT (HARTREE/BOHR)"
STEP, END = _GRADIENT, b" TERMINATED NORMALLY"
_LOCATED = b"EQUILIBRIUM GEOMETRY LOCATED"
_LABEL = rb"[ \t]*([A-Za-z]\S*[ \t]+\d+)\.\d?"
_POSITIONS = Tables(row_pattern(_LABEL, 10), 1, "coordinates")
_SLOPES = Tables(row_pattern(rb"[ \t]*\d+[ \t]+([A-Za-z]\S*[ \t]+\d+)\.\d?", 7), 1, "gradient")
_ORBITAL_DIGITS, _DIPOLE_DIGITS = 4, 6
# What both programs multiply by: the ratio of geometries their logs print in both units.
_BOHR = 0.52917724924
_ENERGY = re.compile(rb" FINAL [^\n]{0,50}?ENERGY IS +(\S+) +AFTER ")
_SEMIEMPIRICAL = ("PM3", "AM1", "MNDO", "RM1")
# GAMESS's B3LYP has the fifth form of VWN since it has B3LYP, Firefly's the first in RPA
# parameters (its manual on DFT; PySCF on the real logs agrees for GAMESS).
_B3LYP = {
    ("gamess", "b3lyp"): "b3lyp(vwn5)",
    ("gamess", "b3lypv1r"): "b3lyp(vwn-rpa)",
    ("gamess", "b3lypv3"): "b3lyp(vwn3)",
    ("firefly", "b3lyp"): "b3lyp(vwn-rpa)",
    ("firefly", "b3lyp1"): "b3lyp(vwn-rpa)",
    ("firefly", "b3lyp5"): "b3lyp(vwn5)",
}


def _banner(data: bytes) -> tuple[str, str]:
    for banner in BANNERS:
        found = data.find(banner, 0, 40_000)
        if found >= 0:
            line = data[found + len(banner) : data.find(b"\n", found)]
            version = line.split(b"*")[0].split(b",")[0].strip().decode("latin-1")
            return ("gamess" if banner.startswith(b"GAMESS") else "firefly"), version
    raise LogError("no GAMESS or Firefly banner")


def _basis(data: bytes, start: int, stop: int) -> str:
    kind = after(data, b"GBASIS=", start, stop).upper()
    gaussians = after(data, b"IGAUSS=", start, stop)
    heavy, light = (after(data, key, start, stop) == "T" for key in (b"DIFFSP=", b"DIFFS="))
    # One plus is that of heavy atoms; hydrogens alone have no common name.
    diffuse = "+" * heavy + ("+" if heavy else "(+)") * light
    d, f, p = (whole(after(data, b"N%sFUNC=" % key, start, stop), 0) for key in (b"D", b"F", b"P"))
    if (d, f, p) in ((0, 0, 0), (1, 0, 0), (1, 0, 1)):
        polar = "*" * (d + p)
    else:  # 6-31g(2df,p)
        on_heavy = "".join(
            f"{count if count > 1 else ''}{name}" for count, name in ((d, "d"), (f, "f")) if count
        )
        on_light = f",{p if p > 1 else ''}p" if p else ""
        polar = f"({on_heavy}{on_light})"
    if kind == "STO":
        return f"sto-{gaussians}g{diffuse}{polar}"
    if kind in ("N21", "N31", "N311"):
        return f"{gaussians}-{kind[1:]}{diffuse}g{polar}"
    return f"{kind.lower()}{diffuse}{polar}"


def _method(
    program: str, basis: str, energy_line: bytes, options: tuple[bytes, int, int]
) -> tuple[str, str]:
    """Return the method and the form of its functional."""
    label = energy_line.decode("latin-1").upper()
    for name in _SEMIEMPIRICAL:
        # Firefly's energy line names no method; GBASIS does in both programs.
        if name in label or name == basis.upper():
            return name.lower(), ""
    functional = after(options[0], b"DFTTYP=", *options[1:]).lower()
    named = re.search(r"FINAL (?:R|U|RO)-(\S+) ENERGY", label)
    if named:
        functional = named.group(1).lower()
    if functional in ("", "none"):
        return "hf", ""
    form = _B3LYP.get((program, functional), functional)
    return ("b3lyp" if form.startswith("b3lyp") else functional), form


def _marks(data: bytes, mark: bytes) -> list[int]:
    found, position = [], data.find(mark)
    while position >= 0:
        found.append(position)
        position = data.find(mark, position + len(mark))
    return found


def _energy(data: bytes, start: int, stop: int) -> tuple[float, bytes]:
    """Return the last energy printed between two places, NaN when there is none, and its line."""
    line = data.rfind(b" FINAL ", start, stop)
    while line >= 0:
        match = _ENERGY.match(data, line)
        if match:
            # An SCF that did not converge prints zero.
            return number(match.group(1), line) or np.nan, match.group()
        line = data.rfind(b" FINAL ", start, line)
    return np.nan, b""


def _first_step(data: bytes, stop: int) -> int | None:
    """Return where the input geometry's rows begin when the first step has no other."""
    found = data.find(_FIRST_IN_BOHR, 0, stop)
    if found < 0 or data.find(_GRADIENT, found, stop) < 0:
        return None
    return skip_lines(data, found, 2)


def parse(data: bytes) -> Log:
    """Return the steps of one GAMESS or Firefly optimisation; `LogError` when it is none."""
    marks = _marks(data, _ALL_ATOMS)
    unique = not marks
    if unique:
        marks = _marks(data, _UNIQUE_ATOMS)
    head = marks[0] if marks else len(data)
    program, version = _banner(data)
    summary = max(data.find(b"CHARGE OF MOLECULE", 0, head), 0)
    options = (data, max(data.find(b"$CONTRL OPTIONS", summary, head), 0), head)
    run = after(data, b"RUNTYP=", *options[1:]).lower()
    if run != "optimize":
        raise LogError(f"run type is '{run or 'not given'}', not an optimisation")
    for key in (b"MPLEVL=", b"CITYP", b"CCTYP"):
        correlated = after(data, key, *options[1:]).upper()
        if correlated not in ("", "0", "NONE"):
            name = key.decode().rstrip("=")
            raise LogError(f"{name} is {correlated}: energies beyond the SCF are not read")

    starts = [skip_lines(data, mark, 3) for mark in marks]
    ends = [*marks[1:], len(data)] if marks else []
    bohr = _first_step(data, head)
    first = bohr if bohr is not None else (starts[0] if starts else len(data))
    rows = _POSITIONS.rows(data, first)
    atoms = whole(after(data, b"TOTAL NUMBER OF ATOMS", summary, head), len(rows))
    if not rows:
        raise LogError("no geometry before the log ends")
    if len(rows) != atoms:
        what = "only the symmetry-unique ones of " if unique else ""
        raise LogError(f"coordinates of {len(rows)} atoms, {what}{atoms} expected", first)
    labels = [row[0] for row in rows]
    numbers = charges_to_numbers(labels, first)
    steps, energies, energy_line, slopes = list(starts), [], b"", {}
    if bohr is not None:
        steps, ends = [bohr, *starts], [head, *ends]
    for index, (start, end) in enumerate(zip(steps, ends, strict=True)):
        gradient = data.find(_GRADIENT, start, end)
        energy, line = _energy(data, start, gradient if gradient >= 0 else end)
        energies.append(energy)
        energy_line = line or energy_line
        if gradient >= 0:
            slopes[index] = skip_lines(data, gradient, 4)
    finished = _finished(data)
    cut = last_cut(finished, starts, list(slopes.values()))
    positions = _POSITIONS.read(data, starts, labels, known=first, cut=cut)
    if bohr is not None:
        inside = _POSITIONS.read(data, [bohr], labels) * _BOHR
        positions = np.concatenate([inside.round(10), positions])
    gradients = _SLOPES.read(data, list(slopes.values()), labels, cut=cut)
    found = assemble(positions, energies, dict(zip(slopes, gradients, strict=True)))

    written = origin(data, head)
    basis = _basis(data, max(data.find(b"BASIS OPTIONS", 0, head), 0), head)
    method, functional = _method(program, basis, energy_line, options)
    # The geometry printed once more when it is found has no energy and begins behind the mark.
    last = steps[found.last]
    located = data.find(_LOCATED, last)
    semiempirical = method.upper() in _SEMIEMPIRICAL
    log = Log(
        program=program,
        version=version,
        run=run,
        method=method,
        basis=basis,
        charge=whole(after(data, b"CHARGE OF MOLECULE", summary, head), 0),
        multiplicity=whole(after(data, b" MULTIPLICITY", summary, head), 1),
        finished=finished,
        converged=located >= 0,
        atomic_numbers=numbers,
        positions=found.positions,
        energies=found.energies,
        gradients=found.gradients,
        functional="b3lyp(vwn5)" if "VWN5" in written else functional,
        spherical=None if semiempirical else after(data, b"ISPHER=", *options[1:]) == "1",
        origin=written,
        notes=cut_notes(positions, gradients),
    )
    occupied = after(data, b"NUMBER OF OCCUPIED ORBITALS (ALPHA)", summary, head)
    _read_last_orbitals(data, max(located, last), whole(occupied, 0), log)
    return log


def _finished(data: bytes) -> bool:
    end = data.rfind(END)
    return end >= 0 and b"EXECUTION OF" in data[max(0, end - 40) : end]


def _orbital_block(data: bytes, start: int) -> tuple[list[bytes], list[bytes]]:
    """Return the words of the two lines at `start`."""
    lines = data[start : start + 300].split(b"\n", 2)
    return (lines[0].split(), lines[1].split()) if len(lines) > 1 else ([], [])


def _read_last_orbitals(data: bytes, start: int, occupied: int, log: Log) -> None:
    """Read frontier orbitals and dipole of the last step, which begins at `start`, if printed."""
    dipole = data.find(b"/D/  (DEBYE)", start)
    if dipole >= 0:
        line = skip_lines(data, dipole, 1)
        values = data[line : line + 200].split(b"\n", 1)[0].split()
        if len(values) == 4:
            log.dipole = printed(values[:3], _DIPOLE_DIGITS) or None
    block = data.find(b" MOLECULAR ORBITALS", start)
    if block < 0:
        block = data.find(b"EIGENVECTORS", start)
    if block < 0 or occupied < 1:
        return
    levels: list[bytes] = []
    empty_line = b"\n\r\n" if data[data.find(b"\n") - 1] == ord("\r") else b"\n\n"
    # Blocks of up to five orbitals, separated by empty lines: indices, then energies. They are
    # equally long as a rule, so that the next one need not be searched for.
    length = 0
    while len(levels) <= occupied:
        guess = _orbital_block(data, block + length) if length else ([], [])
        if guess[0][:1] == [b"%d" % (len(levels) + 1)]:
            block += length
        else:
            next_block = data.find(empty_line, block) + len(empty_line)
            if next_block < len(empty_line):
                return
            length, block = next_block - block if levels else 0, next_block
            guess = _orbital_block(data, block)
        indices, energies = guess
        if indices[:1] != [b"%d" % (len(levels) + 1)] or len(energies) != len(indices):
            return
        levels += energies
    frontier = printed(levels[occupied - 1 : occupied + 1], _ORBITAL_DIGITS)
    if frontier:
        log.homo, log.lumo = frontier
