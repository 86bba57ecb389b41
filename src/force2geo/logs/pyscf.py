"""PySCF's own output of a geometry optimisation, printed at `verbose=4` or more."""

from __future__ import annotations

import re

import numpy as np

from force2geo.logs.fields import Tables, assemble, number, row_pattern, skip_lines
from force2geo.logs.fields import symbols_to_numbers as _numbers
from force2geo.logs.log import Log, LogError

BANNERS = (b"PySCF version",)

_GEOMETRY = b"\nNew geometry\n"
_CYCLE = re.compile(rb"\ncycle \d+: E = (\S+) ")
_POSITIONS = Tables(row_pattern(rb"[ \t]*\d+[ \t]+([A-Z][a-z]?)", 12), 0, "coordinates")
_SLOPES = Tables(row_pattern(rb"[ \t]*\d+[ \t]+([A-Z][a-z]?)", 10), 0, "gradient")
_VERSION = re.compile(rb"PySCF version ([\w.]+)")
_CHARGE = re.compile(rb"\[INPUT\] charge = (-?\d+)")
_SPIN = re.compile(rb"\[INPUT\] spin [^\n]*= (\d+)\n")
_BASIS = re.compile(rb"\nbasis = (\S+)\n")
_METHOD = re.compile(rb"\nXC functionals = (\S+)\n")
_ORBITALS = re.compile(rb"\n +HOMO = (\S+) +LUMO = (\S+)")
_DIPOLE = re.compile(rb"\nDipole moment\(X, Y, Z, Debye\): +(\S+), +(\S+), +(\S+)\n")
_CONVERGED = b"\nGeometry optimization converged"
_FORMS = {"b3lyp5": "b3lyp(vwn5)", "b3lypg": "b3lyp(vwn-rpa)", "b3lyp": "b3lyp(vwn-rpa)"}


def _text(pattern: re.Pattern[bytes], data: bytes, default: str) -> str:
    match = pattern.search(data)
    return match.group(1).decode("latin-1") if match else default


def parse(data: bytes) -> Log:
    """Return the steps of one optimisation; `LogError` when it is none."""
    cycles, mark = [], data.find(_GEOMETRY)
    while mark >= 0:
        cycles.append(mark)
        mark = data.find(_GEOMETRY, mark + 1)
    if not cycles:
        raise LogError("no geometry optimisation in the log")
    starts = [mark + len(_GEOMETRY) for mark in cycles]
    labels = [row[0] for row in _POSITIONS.rows(data, starts[0])]
    if not labels:
        raise LogError("no geometry before the log ends", starts[0])
    positions = _POSITIONS.read(data, starts, labels, known=starts[0])
    energies, slopes = [], {}
    for index, (start, end) in enumerate(zip(starts, [*cycles[1:], len(data)], strict=True)):
        slope = data.find(b" gradients ---------------\n", start, end)
        line = data.rfind(b"converged SCF energy = ", start, slope if slope >= 0 else end)
        line = -1 if data[line - 4 : line] == b"not " else line
        stop = data.find(b"\n", line, end) if line >= 0 else -1
        words = data[line + 23 : stop].split() if stop >= 0 else []
        energies.append(number(words[0], line) if words else np.nan)
        if slope >= 0:
            slopes[index] = skip_lines(data, slope, 2)
    gradients = _SLOPES.read(data, list(slopes.values()), labels)
    steps = assemble(positions, energies, dict(zip(slopes, gradients, strict=True)))
    functional = _text(_METHOD, data, "").lower()
    tail = data[starts[-1] :]
    orbitals, dipole = _ORBITALS.findall(tail), _DIPOLE.findall(tail)
    return Log(
        program="pyscf",
        version=_text(_VERSION, data, ""),
        run="optimize",
        method="b3lyp" if functional in _FORMS else (functional or "hf"),
        basis=_text(_BASIS, data, "").lower().replace("(d)", "*"),
        charge=int(_text(_CHARGE, data, "0")),
        multiplicity=int(_text(_SPIN, data, "0")) + 1,
        finished=_CONVERGED in data or b"Geometry optimization is not converged" in data,
        converged=_CONVERGED in data,
        atomic_numbers=_numbers(labels, starts[0]),
        positions=steps[0],
        energies=steps[1],
        gradients=steps[2],
        functional=_FORMS.get(functional, functional),
        spherical=b"Cartesian GTO integrals" not in data,
        homo=number(orbitals[-1][0], starts[-1]) if orbitals else None,
        lumo=number(orbitals[-1][1], starts[-1]) if orbitals else None,
        dipole=[number(value, starts[-1]) for value in dipole[-1]] if dipole else None,
    )
