"""From records to packed snapshots."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from force2geo.curation.joined import joined
from force2geo.store.level import level_of
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from pathlib import Path
    from typing import Any

    from force2geo.store.level import Level
    from force2geo.training_data.packed import PackedWriter

CHARGE_STATES = ((0, 1),)
"""Charge and multiplicity of what is packed if nothing is said: the networks take neither as an
input, so that an ion's energies would be noise to them."""


@dataclass
class Packed:
    """What became of a split: snapshots written by level, and what was left out.

    `unplaced` snapshots are of levels that no reference brings to the main scale, `incomplete`
    ones have no energy or no gradient; `left_out` counts molecules by charge and multiplicity.
    """

    levels: Counter[Level] = field(default_factory=Counter)
    unplaced: Counter[Level] = field(default_factory=Counter)
    left_out: Counter[tuple[int, int]] = field(default_factory=Counter)
    incomplete: int = 0


def pack_trajectories(
    writer: PackedWriter,
    shards: Sequence[Path],
    split_of: dict[str, str],
    align: Callable[[Level, np.ndarray, np.ndarray], np.ndarray],
    states: Container[tuple[int, int]] = CHARGE_STATES,
    progress: Callable[[int], Any] = lambda _: None,
) -> Packed:
    """Write the molecules of a split whose charge and multiplicity are among `states`.

    Of a molecule in several shards all stages are taken.
    """
    packed = Packed()
    for trajectory in joined(shards, writer.sources, split_of):
        progress(1)
        state = trajectory.charge, trajectory.multiplicity
        if state not in states:
            packed.left_out[state] += 1
            continue
        for source, stage in trajectory.stages.items():
            whole = np.isfinite(stage.energies) & np.isfinite(stage.gradients).all(axis=(1, 2))
            packed.incomplete += int((~whole).sum())
            if not whole.any():
                continue
            level = level_of(stage)
            energies = stage.energies[whole] * HARTREE_TO_EV
            energies = align(level, trajectory.atomic_numbers, energies)
            if np.isnan(energies).any():
                packed.unplaced[level] += len(energies)
                continue
            packed.levels[level] += len(energies)
            writer.add(
                trajectory.cid,
                trajectory.atomic_numbers,
                stage.positions[whole],
                energies,
                stage.gradients[whole] * GRADIENT_TO_FORCE,
                source,
                split_of[trajectory.cid],
                state,
            )
    return packed
