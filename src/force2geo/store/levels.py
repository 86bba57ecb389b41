"""Levels of theory in a store: which are on one energy scale, and how to bring them to one.

Programs mean different things by one name: GAMESS's B3LYP has VWN5, that of SMASH and Firefly
VWN with RPA parameters, about 0.02 Hartree per heavy atom apart; 6-31G* has six d functions in
GAMESS and Firefly, five in SMASH. Gradients hardly differ, energies are on other scales.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from force2geo.store.lmdb_store import Shard
from force2geo.units import HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from force2geo.trajectory import Stage

_RIDGE = 1e-2
_ELEMENTS = 101


class Level(NamedTuple):
    """A program and the energy scale it computed on; `form` is the functional's or the method."""

    program: str
    form: str
    basis: str
    spherical: bool | None

    @property
    def scale(self) -> tuple[str, str, bool | None]:
        """What two levels must share for their energies to be comparable."""
        return self[1:]

    def __str__(self) -> str:
        functions = {None: "", True: ", spherical", False: ", Cartesian"}[self.spherical]
        basis = f"/{self.basis}" if self.basis and self.basis != self.form else ""
        return f"{self.program} {self.form}{basis}{functions}"


def level_of(stage: Stage) -> Level:
    """Return the level of a stage."""
    return Level(stage.program, stage.functional or stage.method, stage.basis, stage.spherical)


def mixed_levels(levels: Counter[Level]) -> str:
    """Return a warning when snapshots of several energy scales are together, else nothing."""
    scales = {level.scale for level in levels}
    if len(scales) < 2:
        return ""
    names = "; ".join(f"{count} of {level}" for level, count in levels.most_common())
    return (
        f"snapshots on {len(scales)} energy scales are together ({names}): set "
        "reference_per_level in the pack settings, or choose sources of one scale"
    )


def fit_levels(
    shards: Sequence[Path], sources: Iterable[str], cids: set[str]
) -> dict[Level, np.ndarray]:
    """Return reference energies (101,) in eV by atomic number for each level, first the main one.

    A least-squares fit of energies to compositions for all levels together, then one for each
    with a ridge that holds elements it hardly knows to the common value. The main level is the
    one with most snapshots.
    """
    squares: dict[Level, np.ndarray] = {}
    products: dict[Level, np.ndarray] = {}
    counts: Counter[Level] = Counter()
    wanted, seen = list(sources), set()
    for path in shards:
        for record in Shard(path).records():
            cid = record.header["cid"]
            if cid not in cids or cid in seen:
                continue
            seen.add(cid)
            trajectory = record.trajectory(wanted)
            composition = np.bincount(trajectory.atomic_numbers, minlength=_ELEMENTS).astype(float)
            for stage in trajectory.stages.values():
                energies = stage.energies[np.isfinite(stage.energies)] * HARTREE_TO_EV
                level = level_of(stage)
                counts[level] += len(energies)
                square = np.outer(composition, composition) * len(energies)
                squares[level] = squares.get(level, 0.0) + square
                products[level] = products.get(level, 0.0) + composition * energies.sum()
    if not counts:
        return {}
    common = np.linalg.lstsq(sum(squares.values()), sum(products.values()), rcond=None)[0]
    references = {}
    for level, _ in counts.most_common():
        ridge = squares[level] + _RIDGE * np.eye(_ELEMENTS)
        left = products[level] - squares[level] @ common
        references[level] = common + np.linalg.solve(ridge, left)
    return references


def align(
    references: dict[Level, np.ndarray] | None,
) -> Callable[[Level, np.ndarray, np.ndarray], np.ndarray]:
    """Return a function of level, atomic numbers (n,) and energies (T,) eV that gives energies.

    With references they are moved to the main level's scale; without they stay as they are.
    """
    if not references:
        return lambda _level, _numbers, energies: energies
    main = next(iter(references.values()))

    def moved(level: Level, numbers: np.ndarray, energies: np.ndarray) -> np.ndarray:
        # A level that no training molecule has cannot be placed; it stays, and pack says so.
        return energies - (references.get(level, main) - main)[numbers].sum()

    return moved
