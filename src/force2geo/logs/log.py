"""What a log says, whatever program wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class LogError(ValueError):
    """A log cannot be used: why, the byte `offset` of the cause, what had been found by then."""

    def __init__(self, message: str, offset: int = 0, atoms: int = 0, steps: int = 0) -> None:
        super().__init__(message)
        self.offset = offset
        self.atoms = atoms
        self.steps = steps


class NoLogError(LogError):
    """A file is no log of any program that is read."""


@dataclass
class Log:
    """T steps of a run on n atoms, the digits printed.

    `atomic_numbers` (n,), `positions` (T,n,3) Å, `energies` (T,) Hartree, `gradients` (T,n,3)
    Hartree/bohr; an energy or a gradient that a step did not print is NaN. `homo` and `lumo`
    Hartree, `dipole` (3,) Debye, of the last step. `run` is `optimize` or `gradient` (one point).
    `functional` names the form of a density functional, `b3lyp(vwn5)` say, and is empty without
    one; `spherical` tells spherical from Cartesian functions, None without a basis. `origin`
    names another program whose results were written in this layout, empty for a genuine log;
    `notes` say what was mended on reading, where a run was cut, and what of the file was left out.
    """

    program: str
    version: str
    run: str
    method: str
    basis: str
    charge: int
    multiplicity: int
    finished: bool
    converged: bool
    atomic_numbers: np.ndarray
    positions: np.ndarray
    energies: np.ndarray
    gradients: np.ndarray
    functional: str = ""
    spherical: bool | None = None
    homo: float | None = None
    lumo: float | None = None
    dipole: list[float] | None = None
    origin: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def status(self) -> str:
        """`normal` when the program came to its end, else `abnormal`."""
        return "normal" if self.finished else "abnormal"
