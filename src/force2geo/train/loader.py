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
    """Iterates over a data set in batches of molecules."""

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int = 0,
        epoch: int = 0,
        shuffle: bool = False,
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = (seed, epoch)

    def __len__(self) -> int:
        return -(-len(self.dataset) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng(self.seed)
        order = np.arange(len(self.dataset))
        if self.shuffle:
            rng.shuffle(order)
        for first in range(0, len(order), self.batch_size):
            yield self.dataset.batch(order[first : first + self.batch_size], rng)
