"""What a log says, whatever program wrote it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class LogError(ValueError):
    """A log cannot be used; `offset` is where in the text (characters), the message why."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.offset = offset


@dataclass
class Log:
    """T steps of a run on n atoms, the digits printed.

    `atomic_numbers` (n,), `positions` (T,n,3) Å, `energies` (T,) Hartree, `gradients` (T,n,3)
    Hartree/bohr; `homo` and `lumo` Hartree, `dipole` (3,) Debye, of the last step. `run` is
    `optimize`, `gradient` or what else the program calls it. `origin` names another program
    whose results were written in this layout, empty for a genuine log.
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
    homo: float | None = None
    lumo: float | None = None
    dipole: list[float] | None = field(default=None)
    origin: str = ""
