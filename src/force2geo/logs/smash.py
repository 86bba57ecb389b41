"""SMASH optimisations and gradients."""

from __future__ import annotations

import re

import numpy as np

from force2geo.logs.fields import (
    ORIGIN,
    find,
    numbers,
    search,
    stack_steps,
    symbols_to_numbers,
    table,
)
from force2geo.logs.log import Log, LogError

_VERSION = re.compile(r"SMASH Version ([\d.]+)")
_RUN = re.compile(r"Runtype *= *(\w+)")
_METHOD = re.compile(r"Method *= *([\w-]+)")
_BASIS = re.compile(r"Basis *= *(\S+)")
_CHARGE = re.compile(r"Charge *= *(-?\d+)")
_MULTIPLICITY = re.compile(r"Multi *= *(\d+)")
_FINISHED = "Your calculation finished"
_CONVERGED = re.compile(r"Geometry converged", re.IGNORECASE)
_MARK = re.compile(
    r"Molecular Geometry \(Angstrom\)|(?:DFT|RHF|UHF) Energy = +(?P<energy>\S+)"
    r"|Gradient \(Hartree/Bohr\)|==== Geometry converged|Optimized Molecular Geometry"
)
_ROW = re.compile(
    r"[ \t]*([A-Z][a-z]?)\d*[ \t]*(-?\d+\.\d{7}|\*+)[ \t]*(-?\d+\.\d{7}|\*+)"
    r"[ \t]*(-?\d+\.\d{7}|\*+)[ \t]*\n"
)
_OCCUPIED = re.compile(r"Alpha Occupied:((?: *-?\d+\.\d{5})+)")
_VIRTUAL = re.compile(r"Alpha Virtual :((?: *-?\d+\.\d{5})+)")
_LEVEL = re.compile(r"-?\d+\.\d{5}")
_DIPOLE = re.compile(r"Dipole Mom\w+ \(Debye\)[^\n]*\n[^\n]*\n[^\n]*\n((?: +-?\d+\.\d+){4})")


def parse(text: str) -> Log:
    """Return the steps of a SMASH optimisation or gradient; `LogError` when it is neither."""
    version = search(_VERSION, text, "SMASH banner").group(1)
    run = find(_RUN, text).lower()
    if run not in ("opt", "optimize", "gradient"):
        raise LogError(f"run type is '{run or 'not given'}', not an optimisation or a gradient")
    steps: list[tuple[np.ndarray, float, np.ndarray]] = []
    atomic_numbers: np.ndarray | None = None
    positions: np.ndarray | None = None
    energy: float | None = None
    for mark in _MARK.finditer(text):
        kind = mark.group()
        if kind.startswith(("Optimized", "====")):
            break
        if mark["energy"] is not None:
            energy = numbers([mark["energy"]], mark.start())[0]
            continue
        rows = table(_ROW, text, mark.end())
        values = numbers([v for row in rows for v in row[1:]], mark.start())
        block = np.array(values).reshape(-1, 3)
        found = symbols_to_numbers([row[0] for row in rows], mark.start())
        if atomic_numbers is not None and not np.array_equal(found, atomic_numbers):
            raise LogError("the atoms change between blocks", mark.start())
        atomic_numbers = found
        if kind.startswith("Molecular"):
            positions, energy = block, None
        elif positions is not None and energy is not None:
            steps.append((positions, energy, block))
            positions = None
    stacked = stack_steps(steps)
    assert atomic_numbers is not None
    method = find(_METHOD, text).lower()
    log = Log(
        program="smash",
        version=version,
        run="gradient" if run == "gradient" else "optimize",
        method="hf" if method.startswith("hartree") else method,
        basis=find(_BASIS, text).rstrip(",").lower().replace("(d)", "*"),
        charge=int(find(_CHARGE, text, "0")),
        multiplicity=int(find(_MULTIPLICITY, text, "1")),
        finished=_FINISHED in text,
        converged=bool(_CONVERGED.search(text)),
        atomic_numbers=atomic_numbers,
        positions=stacked[0],
        energies=stacked[1],
        gradients=stacked[2],
        origin=find(ORIGIN, text),
    )
    _read_last_orbitals(text, log)
    return log


def _read_last_orbitals(text: str, log: Log) -> None:
    tail = text[max(0, text.rfind("Orbital Energies")) :]
    occupied = _LEVEL.findall(" ".join(_OCCUPIED.findall(tail)))
    virtual = _LEVEL.findall(" ".join(_VIRTUAL.findall(tail)))
    if occupied and virtual:
        log.homo, log.lumo = float(occupied[-1]), float(virtual[0])
    dipoles = _DIPOLE.findall(text)
    if dipoles:
        log.dipole = [float(v) for v in dipoles[-1].split()[:3]]
