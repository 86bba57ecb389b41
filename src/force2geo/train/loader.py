"""Batches in an order that seed and epoch decide alone, so that a resumed run repeats it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from force2geo.potentials.batch import by_size
from force2geo.train.seeds import DATA, generator_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from force2geo.potentials.batch import Batch


class Dataset(Protocol):
    """Anything with a length that makes batches of some of its items.

    `left_out` counts what was meant to be in it and is not, by reason.
    """

    left_out: dict[str, int]

    def __len__(self) -> int: ...

    def sizes(self) -> np.ndarray:
        """Return the number of atoms of each item."""
        ...

    def ids(self) -> np.ndarray:
        """Return whose each item is, as bytes."""
        ...

    def batch(self, indices: np.ndarray, rng: np.random.Generator | None = None) -> Batch:
        """Return the items at `indices`; `rng` decides anything random about them."""
        ...


class BatchLoader:
    """Iterates over a data set in batches of `batch_size` molecules, the first `skip` left out.

    With `batch_atoms` batches hold molecules of like size, at most so many atoms in all. `share`
    (k, n) gives the k-th of n processes its part of each batch. An epoch is so many `passes` over
    the data set, each in an order of its own: a small set is validated as seldom as a large one.
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
        passes: int = 1,
    ) -> None:
        self.dataset = dataset
        self.seed = (seed, epoch)
        self.skip = skip
        self.share = share
        rng = np.random.default_rng(self.seed)
        order = np.arange(len(dataset))
        if shuffle:
            rng.shuffle(order)
        if passes > 1:
            more = [rng.permutation(order) if shuffle else order for _ in range(passes - 1)]
            order = np.concatenate([order, *more])
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
        for number in range(self.skip, len(self.batches)):
            yield self.batch(number)

    def batch(self, number: int) -> Batch:
        """Return this process's part of a batch, the same whenever it is made."""
        place, parts = self.share
        own = generator_of(DATA, *self.seed, number, place)
        batch = self.batches[number]
        # Every process needs a molecule, or the others would wait for it in vain: of a batch
        # too small to share each takes the whole, and means are what they are by one.
        if len(batch) >= parts:
            batch = batch[place::parts]
        return self.dataset.batch(batch, own)
