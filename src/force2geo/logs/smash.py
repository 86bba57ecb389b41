"""SMASH optimisations and gradients, versions 1 to 3."""

from __future__ import annotations

import re

import numpy as np

from force2geo.logs.fields import (
    Tables,
    after,
    assemble,
    cut_notes,
    last_cut,
    number,
    origin,
    printed,
    row_pattern,
    skip_lines,
    symbols_to_numbers,
    whole,
)
from force2geo.logs.log import Log, LogError

BANNERS = (b"SMASH Version",)

_GEOMETRY = b"Molecular Geometry (Angstrom)"
_GRADIENT = b"Gradient (Hartree/Bohr)"
STEP, END = _GEOMETRY, b"Your calculation finished"
_LABEL = rb"[ \t]*([A-Z][a-z]?\d*)"
_POSITIONS = Tables(row_pattern(_LABEL, 7), 0, "coordinates")
_SLOPES = Tables(row_pattern(_LABEL, 7), 0, "gradient")
# With its unit, without which the digits may be cut off.
_ENERGY = re.compile(rb"(?:DFT|RHF|UHF) Energy = +(\S+) (?:Hartree|a\.u\.)")
_ORBITAL_DIGITS, _DIPOLE_DIGITS = 5, 4
_RUNS = {"opt": "optimize", "optimize": "optimize", "gradient": "gradient"}
_METHODS = {"hartree-fock": "hf", "hf": "hf"}
# SMASH's B3LYP has VWN in RPA parameters: PySCF's b3lypg with spherical functions gives the
# energies of its real logs.
_B3LYP = {"b3lyp": "b3lyp(vwn-rpa)", "b3lyp5": "b3lyp(vwn5)"}


def parse(data: bytes) -> Log:
    """Return the steps of one SMASH optimisation or gradient; `LogError` when it is neither."""
    marks = []
    mark = data.find(_GEOMETRY)
    while mark >= 0:
        marks.append(mark)
        mark = data.find(_GEOMETRY, mark + len(_GEOMETRY))
    head = marks[0] if marks else len(data)
    printed = after(data, b"Runtype", 0, head).lower()
    run = _RUNS.get(printed)
    if run is None:
        raise LogError(f"run type is '{printed or 'not given'}', not an optimisation or a gradient")
    method = after(data, b"Method", 0, head).lower()
    if "mp2" in method:
        raise LogError("method is 'mp2': energies beyond the SCF are not read")
    if not marks:
        raise LogError("no geometry before the log ends")
    starts = [skip_lines(data, mark, 3) for mark in marks]
    rows = _POSITIONS.rows(data, starts[0])
    if not rows:
        raise LogError("no geometry before the log ends", starts[0])
    labels = [row[0] for row in rows]
    atoms = whole(after(data, b"Number of atoms", 0, starts[0]), len(rows))
    if len(rows) != atoms:
        raise LogError(f"coordinates of {len(rows)} atoms, {atoms} expected", starts[0])
    energies, slopes = [], {}
    for index, (start, end) in enumerate(zip(starts, [*marks[1:], len(data)], strict=True)):
        gradient = data.find(_GRADIENT, start, end)
        line = data.rfind(b" Energy = ", start, gradient if gradient >= 0 else end)
        energy = _ENERGY.match(data, line - 3) if line >= 0 else None
        energies.append(number(energy.group(1), line) if energy else np.nan)
        if gradient >= 0:
            slopes[index] = skip_lines(data, gradient, 3)
    finished = data.rfind(END) >= 0
    cut = last_cut(finished, starts, list(slopes.values()))
    positions = _POSITIONS.read(data, starts, labels, known=starts[0], cut=cut)
    gradients = _SLOPES.read(data, list(slopes.values()), labels, cut=cut)
    found = assemble(positions, energies, dict(zip(slopes, gradients, strict=True)))
    written = origin(data, head)
    log = Log(
        program="smash",
        version=after(data, b"SMASH Version", 0, head),
        run=run,
        method=_METHODS.get(method, "b3lyp" if method in _B3LYP else method),
        basis=after(data, b"Basis", 0, head).lower().replace("(d)", "*"),
        charge=whole(after(data, b"Charge", 0, head), 0),
        multiplicity=whole(after(data, b"Multi", 0, head), 1),
        finished=finished,
        converged=data.find(b"Geometry converged", starts[found.last]) >= 0,
        atomic_numbers=symbols_to_numbers(labels, starts[0]),
        positions=found.positions,
        energies=found.energies,
        gradients=found.gradients,
        functional="b3lyp(vwn5)" if "VWN5" in written else _B3LYP.get(method, ""),
        spherical=after(data, b"Spher", 0, head) == "T",
        origin=written,
        notes=cut_notes(positions, gradients),
    )
    _read_last_orbitals(data, starts[found.last], log)
    return log


def _levels(data: bytes, key: bytes, start: int, stop: int) -> list[bytes]:
    found = data.find(key, start, stop)
    if found < 0:
        return []
    return data[found + len(key) : found + len(key) + 400].split(b"\n", 1)[0].split()


def _read_last_orbitals(data: bytes, step: int, log: Log) -> None:
    """Read frontier orbitals and dipole of the last step, which begins at `step`, if printed."""
    start = max(data.rfind(mark, step) for mark in (b"Orbital Energies (H", b"Eigenvalues (H"))
    if start >= 0:
        virtual = data.find(b"Alpha Virtual :", start)
        occupied = data.rfind(b"Alpha Occupied:", start, virtual)
        highest = _levels(data, b"Alpha Occupied:", occupied, virtual) if occupied >= 0 else []
        lowest = _levels(data, b"Alpha Virtual :", virtual, len(data)) if virtual >= 0 else []
        frontier = printed([*highest[-1:], *lowest[:1]], _ORBITAL_DIGITS)
        if len(frontier) == 2:
            log.homo, log.lumo = frontier
    dipole = data.rfind(b"Dipole Mom", step)
    if dipole >= 0:
        line = skip_lines(data, dipole, 3)
        values = data[line : line + 200].split(b"\n", 1)[0].split()
        if len(values) == 4:
            log.dipole = printed(values[:3], _DIPOLE_DIGITS) or None
