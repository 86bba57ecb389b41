"""A pool without labels: molecules that a committee relaxes, all geometries of their paths."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch

from force2geo.active.choice import frame_numbers
from force2geo.active.disagreement import spreads
from force2geo.dft.label import LabelError, conformer, multiplicity_of, state_of
from force2geo.files import atomic_path, known_hash
from force2geo.potentials.batch import Batch, collate
from force2geo.relax.evaluators import Evaluator, of_model
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import write_relaxed
from force2geo.relax.resumable import FAILED, relax_resumably

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from force2geo.potentials.model import Model

RELAXED = {"force_threshold": 0.05, "max_steps": 200, "optimizer": "bfgs"}
"""How far the pool is relaxed: eV/Å, steps and the optimiser."""
# Geometries with larger forces (eV/Å) are nowhere that a relaxation should come by.
_STRAINED = 30.0


def starts_of(rows: Sequence[dict[str, str]], seed: int) -> tuple[list[str], list[Relaxation]]:
    """Return the CIDs and starts of the molecules of a list that RDKit can embed.

    The conformers are those that `force2geo label` begins with.
    """
    cids: list[str] = []
    starts: list[Relaxation] = []
    for row in rows:
        try:
            molecule, _ = conformer(row["cid"], row["smiles"], seed)
            state = state_of(molecule, multiplicity_of(row))
        except LabelError:
            continue
        numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
        positions = molecule.GetConformer().GetPositions()
        place, (charge, multiplicity) = len(starts), state
        cids.append(row["cid"])
        starts.append(
            Relaxation(numbers, positions, place, charge=charge, multiplicity=multiplicity)
        )
    return cids, starts


def refusal(committee: Model, run: Relaxation) -> str:
    """Return why a committee cannot answer for a molecule, nothing if it can."""
    return committee.refusal(run.atomic_numbers, run.charge, run.multiplicity)


def write_paths(
    path: Path,
    cids: Sequence[str],
    starts: Sequence[Relaxation],
    committee: Model,
    models: Sequence[Path],
) -> None:
    """Relax molecules and write all geometries on their ways; killed, the same call goes on."""
    origin = {"models": [known_hash(model) for model in models], "dtype": "float64"}
    refuse, device = partial(refusal, committee), committee.device
    threads = torch.get_num_threads() if device == "cpu" else 1
    evaluator = Evaluator(of_model(committee), refuse, origin, device, threads)
    journal = relax_resumably(path, starts, evaluator, RELAXED)
    with atomic_path(path) as part:
        write_relaxed(part, cids, journal.results())
    journal.close()


class Paths:
    """The geometries of a file of relaxations that may be chosen, F of them.

    `cids` (F,) are their molecules, `frames` (F,) their numbers on the paths. Paths that ended in
    nothing have none, nor have places far from any molecule.
    """

    def __init__(self, path: Path) -> None:
        self._file = h5py.File(path, "r")
        known: dict[str, Any] = {name: self._file[name][:] for name in (
            "cid", "ptr", "frame_ptr", "frame_offset", "status", "charge", "multiplicity",
            "atomic_numbers", "frame_max_force",
        )}  # fmt: skip
        self._known = known
        counts = np.diff(known["frame_ptr"])
        molecule = np.repeat(np.arange(len(counts)), counts)
        numbers = frame_numbers(molecule)
        failed = np.isin(known["status"], [name.encode() for name in FAILED])
        good = ~failed[molecule] & (known["frame_max_force"] < _STRAINED)
        self.molecule, self.frames = molecule[good], numbers[good]
        self.cids = np.char.decode(known["cid"][self.molecule], "ascii")
        self.refused = int(failed.sum())

    def numbers(self, place: int) -> np.ndarray:
        """Return atomic numbers (n,)."""
        own = self.molecule[place]
        found: np.ndarray = self._known["atomic_numbers"][slice(*self._known["ptr"][own : own + 2])]
        return found

    def geometry(self, place: int) -> np.ndarray:
        """Return positions (n,3) Å."""
        own = self.molecule[place]
        size = int(np.diff(self._known["ptr"][own : own + 2])[0])
        first = int(self._known["frame_offset"][own]) + size * int(self.frames[place])
        found: np.ndarray = self._file["frame_positions"][first : first + size]
        return found

    def state(self, place: int) -> tuple[int, int]:
        """Return charge and multiplicity."""
        own = self.molecule[place]
        return int(self._known["charge"][own]), int(self._known["multiplicity"][own])

    def batch(self, places: np.ndarray) -> Batch:
        """Return geometries as a batch, float64."""
        batch = collate(
            [self.numbers(place) for place in places],
            [self.geometry(place) for place in places],
            torch.float64,
        )
        states = torch.tensor([self.state(place) for place in places])
        batch.charge, batch.multiplicity = states.unbind(1)
        return batch

    def spread(self, committee: Model) -> np.ndarray:
        """Return the committee's disagreement (F,) eV/Å."""
        sizes = np.diff(self._known["ptr"])[self.molecule]
        return spreads(committee, sizes, self.batch)
