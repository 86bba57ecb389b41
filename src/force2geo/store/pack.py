"""From records to packed snapshots."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from force2geo.store.levels import level_of
from force2geo.store.lmdb_store import Shard
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from force2geo.store.levels import Level
    from force2geo.store.packed import PackedWriter


def pack_trajectories(
    writer: PackedWriter,
    shards: Iterable[Path],
    split_of: dict[str, str],
    align: Callable[[Level, np.ndarray, np.ndarray], np.ndarray],
) -> Counter[Level]:
    """Write the molecules of a split; return how many snapshots there are of each level.

    Snapshots without energy or gradient are left out. A molecule in two shards is taken from the
    first.
    """
    left, levels = dict(split_of), Counter()  # type: tuple[dict[str, str], Counter[Level]]
    for shard in shards:
        for record in Shard(shard).records():
            split = left.pop(record.header["cid"], None)
            if split is None:
                continue
            trajectory = record.trajectory(writer.sources)
            for source, stage in trajectory.stages.items():
                whole = np.isfinite(stage.energies) & np.isfinite(stage.gradients).all(axis=(1, 2))
                level = level_of(stage)
                levels[level] += int(whole.sum())
                energies = stage.energies[whole] * HARTREE_TO_EV
                writer.add(
                    trajectory.cid,
                    trajectory.atomic_numbers,
                    stage.positions[whole],
                    align(level, trajectory.atomic_numbers, energies),
                    stage.gradients[whole] * GRADIENT_TO_FORCE,
                    source,
                    split,
                )
    return levels
