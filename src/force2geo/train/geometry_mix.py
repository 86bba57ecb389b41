"""The downstream set as training data: true, noised and relaxed geometries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from force2geo.potentials.batch import Batch, collate
from force2geo.select.superpose import superpose

if TYPE_CHECKING:
    from force2geo.store.conformers import Conformers


@dataclass
class Molecules:
    """M molecules with one geometry to judge by and several to learn from.

    `fixed[i]` (n,3) Å is what the model sees when judged; `paths[i]` (T,n,3) Å are the frames
    geometry fine-tuning samples from, `truth[i]` (n,3) Å the reference. Å throughout.
    """

    atomic_numbers: list[np.ndarray]
    gap: np.ndarray
    fixed: list[np.ndarray]
    truth: list[np.ndarray]
    paths: list[np.ndarray] | None = None
    noise: float = 0.0

    def __len__(self) -> int:
        return len(self.gap)

    def sizes(self) -> np.ndarray:
        """Return (M,) numbers of atoms."""
        return np.array([len(numbers) for numbers in self.atomic_numbers])

    def batch(self, indices: np.ndarray, rng: np.random.Generator | None = None) -> Batch:
        """Return molecules with their property and, when there are paths, displacements.

        Without paths: the fixed geometries. With paths (Force2Geo, section 2.4) each structure
        is by a toss of `rng` either the truth plus Gaussian noise or a frame drawn from its
        path; the displacement is truth − input, the truth superposed on a frame because a path
        may have turned.
        """
        if self.paths is None or rng is None:
            inputs, displacements = [self.fixed[i] for i in indices], None
        else:
            inputs, moves = [], []
            for i in indices:
                structure, target = self._sample(int(i), rng)
                inputs.append(structure)
                moves.append(target - structure)
            displacements = torch.from_numpy(np.concatenate(moves)).float()
        batch = collate([self.atomic_numbers[i].astype(np.int64) for i in indices], inputs)
        batch.property_value = torch.from_numpy(self.gap[indices]).float()
        batch.displacement = displacements
        return batch

    def _sample(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        truth = self.truth[index]
        assert self.paths is not None
        if rng.random() < 0.5:
            return truth + rng.normal(scale=self.noise, size=truth.shape), truth
        path = self.paths[index]
        frame = path[rng.integers(len(path))]
        return frame, superpose(truth, frame)


def molecules(
    conformers: Conformers,
    cids: list[str],
    geometry: str,
    paths: dict[str, np.ndarray] | None = None,
    noise: float = 0.0,
    sample: bool = False,
) -> Molecules:
    """Return the molecules of `cids` that have the geometry asked for.

    `geometry` is one of the file's or `force2geo`, the end of `paths` (T,n,3) Å by CID. With
    `sample` batches are mixed as geometry fine-tuning wants them; a geometry without a path is
    a path of one frame.
    """
    chosen: list[int] = []
    fixed: list[np.ndarray] = []
    frames: list[np.ndarray] = []
    for cid, row in zip(cids, conformers.index(cids), strict=True):
        if geometry == "force2geo":
            path = (paths or {}).get(cid, np.zeros((0, 0, 3)))
        else:
            path = conformers.geometry[geometry][conformers.atoms(row)][None]
        if not len(path) or not np.isfinite(path).all():
            continue
        chosen.append(int(row))
        fixed.append(path[-1])
        frames.append(path)
    return Molecules(
        atomic_numbers=[conformers.atomic_numbers[conformers.atoms(row)] for row in chosen],
        gap=conformers.gap[chosen],
        fixed=fixed,
        truth=[conformers.geometry["dft"][conformers.atoms(row)] for row in chosen],
        paths=frames if sample else None,
        noise=noise,
    )
