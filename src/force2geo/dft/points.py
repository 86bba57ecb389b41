"""The gradients of one molecule's finishing on disk: labelled points, and what goes on from them.

One `.npz` of plain arrays as `force2geo label` writes them, `cid`, `z`, `smiles`, `inchi`,
`charge`, `multiplicity`, `extra_pos` (K,n,3) Å, `extra_energy` (K,) Hartree, `extra_grad` (K,n,3)
Hartree/bohr, `extra_origin` (K,) (`relaxed`, then `finish_1`, `finish_2` ...) and `info`; beside
them the potential's `start` (n,3) Å, `slope` (n,3) eV/Å and `hessian` (3n,3n) eV/Å², and places
without an energy, `failed_pos` (F,n,3) Å, `failed_after` (F,) points and `failed_error` (F,);
`seconds` is what the Hessian and all of DFT took.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.dft.record import labelled
from force2geo.files import atomic_path, hash_value, reading

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.dft.level import Level


@dataclass
class Molecule:
    """A relaxed molecule: elements (n,), positions (n,3) Å, charge in e.

    Coordinates that are `fixed` (n,3) do not move. `cid`, a number of nine digits, is what its
    points are known by, `smiles` and `inchi` what is known of it.
    """

    numbers: np.ndarray
    positions: np.ndarray
    charge: int = 0
    multiplicity: int = 1
    fixed: np.ndarray | None = None
    cid: str = "000000000"
    smiles: str = ""
    inchi: str = ""

    def key(self, level: Level, potential: dict[str, Any]) -> str:
        """Return what start, state, level and potential decide, and no other property."""
        held = None if self.fixed is None else self.fixed.astype(int).tolist()
        geometry = (np.round(self.positions, 8) + 0.0).tolist()  # + 0.0: -0.0 is 0.0
        state = int(self.charge), int(self.multiplicity)
        about = [self.numbers.tolist(), geometry, *state, held, level.as_dict(), potential]
        return hash_value(about)[:8]


@dataclass
class Points:
    """What has been computed of a molecule, as in the file at `path`."""

    path: Path
    slope: np.ndarray
    hessian: np.ndarray
    positions: list[np.ndarray] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    gradients: list[np.ndarray] = field(default_factory=list)
    failed: list[tuple[int, np.ndarray, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """Gradients asked for, with or without success."""
        return len(self.positions) + len(self.failed)

    def write(self, molecule: Molecule, level: Level, potential: dict[str, Any]) -> None:
        """Write the file, whole or not at all."""
        count, shape = len(self.positions), (-1, *molecule.positions.shape)
        names = ["relaxed", *(f"finish_{number}" for number in range(1, count))][:count]
        record = labelled(
            (molecule.cid, molecule.smiles, molecule.inchi),
            molecule.numbers,
            (molecule.charge, molecule.multiplicity),
            self.positions,
            self.energies,
            self.gradients,
            names,
            {"level": level.as_dict(), "potential": potential},
        ) | {
            "start": molecule.positions,
            "slope": self.slope,
            "hessian": self.hessian,
            "failed_pos": np.array([one[1] for one in self.failed]).reshape(shape),
            "failed_after": np.array([one[0] for one in self.failed], dtype=int),
            "failed_error": np.array([one[2] for one in self.failed], dtype=str),
            "seconds": np.array(self.seconds),
        }
        with atomic_path(self.path) as part, part.open("wb") as handle:
            np.savez_compressed(handle, **record)


def read_points(path: Path) -> Points:
    """Return what a file of `Points.write` holds; `UserError` where it is none."""
    with reading(path, "points of a finishing, .npz"), np.load(path, allow_pickle=False) as data:
        failed = zip(
            data["failed_after"].tolist(),
            data["failed_pos"],
            data["failed_error"].tolist(),
            strict=True,
        )
        return Points(
            path,
            data["slope"],
            data["hessian"],
            list(data["extra_pos"]),
            data["extra_energy"].tolist(),
            list(data["extra_grad"]),
            list(failed),
            # Files from before it was kept do not know.
            float(data["seconds"]) if "seconds" in data else float("nan"),
        )
