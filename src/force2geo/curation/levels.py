"""Levels of theory in a store that are not on one energy scale, and how to bring them to one.

Programs mean different things by one name: GAMESS's B3LYP has VWN5, that of SMASH and Firefly
VWN with RPA parameters, about 0.02 Hartree per heavy atom apart; 6-31G* has six d functions in
GAMESS and Firefly, five in SMASH. GAMESS's PM3 energies are totals, MOPAC's heats of formation.
Gradients hardly differ, energies are on other scales.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from force2geo.curation.joined import joined
from force2geo.store.level import Level, level_of
from force2geo.units import HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence
    from pathlib import Path

_RIDGE = 1e-2
_ELEMENTS = 101


def mixed_levels(levels: Counter[Level]) -> str:
    """Return a warning when snapshots of several energy scales are together, else nothing."""
    scales = {level.scale for level in levels}
    if len(scales) < 2:
        return ""
    names = "; ".join(f"{count} of {level}" for level, count in levels.most_common())
    return (
        f"snapshots on {len(scales)} energy scales are together ({names}): set "
        "reference_per_level of the data set, or choose sources of one scale"
    )


def fit_levels(
    shards: Sequence[Path],
    sources: Iterable[str],
    cids: Container[str],
    states: Container[tuple[int, int]] | None = None,
) -> dict[Level, np.ndarray]:
    """Return reference energies (101,) in eV by atomic number for each level, first the main one.

    A least-squares fit of energies to compositions for all levels together, then one for each
    with a ridge that holds elements it hardly knows to the common value. The main level is the
    one with most snapshots. `states` are the charges and multiplicities taken, None takes all.
    """
    squares: dict[Level, np.ndarray] = {}
    products: dict[Level, np.ndarray] = {}
    counts: Counter[Level] = Counter()
    for trajectory in joined(shards, list(sources), cids):
        if states is not None and (trajectory.charge, trajectory.multiplicity) not in states:
            continue
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

    With references they are moved to the main level's scale; without they stay as they are. A
    level that no training molecule has is moved as another of its scale; where there is none it
    cannot be placed, and its energies come back as NaN.
    """
    if not references:
        return lambda _level, _numbers, energies: energies
    main = next(iter(references.values()))
    of_scale = {level.scale: reference for level, reference in reversed(references.items())}

    def moved(level: Level, numbers: np.ndarray, energies: np.ndarray) -> np.ndarray:
        reference = references.get(level, of_scale.get(level.scale))
        if reference is None:
            return np.full_like(energies, np.nan)
        return energies - (reference - main)[numbers].sum()

    return moved
