"""GAMESS-US and Firefly (PC-GAMESS) optimisations, which share one layout."""

from __future__ import annotations

import re

import numpy as np

from force2geo.logs.fields import ORIGIN, find, numbers, search, stack_steps, table
from force2geo.logs.log import Log, LogError

_VERSION = re.compile(r"(?:GAMESS VERSION = (.*?)\s*\*|(?:Firefly|PC GAMESS) version\s+([\d.]+))")
_RUN = re.compile(r"^ *SCFTYP=\w+ +RUNTYP=(\w+)", re.MULTILINE)
_SCF = re.compile(r"^ *SCFTYP=(\w+) +RUNTYP", re.MULTILINE)
_DFT = re.compile(r"^ {1,5}DFTTYP=(\w+)(?: +TDDFT|\s*$)", re.MULTILINE)
_MP = re.compile(r"MPLEVL= *(\d+)")
_BASIS = re.compile(r"GBASIS=(\S+) +IGAUSS= *(\d+)")
_POLAR = re.compile(r"NDFUNC= *(\d+)")
_CHARGE = re.compile(r"CHARGE OF MOLECULE += *(-?\d+)")
_MULTIPLICITY = re.compile(r"(?:SPIN|STATE) MULTIPLICITY += *(\d+)")
_OCCUPIED = re.compile(r"OCCUPIED ORBITALS \(ALPHA\) += *(\d+)")
_FINISHED = re.compile(r"EXECUTION OF (?:GAMESS|FIREFLY|PC GAMESS) TERMINATED NORMALLY", re.I)
_CONVERGED = "EQUILIBRIUM GEOMETRY LOCATED"

_MARK = re.compile(
    r"COORDINATES OF ALL ATOMS ARE \(ANGS\)"
    r"|^ FINAL (?:\S+ )?ENERGY IS +(?P<energy>\S+)"
    r"|GRADIENT \(HARTREE/BOHR\)"
    r"|" + re.escape(_CONVERGED),
    re.MULTILINE,
)
_ATOM = re.compile(
    r"[ \t]*[A-Za-z]\w*[ \t]+(\d+)\.\d?[ \t]*(-?\d+\.\d{10}|\*+)[ \t]*(-?\d+\.\d{10}|\*+)"
    r"[ \t]*(-?\d+\.\d{10}|\*+)[ \t]*\n"
)
_SLOPE = re.compile(
    r"[ \t]*\d+[ \t]+[A-Za-z]\w*[ \t]+(\d+)\.\d[ \t]*(-?\d+\.\d{7}|\*+)[ \t]*(-?\d+\.\d{7}|\*+)"
    r"[ \t]*(-?\d+\.\d{7}|\*+)[ \t]*\n"
)
_ORBITAL_INDICES = re.compile(r"^ +\d+(?: +\d+)*[ \t]*\n((?: +-?\d+\.\d{4})+)[ \t]*$", re.MULTILINE)
_DIPOLE = re.compile(r"/D/  \(DEBYE\)\s*\n((?: +-?\d+\.\d+){4})")


def _method(text: str, energy_line: str) -> str:
    for name in ("PM3", "AM1", "MNDO"):
        if name in energy_line:
            return name.lower()
    functionals = [name for name in _DFT.findall(text) if name != "NONE"]
    if functionals:
        return functionals[-1].lower()
    return "hf" if int(find(_MP, text, "0")) == 0 else "mp2"


def _basis(text: str) -> str:
    match = _BASIS.search(text)
    if match is None:
        return ""
    kind, gaussians = match.group(1).upper(), match.group(2)
    if kind == "STO":
        return f"sto-{gaussians}g"
    names = {"N31": f"{gaussians}-31g", "N311": f"{gaussians}-311g"}
    return names.get(kind, kind.lower()) + "*" * int(find(_POLAR, text, "0"))


def parse(text: str) -> Log:
    """Return the steps of a GAMESS or Firefly optimisation; `LogError` when it is none."""
    version = search(_VERSION, text, "GAMESS or Firefly banner")
    run = find(_RUN, text).lower()
    if run != "optimize":
        raise LogError(f"run type is '{run or 'not given'}', not an optimisation")
    steps: list[tuple[np.ndarray, float, np.ndarray]] = []
    atomic_numbers: np.ndarray | None = None
    positions: np.ndarray | None = None
    energy: float | None = None
    energy_line, converged = "", False
    for mark in _MARK.finditer(text):
        kind = mark.group()
        if kind == _CONVERGED:
            converged = True
            break
        if mark["energy"] is not None:
            energy, energy_line = numbers([mark["energy"]], mark.start())[0], kind
        elif kind.startswith("COORD"):
            rows = table(_ATOM, text, mark.end())
            found = np.array([int(row[0]) for row in rows], dtype=np.uint8)
            if atomic_numbers is not None and not np.array_equal(found, atomic_numbers):
                raise LogError("the atoms change between steps", mark.start())
            atomic_numbers, energy = found, None
            values = numbers([v for row in rows for v in row[1:]], mark.start())
            positions = np.array(values).reshape(-1, 3)
        elif positions is not None and energy is not None:
            rows = table(_SLOPE, text, mark.end())
            if len(rows) != len(positions):
                raise LogError(f"gradient of {len(rows)} of {len(positions)} atoms", mark.start())
            values = numbers([v for row in rows for v in row[1:]], mark.start())
            steps.append((positions, energy, np.array(values).reshape(-1, 3)))
            positions = None
    stacked = stack_steps(steps)
    assert atomic_numbers is not None
    firefly = version.group(2) is not None
    log = Log(
        program="firefly" if firefly else "gamess",
        version=version.group(2) or version.group(1).strip(),
        run=run,
        method=_method(text, energy_line),
        basis=_basis(text),
        charge=int(find(_CHARGE, text, "0")),
        multiplicity=int(find(_MULTIPLICITY, text, "1")),
        finished=bool(_FINISHED.search(text)),
        converged=converged,
        atomic_numbers=atomic_numbers,
        positions=stacked[0],
        energies=stacked[1],
        gradients=stacked[2],
        origin=find(ORIGIN, text),
    )
    _read_last_orbitals(text, log)
    return log


def _read_last_orbitals(text: str, log: Log) -> None:
    occupied = int(find(_OCCUPIED, text, "0"))
    tail = text[max(0, text.rfind("EIGENVECTORS")) :]
    levels = [float(v) for row in _ORBITAL_INDICES.findall(tail) for v in row.split()]
    if 0 < occupied < len(levels):
        log.homo, log.lumo = levels[occupied - 1], levels[occupied]
    dipoles = _DIPOLE.findall(text)
    if dipoles:
        log.dipole = [float(v) for v in dipoles[-1].split()[:3]]
