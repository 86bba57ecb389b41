"""Write an optimisation or a gradient in the layout of SMASH."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from force2geo.elements import SYMBOLS

if TYPE_CHECKING:
    import numpy as np

    from force2geo.logs.log import Log

_RULE = " " + "-" * 52 + "\n"


def _block(title: str, numbers: np.ndarray, values: np.ndarray) -> str:
    lines = [
        f"   {SYMBOLS[z]:<3}{x:>15.7f}{y:>14.7f}{w:>14.7f}"
        for z, (x, y, w) in zip(numbers, values, strict=True)
    ]
    head = "  Atom            X             Y             Z\n"
    return _RULE + title + head + _RULE + "\n".join(lines) + "\n" + _RULE


def _header(log: Log) -> str:
    run = "GRADIENT" if log.run == "gradient" else "OPT"
    method = "HARTREE-FOCK" if log.method == "hf" else log.method.upper()
    basis = log.basis.upper().replace("*", "(D)")
    kind = "UHF" if log.multiplicity > 1 else "RHF"
    return (
        " *******************************************\n"
        "    Scalable Molecular Analysis Solver for\n"
        "      High performance computing systems\n"
        f"            SMASH Version {log.version}\n"
        " *******************************************\n\n"
        f" Written by force2geo from {log.origin}\n\n"
        f" {'-' * 77}\n   Job information\n {'-' * 77}\n"
        f"   Runtype = {run:<12},  Method  = {method:<13},  Basis    = {basis:<16}\n"
        f"   Memory  = 8000MB      ,  SCFtype = {kind:<12},  Precision= MEDIUM      \n"
        f"   Charge  = {float(log.charge):<12.1f},  Multi   = {log.multiplicity:<12},"
        "  Spher    = F\n"
        f" {'-' * 77}\n\n"
    )


def _step(log: Log, index: int) -> str:
    name = "DFT" if log.method != "hf" else ("UHF" if log.multiplicity > 1 else "RHF")
    gradient = log.gradients[index]
    text = _block(
        "          Molecular Geometry (Angstrom)\n", log.atomic_numbers, log.positions[index]
    )
    text += f"\n    SCF Converged.\n    {name} Energy = {log.energies[index]:>17.9f} Hartree\n\n"
    text += _block("          Gradient (Hartree/Bohr)\n", log.atomic_numbers, gradient)
    if log.run == "gradient":
        return text
    rms = float((gradient**2).mean() ** 0.5)
    return (
        text
        + f"   Geometry convergence check\n     Optimization cycle: {index + 1:>3} / 100\n"
        + f"     Maximum gradient  = {abs(gradient).max():>9.6f}\n"
        + f"     RMS gradient      = {rms:>9.6f}\n\n"
    )


def _footer(log: Log) -> str:
    text = "   ==== Geometry converged ====\n\n" if log.converged else ""
    if log.homo is not None and log.lumo is not None:
        # Only the frontier orbitals are known.
        text += " " + "-" * 80 + "\n   Orbital Energies (Hartree)\n " + "-" * 80 + "\n"
        text += f"   Alpha Occupied: {log.homo:>12.5f}\n   Alpha Virtual : {log.lumo:>12.5f}\n"
        text += " " + "-" * 80 + "\n\n"
    if log.dipole is not None:
        total = sum(v * v for v in log.dipole) ** 0.5
        text += "               Dipole Momemt (Debye)\n"
        text += "        X          Y          Z       Total\n" + _RULE
        text += "".join(f" {value:>10.4f}" for value in (*log.dipole, total)) + "\n" + _RULE + "\n"
    if log.finished:
        text += " Your calculation finished successfully with  0 warning.\n"
    return text


def write_smash(log: Log) -> str:
    """Return the text of a run in SMASH's layout.

    Digits printed: positions 7 decimals (Å), energies 9, gradients 7, orbital energies 5,
    dipole 4.
    """
    log = replace(log, gradients=log.gradients.round(7))
    steps = "".join(_step(log, index) for index in range(len(log.energies)))
    return _header(log) + steps + _footer(log)
