"""What became of the molecules of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from force2geo.files import write_table
from force2geo.relax.resumable import FAILED
from force2geo.relax.structures import Lost

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from force2geo.relax.journal import Journal


@dataclass
class Tally:
    """How relaxations ended, `(status, steps)` of each, why some failed, and what was `lost`."""

    ended: list[tuple[str, int]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    lost: list[Lost] = field(default_factory=list)

    @classmethod
    def of(cls, journal: Journal, lost: Iterable[Lost] = ()) -> Tally:
        """Return that of a journal that has all its molecules."""
        return cls(list(journal.ended.values()), journal.reasons, list(lost))

    @classmethod
    def read(cls, told: Iterable[dict[str, Any]]) -> Tally:
        """Return that of portions that were told as JSON."""
        whole = cls()
        for one in told:
            whole.ended += [(status, steps) for status, steps in one["ended"]]
            whole.reasons.update(one["reasons"])
            whole.lost += [Lost(**row) for row in one["lost"]]
        return whole

    def tell(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        lost = [asdict(one) for one in self.lost]
        return {"ended": self.ended, "reasons": dict(self.reasons), "lost": lost}

    @property
    def failed(self) -> int:
        """How many relaxations gave no geometry."""
        return sum(status in FAILED for status, _ in self.ended)

    def write_lost(self, path: Path) -> None:
        """Write a row for each molecule that was lost, and no file where none was."""
        if not self.lost:
            path.unlink(missing_ok=True)
            return
        rows = [
            {"molecule": one.place, "name": one.name, "smiles": one.smiles, "reason": one.reason}
            for one in self.lost
        ]
        write_table(path, rows[0], rows)
