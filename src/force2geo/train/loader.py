"""Batches in an order that seed and epoch decide alone, so that a resumed run repeats it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from force2geo.potentials.batch import Batch


class Dataset(Protocol):
    """Anything with a length that makes batches of some of its items."""

    def __len__(self) -> int: ...

    def batch(self, indices: np.ndarray, rng: np.random.Generator | None = None) -> Batch:
        """Return the items at `indices`; `rng` decides anything random about them."""
        ...


class BatchLoader:
    """Iterates over a data set in batches of molecules; the first `skip` batches are left out."""

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = False,
        skip: int = 0,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = (seed, epoch)
        self.skip = skip

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size) - self.skip

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng(self.seed)
        order = np.arange(len(self.dataset))
        if self.shuffle:
            rng.shuffle(order)
        for number in range(self.skip, self.skip + len(self)):
            # Each batch has its own random numbers, so that one does not depend on those before.
            own = np.random.default_rng((*self.seed, number))
            first = number * self.batch_size
            yield self.dataset.batch(order[first : first + self.batch_size], own)
