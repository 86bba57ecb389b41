"""What runs in a worker: one calculator, and molecules to compute until nobody asks any more."""

from __future__ import annotations

import contextlib
import signal
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.calling import tight_binding
from force2geo.calling.called import Called, import_calculator, said
from force2geo.errors import UserError
from force2geo.fresh import end_with

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


class Shared:
    """One calculator for all molecules, which starts anew at each that is another."""

    def __init__(self, calculator: str, options: dict[str, Any]) -> None:
        if calculator == tight_binding.PATH:  # else it would keep a wave function when reset
            options = options | {"cache_api": False}
        self._called = Called(import_calculator(calculator, options))
        self._last: int | None = None

    def compute(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        charge: int = 0,
        multiplicity: int = 1,
        identity: int | None = None,
    ) -> tuple[float, np.ndarray]:
        """Return the energy (eV) and forces (n,3) eV/Å of a molecule (n,), (n,3) Å."""
        if identity is None or identity != self._last:
            self._called.calculator.reset()
        self._last = identity
        return self._called.compute(numbers, positions, charge, multiplicity)


def opened(record: dict[str, Any]) -> tight_binding.TightBinding | Shared:
    """Return the calculator of a record, ready to compute; `UserError` where it cannot be had."""
    name, options = record["calculator"], record["options"]
    if not tight_binding.takes(name, options):
        return Shared(name, options)
    try:
        return tight_binding.TightBinding(options)
    except Exception as error:  # not installed, or a method it does not know
        raise UserError(f"calculator '{name}': {said(error)}") from error


def answer(
    calculator: tight_binding.TightBinding | Shared, molecules: list[tuple[Any, ...]]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return energies (B,) eV, forces (N,3) eV/Å and reasons (B,) where there are none."""
    energies, forces, reasons = np.full(len(molecules), np.nan), [], [""] * len(molecules)
    for place, molecule in enumerate(molecules):
        own = np.full(molecule[1].shape, np.nan)
        try:
            energies[place], own = calculator.compute(*molecule)
        except Exception as error:  # of any program, in any way
            reasons[place] = said(error)
        forces.append(own)
    return energies, np.concatenate([np.zeros((0, 3)), *forces]), reasons


def main(connection: Connection, parent: int) -> None:
    """Answer what comes over a connection until it is closed, or the parent is gone."""
    # Ctrl-C is for the parent to hear, who may go on asking.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
    with contextlib.suppress(EOFError, OSError):
        try:
            calculator = opened(connection.recv())
        except UserError as error:
            connection.send(str(error))
            return
        while True:
            connection.send(answer(calculator, connection.recv()))
