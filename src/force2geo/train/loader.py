"""Batches in an order that seed and epoch decide alone, so that a resumed run repeats it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from force2geo.potentials.batch import by_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from force2geo.potentials.batch import Batch


class Dataset(Protocol):
    """Anything with a length that makes batches of some of its items."""

    def __len__(self) -> int: ...

    def sizes(self) -> np.ndarray:
        """Return the number of atoms of each item."""
        ...

    def batch(self, indices: np.ndarray, rng: np.random.Generator | None = None) -> Batch:
        """Return the items at `indices`; `rng` decides anything random about them."""
        ...


class BatchLoader:
    """Iterates over a data set in batches of `batch_size` molecules, the first `skip` left out.

    With `batch_atoms` batches hold molecules of like size, at most so many atoms in all. `share`
    (k, n) gives the k-th of n processes its part of each batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = False,
        skip: int = 0,
        batch_atoms: int | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.dataset = dataset
        self.seed = (seed, epoch)
        self.skip = skip
        self.share = share
        rng = np.random.default_rng(self.seed)
        order = np.arange(len(dataset))
        if shuffle:
            rng.shuffle(order)
        if batch_atoms is None:
            self.batches = [
                order[first : first + batch_size] for first in range(0, len(order), batch_size)
            ]
        else:
            self.batches = by_size(dataset.sizes(), batch_atoms, order)
            if shuffle:
                self.batches = [self.batches[i] for i in rng.permutation(len(self.batches))]

    def __len__(self) -> int:
        return len(self.batches) - self.skip

    def __iter__(self) -> Iterator[Batch]:
        place, parts = self.share
        for number in range(self.skip, len(self.batches)):
            # Each batch has its own random numbers, so that one does not depend on those before.
            own = np.random.default_rng((*self.seed, number, *((place,) if parts > 1 else ())))
            batch = self.batches[number]
            if parts > 1:
                # Every process needs a molecule, or the others would wait for it in vain.
                batch = np.resize(batch, max(len(batch), parts))[place::parts]
            yield self.dataset.batch(batch, own)
