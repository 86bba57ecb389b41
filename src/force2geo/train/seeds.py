"""Seeds of everything random in training, from (seed, epoch, batch, process) alone.

A batch's draws depend on nothing that went before, so a resumed run repeats them.
"""

from __future__ import annotations

import numpy as np
import torch

DATA, OBJECTIVE, MODEL = range(3)  # whose draws, each with its own stream


def generator_of(
    purpose: int, seed: int, epoch: int, batch: int, process: int = 0
) -> np.random.Generator:
    """Return the generator of one batch of one process."""
    return np.random.default_rng(_sequence(purpose, seed, epoch, batch, process))


def seed_of(purpose: int, seed: int, epoch: int, batch: int, process: int = 0) -> int:
    """Return a seed of 63 bits for one batch of one process."""
    state = _sequence(purpose, seed, epoch, batch, process).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def seed_torch(seed: int) -> None:
    """Seed torch's own generators, a microsecond where `torch.manual_seed` takes a hundred."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)


def _sequence(purpose: int, seed: int, *place: int) -> np.random.SeedSequence:
    return np.random.SeedSequence(seed, spawn_key=(purpose, *place))
