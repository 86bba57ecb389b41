"""What is asked of a pool of molecules without labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from force2geo.files import known_hash, read_json, reading
from force2geo.select.leakage import key_of, read_test_sets, skeletons_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Held:
    """A split of a selection (JSON), whose molecules are in an index (Parquet)."""

    selection: Path
    index: Path
    split: str

    def skeletons(self) -> frozenset[str]:
        """Return those of the molecules that are validated and tested on."""
        with reading(self.selection, f"a selection with a split {self.split}"):
            parts = read_json(self.selection)[self.split]
        with reading(self.index, "the merged index of a store, Parquet"):
            index = pd.read_parquet(self.index, columns=["cid", "inchikey"])
        return frozenset(skeletons_of(index, [*parts["val"], *parts["test"]]))


@dataclass(frozen=True)
class Wanted:
    """Which geometries are wanted, `budget` of them.

    `choose` is `spread`, those on relaxations' paths that the committee of `models` is least sure
    of; `frames`, any on these paths; or `random`, those of any molecules as `force2geo label` makes
    them without a committee; where there is one, of molecules that it does not refuse. Molecules
    with a skeleton of `apart` (CSV) or of a split's test sets (`held`) are left out, and so are
    geometries too near to labels of `earlier` (folders), see `Limits`; `random` draws no molecule
    of these again.
    """

    choose: str
    budget: int
    seed: int
    per_molecule: int
    distance: float
    models: tuple[Path, ...] = ()
    apart: tuple[Path, ...] = ()
    earlier: tuple[Path, ...] = ()
    held: Held | None = None

    def record(self) -> dict[str, Any]:
        """Return all that a choice depends on but its pool, files as their hashes."""
        values = asdict(self)
        for name in ("models", "apart"):
            values[name] = {str(path): known_hash(path) for path in values[name]}
        values["earlier"] = [str(path) for path in self.earlier]
        if self.held is not None:
            values["held"] = [known_hash(self.held.selection), self.held.split]
        return values

    def of(self, rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
        """Return the molecules of a list that are not to be kept apart."""
        kept = read_test_sets(self.apart)
        if self.held is not None:
            kept |= self.held.skeletons()
        if not kept:
            return list(rows)
        # One without a skeleton cannot be told from those.
        return [row for row in rows if (key := key_of(row)[:14]) and key not in kept]
