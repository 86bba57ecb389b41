"""PySCF's own output of a geometry optimisation, printed at `verbose=4` or more."""

from __future__ import annotations

import re

import numpy as np

from force2geo.logs.fields import (
    Tables,
    assemble,
    cut_notes,
    last_cut,
    number,
    row_pattern,
    skip_lines,
    symbols_to_numbers,
)
from force2geo.logs.log import Log, LogError

BANNERS = (b"PySCF version",)

_GEOMETRY = b"\nNew geometry\n"
_SLOPE = b" gradients ---------------\n"
_CYCLE = re.compile(rb"\ncycle \d+: E = (-?\d+\.?\d*)  dE")
_SCF_DONE = b"\nconverged SCF energy = "
_SCF_FAILED = b"\nSCF not converged."
# A line of its own: what is cut off runs into whatever was written behind it.
_ENERGY = re.compile(rb"\nconverged SCF energy = (-?\d+\.?\d*)(?:  <S\^2> = [^\n]*)?\n")
_CYCLE_DIGITS = 1e-6  # Hartree: `cycle 1: E =` has twelve digits
_POSITIONS = Tables(row_pattern(rb"[ \t]*\d+[ \t]+([A-Z][a-z]?)", 12), 0, "coordinates")
_SLOPES = Tables(row_pattern(rb"[ \t]*\d+[ \t]+([A-Z][a-z]?)", 10), 0, "gradient")
_VERSION = re.compile(rb"PySCF version ([\w.]+)")
_CHARGE = re.compile(rb"\[INPUT\] charge = (-?\d+)")
_SPIN = re.compile(rb"\[INPUT\] spin [^\n]*= (\d+)\n")
_BASIS = re.compile(rb"\nbasis = (\S+)\n")
_METHOD = re.compile(rb"\nXC functionals = (\S+)\n")
_FLOAT = rb"(-?\d+\.?\d*(?:e[-+]\d+)?)"
_ORBITALS = re.compile(rb"\n +HOMO = %s +LUMO = %s " % (_FLOAT, _FLOAT))
_DIPOLE = re.compile(
    rb"\nDipole moment\(X, Y, Z, Debye\): +%s, +%s, +%s\n" % (_FLOAT, _FLOAT, _FLOAT)
)
_CONVERGED = b"\nGeometry optimization converged"
STEP, END = _GEOMETRY, _CONVERGED
_GAVE_UP = (b"Geometry optimization is not converged", b"Geometry optimization failed to converge")
_FORMS = {"b3lyp5": "b3lyp(vwn5)", "b3lypg": "b3lyp(vwn-rpa)", "b3lyp": "b3lyp(vwn-rpa)"}
_VWN_RPA_SINCE = (2, 3)  # `b3lyp` had VWN5 before (PySCF's changelog of 2.3)


def _text(pattern: re.Pattern[bytes], data: bytes, default: str) -> str:
    match = pattern.search(data)
    return match.group(1).decode("latin-1") if match else default


def _form(functional: str, version: str) -> str:
    """Return the form of a functional, which for `b3lyp` depends on PySCF's version."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    old = numbers is not None and tuple(map(int, numbers.groups())) < _VWN_RPA_SINCE
    if functional == "b3lyp" and old:
        return "b3lyp(vwn5)"
    return _FORMS.get(functional, functional)


def _check_gradient(data: bytes, slope: int) -> None:
    """Raise `LogError` when the gradient announced at `slope` is not that of an SCF energy."""
    line = data.rfind(b"\n", 0, slope) + 1
    name = data[line:slope].strip(b" -").decode("latin-1")
    if not re.search("HF|KS", name) or name.startswith("TD"):
        raise LogError(f"gradients of {name}: energies beyond the SCF are not read", line)


def _step(data: bytes, start: int, end: int) -> tuple[float, int]:
    """Return a step's energy, NaN when the SCF did not converge, and where its gradient is.

    The latter is -1 when there is none or it belongs to no converged SCF. `LogError` when the
    optimiser followed another energy (MP2, coupled cluster, a double hybrid).
    """
    slope = data.find(_SLOPE, start, end)
    stop = slope if slope >= 0 else end
    done, failed = data.rfind(_SCF_DONE, start, stop), data.rfind(_SCF_FAILED, start, stop)
    if slope >= 0:
        _check_gradient(data, slope)
    if failed > done:
        return np.nan, -1
    match = _ENERGY.match(data, done) if done >= 0 else None
    # Without a gradient behind it an empty line shows that the digits are all there.
    if match is None or (slope < 0 and data[match.end() : match.end() + 1] != b"\n"):
        return np.nan, slope
    energy = number(match.group(1), done)
    followed = _CYCLE.search(data, slope, end) if slope >= 0 else None
    if followed and abs(float(followed.group(1)) - energy) > _CYCLE_DIGITS:
        raise LogError(
            "the optimiser followed another energy than the SCF's: energies beyond it are not read",
            followed.start() + 1,
        )
    return energy, slope


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
    energies, slopes = [], {}
    for index, (start, end) in enumerate(zip(starts, [*cycles[1:], len(data)], strict=True)):
        energy, slope = _step(data, start, end)
        energies.append(energy)
        if slope >= 0:
            slopes[index] = skip_lines(data, slope, 2)
    converged = _CONVERGED in data
    finished = converged or any(text in data for text in _GAVE_UP)
    cut = last_cut(finished, starts, list(slopes.values()))
    positions = _POSITIONS.read(data, starts, labels, known=starts[0], cut=cut)
    gradients = _SLOPES.read(data, list(slopes.values()), labels, cut=cut)
    found = assemble(positions, energies, dict(zip(slopes, gradients, strict=True)))
    functional = _text(_METHOD, data, "").lower()
    version = _text(_VERSION, data, "")
    log = Log(
        program="pyscf",
        version=version,
        run="optimize",
        method="b3lyp" if functional in _FORMS else (functional or "hf"),
        basis=_text(_BASIS, data, "").lower().replace("(d)", "*"),
        charge=int(_text(_CHARGE, data, "0")),
        multiplicity=int(_text(_SPIN, data, "0")) + 1,
        finished=finished,
        converged=converged,
        atomic_numbers=symbols_to_numbers(labels, starts[0]),
        positions=found.positions,
        energies=found.energies,
        gradients=found.gradients,
        functional=_form(functional, version),
        spherical=b"Cartesian GTO integrals" not in data,
        notes=cut_notes(positions, gradients),
    )
    _read_last_orbitals(data, starts[found.last], [*cycles, len(data)][found.last + 1], log)
    return log


def _read_last_orbitals(data: bytes, start: int, end: int, log: Log) -> None:
    """Read frontier orbitals and dipole of the last step, which lies between two places."""
    done = data.rfind(_SCF_DONE, start, end)
    orbitals = _ORBITALS.findall(data[start : max(done, start)])
    if orbitals:
        log.homo, log.lumo = (number(level, start) for level in orbitals[-1])
    dipole = _DIPOLE.findall(data[max(done, start) : end])
    if dipole:
        log.dipole = [number(value, start) for value in dipole[-1]]
