"""tblite's methods without the calculator between: each molecule's SCF starts from its last.

An eighth to a third of the time of `tblite.ase:TBLite`, whose numbers these are, goes into what
nobody asked for here; and it, made once for many molecules, would start one's SCF from another's.
Of 9 to 19 atoms an SCF that goes on from the last step's takes two thirds to three quarters of the
time of one that starts anew.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from ase.units import Bohr, Hartree, kB

PATH = "tblite.ase:TBLite"
_KNOWN = {"method", "accuracy", "electronic_temperature", "max_iterations", "verbosity"}
MOST_ATOMS = 8192
"""Of molecules whose wave functions are kept: twice what moves at once by default."""


def takes(calculator: str, options: dict[str, Any]) -> bool:
    """Return whether a calculator is tblite's with no option but the plain ones."""
    return calculator == PATH and set(options) <= _KNOWN


class TightBinding:
    """A method of tblite, with the options of its ASE calculator."""

    def __init__(self, options: dict[str, Any]) -> None:
        from tblite.interface import Calculator

        self._make = Calculator
        self.method = options.get("method", "GFN2-xTB")
        self._settings = {
            "accuracy": options.get("accuracy", 1.0),
            "temperature": options.get("electronic_temperature", 300.0) * kB / Hartree,
            "max-iter": options.get("max_iterations", 250),
            "verbosity": options.get("verbosity", 1),
        }
        # Those of molecules on their way, the one asked about last at the end.
        self._kept: OrderedDict[int, tuple[Any, Any, bytes]] = OrderedDict()
        self._atoms = 0
        self._new(np.array([1, 1]), np.array([[0.0, 0, 0], [0, 0, 0.74]]), 0, 1)  # tells wrong ones

    def compute(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        charge: int = 0,
        multiplicity: int = 1,
        identity: int | None = None,
    ) -> tuple[float, np.ndarray]:
        """Return the energy (eV) and forces (n,3) eV/Å of a molecule (n,), (n,3) Å.

        One with an `identity` that was asked about before goes on from that wave function, and
        starts anew where that leads nowhere. Raises what tblite raises.
        """
        kind = numbers.tobytes() + f"{charge} {multiplicity}".encode()
        made, result, known = self._take(identity)
        if made is not None and known == kind:
            try:
                made.update(positions=positions / Bohr)
                result = made.singlepoint(result)
            except RuntimeError:
                made = None
        else:
            made = None
        if made is None:
            made = self._new(numbers, positions, charge, multiplicity)
            result = made.singlepoint()
        energy, gradient = float(result.get("energy")), result.get("gradient")
        if identity is not None:
            self._keep(identity, made, result, kind)
        return energy * Hartree, gradient * (-Hartree / Bohr)

    def _new(self, numbers: np.ndarray, positions: np.ndarray, charge: int, spin: int) -> Any:
        made = self._make(self.method, numbers, positions / Bohr, float(charge), spin - 1)
        for name, value in self._settings.items():
            made.set(name, value)
        return made

    def _take(self, identity: int | None) -> tuple[Any, Any, bytes]:
        if identity is None or identity not in self._kept:
            return None, None, b""
        found = self._kept.pop(identity)
        self._atoms -= len(found[0])
        return found

    def _keep(self, identity: int, made: Any, result: Any, kind: bytes) -> None:
        self._kept[identity] = made, result, kind
        self._atoms += len(made)
        while self._atoms > MOST_ATOMS and len(self._kept) > 1:
            _, (oldest, *_) = self._kept.popitem(last=False)
            self._atoms -= len(oldest)
