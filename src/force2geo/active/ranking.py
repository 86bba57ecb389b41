"""Which of many geometries come first: the least sure, or any, and no two alike."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from force2geo.errors import UserError
from force2geo.superposition import farthest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Geometry = Callable[[int], np.ndarray]

Kind = TypeVar("Kind")


class Limits(NamedTuple):
    """How many geometries of a molecule are chosen at a time, and how far apart they are.

    Two geometries are `distance` Å apart when that far lies their farthest atom once they are
    superposed; 0 for any. `per_molecule` is None for any number.
    """

    per_molecule: int | None = None
    distance: float = 0.0


def least_sure(spread: np.ndarray, cids: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the places of geometries, the largest of `spread` (S,) first.

    Of equal ones the first by `cids` (S,) and `frames` (S,); what has no finite spread is left out.
    """
    order = np.lexsort((frames, cids, -spread))
    return order[np.isfinite(spread[order])]


def first_apart(
    order: Iterable[int],
    cids: np.ndarray,
    geometry: Geometry,
    budget: int,
    limits: Limits,
    taken: Mapping[str, Sequence[np.ndarray]],
) -> list[int]:
    """Return the first `budget` places in `order` that keep to the limits.

    `cids` (S,) says whose a geometry is, `geometry` gives it (n,3) Å by its place; of those `taken`
    before, by molecule, the chosen are as far as from one another. `UserError` where the order has
    fewer.
    """
    found: list[int] = []
    count: dict[str, int] = defaultdict(int)
    near = {cid: list(kept) for cid, kept in taken.items()}
    for place in order:
        if len(found) == budget:
            break
        cid = cids[place]
        if count[cid] == limits.per_molecule:
            continue
        if limits.distance:
            own, kept = geometry(place), near.setdefault(cid, [])
            if kept and farthest(np.stack(kept), own).min() < limits.distance:
                continue
            kept.append(own)
        count[cid] += 1
        found.append(int(place))
    return enough(found, budget)


def enough(found: list[Kind], budget: int) -> list[Kind]:
    """Return what was found for a budget; `UserError` where that is less."""
    if len(found) < budget:
        raise UserError(
            f"{budget} labels are wanted and the pool has {len(found)} that differ enough: lower "
            "the budget or the distance, raise the geometries per molecule or give more molecules"
        )
    return found


def covering(order: np.ndarray, composition: np.ndarray, budget: int) -> np.ndarray:
    """Return `order` (S,) with the first that have each element put before all others.

    `composition` (S,E) says which elements a geometry has. Who trains on the first `budget` then
    knows every element; `UserError` where these are too few.
    """
    wanted = composition[order].any(axis=0)
    ahead: list[int] = []
    # The rarest first: who has one often has the common ones, too.
    for element in np.argsort(composition[order].sum(axis=0), kind="stable"):
        if wanted[element] and not composition[ahead, element].any():
            ahead.append(int(order[composition[order, element]][0]))
    if len(ahead) > budget:
        raise UserError(f"{budget} labels are too few to have each of {wanted.sum()} elements once")
    return np.concatenate([np.array(ahead, dtype=order.dtype), order[~np.isin(order, ahead)]])
