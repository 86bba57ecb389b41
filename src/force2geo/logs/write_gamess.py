"""Write an optimisation in the layout of GAMESS-US or Firefly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from force2geo.elements import SYMBOLS
from force2geo.units import BOHR_TO_ANGSTROM

if TYPE_CHECKING:
    import numpy as np

    from force2geo.logs.log import Log

_BANNERS = {
    "gamess": (
        "          ******************************************************\n"
        "          *         GAMESS VERSION = {version:<27} *\n"
        "          ******************************************************\n"
    ),
    "firefly": (
        "          ******************************************************\n"
        "          *      Firefly version {version:<30}*\n"
        "          ******************************************************\n"
    ),
}
_GBASIS = {
    "sto-6g": ("STO", 6, "NONE", 0),
    "6-31g*": ("N31", 6, "POPN31", 1),
    "pm3": ("PM3", 0, "NONE", 0),
}


def _atoms(numbers: np.ndarray, positions: np.ndarray) -> str:
    lines = [
        f" {SYMBOLS[z]:<4}{z:>10}.0{x:>15.10f}{y:>15.10f}{w:>15.10f}"
        for z, (x, y, w) in zip(numbers, positions, strict=True)
    ]
    return "\n".join(lines) + "\n"


def _gradient(numbers: np.ndarray, gradient: np.ndarray) -> str:
    lines = [
        f"{index:>5}  {SYMBOLS[z]:<4}{z:>13}.0{x:>14.7f}{y:>14.7f}{w:>14.7f}"
        for index, (z, (x, y, w)) in enumerate(zip(numbers, gradient, strict=True), start=1)
    ]
    return "\n".join(lines) + "\n"


def _header(log: Log) -> str:
    kind = "UHF" if log.multiplicity > 1 else "RHF"
    functional = "B3LYP" if log.method == "b3lyp" else "NONE"
    electrons = int(log.atomic_numbers.sum()) - log.charge
    alpha = (electrons + log.multiplicity - 1) // 2
    basis, gaussians, polar, d_sets = _GBASIS[log.basis]
    bohr = [
        f" {SYMBOLS[z]:<4}{z:>10}.0{x:>17.10f}{y:>20.10f}{w:>20.10f}"
        for z, (x, y, w) in zip(
            log.atomic_numbers, log.positions[0] / BOHR_TO_ANGSTROM, strict=True
        )
    ]
    return (
        _BANNERS[log.program].format(version=log.version)
        + f" Written by force2geo from {log.origin}\n\n"
        + " INPUT CARD> $CONTRL RUNTYP=OPTIMIZE COORD=UNIQUE UNITS=ANGS $END\n\n"
        + "     BASIS OPTIONS\n     -------------\n"
        + f"     GBASIS={basis:<12} IGAUSS={gaussians:>8}      POLAR={polar:<8}\n"
        + f"     NDFUNC={d_sets:>8}\n"
        + "\n ATOM      ATOMIC                      COORDINATES (BOHR)\n"
        + "           CHARGE         X                   Y                   Z\n"
        + "\n".join(bohr)
        + f"\n\n NUMBER OF ELECTRONS                          ={electrons:>5}\n"
        + f" CHARGE OF MOLECULE                           ={log.charge:>5}\n"
        + f" SPIN MULTIPLICITY                            ={log.multiplicity:>5}\n"
        + f" NUMBER OF OCCUPIED ORBITALS (ALPHA)          ={alpha:>5}\n"
        + f" NUMBER OF OCCUPIED ORBITALS (BETA )          ={electrons - alpha:>5}\n"
        + "\n     $CONTRL OPTIONS\n     ---------------\n"
        + f" SCFTYP={kind:<12} RUNTYP=OPTIMIZE     EXETYP=RUN     \n"
        + " MPLEVL=       0     CITYP =NONE         CCTYP =NONE         VBTYP =NONE    \n"
        + f" DFTTYP={functional:<12} TDDFT =NONE    \n\n"
    )


def _step(log: Log, index: int) -> str:
    begin = f" BEGINNING GEOMETRY SEARCH POINT NSERCH={index:>4} ...\n"
    if log.program == "firefly":
        begin = f" NSERCH={index:>4}\n"
    name = {"pm3": "R-PM3 ", "hf": "RHF ", "b3lyp": "R-B3LYP "}[log.method]
    if log.program == "firefly":
        name = ""
    energy, gradient = log.energies[index], log.gradients[index]
    largest = abs(gradient).max()
    rms = float((gradient**2).mean() ** 0.5)
    return (
        begin
        + "\n COORDINATES OF ALL ATOMS ARE (ANGS)\n"
        + "   ATOM   CHARGE       X              Y              Z\n"
        + " ------------------------------------------------------------\n"
        + _atoms(log.atomic_numbers, log.positions[index])
        + f"\n FINAL {name}ENERGY IS {energy:>20.10f} AFTER  10 ITERATIONS\n\n"
        + f"          NSERCH={index:>3}     ENERGY={energy:>17.7f}\n\n"
        + "                                 -----------------------\n"
        + "                                 GRADIENT (HARTREE/BOHR)\n"
        + "                                 -----------------------\n"
        + "        ATOM     ZNUC       DE/DX         DE/DY         DE/DZ\n"
        + " --------------------------------------------------------------\n"
        + _gradient(log.atomic_numbers, gradient)
        + f"\n          MAXIMUM GRADIENT = {largest:.7f}    RMS GRADIENT = {rms:.7f}\n\n"
    )


def _footer(log: Log) -> str:
    text = "      ***** EQUILIBRIUM GEOMETRY LOCATED *****\n\n" if log.converged else ""
    if log.homo is not None and log.lumo is not None:
        electrons = int(log.atomic_numbers.sum()) - log.charge
        occupied = (electrons + log.multiplicity - 1) // 2
        # Only the frontier orbitals are known; the programs print every occupied one before.
        levels = [0.0] * (occupied - 1) + [log.homo, log.lumo]
        text += "          ------------\n          EIGENVECTORS\n          ------------\n\n"
        for first in range(0, len(levels), 5):
            row = levels[first : first + 5]
            text += "               " + "".join(f"{first + i + 1:>11}" for i in range(len(row)))
            text += "\n               " + "".join(f"{level:>11.4f}" for level in row) + "\n\n"
    if log.dipole is not None:
        total = sum(v * v for v in log.dipole) ** 0.5
        text += "         DX          DY          DZ         /D/  (DEBYE)\n"
        text += "".join(f" {value:>11.6f}" for value in (*log.dipole, total)) + "\n\n"
    name = "FIREFLY" if log.program == "firefly" else "GAMESS"
    return text + (f" EXECUTION OF {name} TERMINATED NORMALLY\n" if log.finished else "")


def write_gamess(log: Log) -> str:
    """Return the text of an optimisation in GAMESS's or Firefly's layout (`log.program`).

    Digits printed: positions 10 decimals (Å), energies 10, gradients 7, orbital energies 4,
    dipole 6. Occupied orbitals below the highest are unknown here and stand as zero.
    """
    log = replace(log, positions=log.positions.round(10), gradients=log.gradients.round(7))
    steps = "".join(_step(log, index) for index in range(len(log.energies)))
    return _header(log) + steps + _footer(log)
