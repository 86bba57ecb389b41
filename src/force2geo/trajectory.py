"""The record every stage speaks: a molecule and its relaxation, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

PATH_STAGES = ("pm3", "hf", "dft_1st", "dft_2nd")
"""Stages of a PubChemQC relaxation, each starting where the one before it ended."""

POINT_SETS = ("dft_points",)
"""Sets of single points, which are no path."""


@dataclass
class Stage:
    """T structures of one molecule of n atoms at one level of theory.

    `positions` (T,n,3) Å, `energies` (T,) Hartree, `gradients` (T,n,3) Hartree/bohr, the digits
    printed; NaN for an energy or a gradient that a step did not print. `functional` is the form
    of the density functional (`b3lyp(vwn5)`), `spherical` whether the basis functions are.
    `status` is `normal`, or `abnormal` when the program did not come to its end. `homo`, `lumo`
    (Hartree) and `dipole` (3,) Debye belong to the last structure; None where not printed.
    `origin` says where the T points of a set come from, empty for a path. `notes` say what was
    mended or left out on reading the log.
    """

    program: str
    version: str
    method: str
    basis: str
    converged: bool
    positions: np.ndarray
    energies: np.ndarray
    gradients: np.ndarray
    functional: str = ""
    spherical: bool | None = None
    status: str = "normal"
    homo: float | None = None
    lumo: float | None = None
    dipole: list[float] | None = None
    origin: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.energies)


@dataclass
class Trajectory:
    """A molecule: nine-digit `cid`, `atomic_numbers` (n,), identifiers and its stages by name."""

    cid: str
    atomic_numbers: np.ndarray
    charge: int = 0
    multiplicity: int = 1
    smiles: str = ""
    inchi: str = ""
    stages: dict[str, Stage] = field(default_factory=dict)

    @property
    def final_dft(self) -> Stage | None:
        """The last DFT stage that converged, else the last; None without one.

        A second run that failed takes nothing from a first one that converged.
        """
        found = [self.stages[name] for name in ("dft_2nd", "dft_1st") if name in self.stages]
        return next((stage for stage in found if stage.converged), next(iter(found), None))
