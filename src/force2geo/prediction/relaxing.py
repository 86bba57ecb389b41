"""Relaxation on the way to a prediction, group by group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from force2geo.prediction.applicability import EDGE, OUTSIDE
from force2geo.relax import batched
from force2geo.relax.resumable import FAILED
from force2geo.relax.structure_file import starts_of_structures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from force2geo.prediction.predict import Prediction
    from force2geo.relax.evaluators import Evaluator

# What a relaxation that did not converge says of the prediction for its end.
_OTHER = "relaxed into another molecule"
_DOUBTS = {
    "step limit": (EDGE, "not relaxed to the end"),
    "bonds changed": (OUTSIDE, f"{_OTHER}: bonds changed"),
    "dissociated": (OUTSIDE, f"{_OTHER}: dissociated"),
}


@dataclass
class Relaxer:
    """A potential and how far it is followed: until forces are below `threshold` (eV/Å)."""

    evaluator: Evaluator
    threshold: float = 0.05
    limit: int = 500
    optimizer: str = "bfgs-model"
    batch_atoms: int = 4096

    def relaxed(self, rows: Sequence[Prediction]) -> list[Prediction]:
        """Relax molecules and return those there is a geometry of; the rows say how it ended."""
        structures = [row.structure for row in rows if row.structure is not None]
        runs = starts_of_structures(structures)
        one_way = ""
        try:
            batched.relax_runs(
                runs,
                self.evaluator.evaluate,
                self.threshold,
                self.limit,
                optimizer=self.optimizer,
                batch_atoms=1 if self.evaluator.one_by_one else self.batch_atoms,
                device=self.evaluator.device,
                whole_paths=False,
                refuse=self.evaluator.refuse,
                threads=self.evaluator.threads,
                unsure_above=self.evaluator.unsure_above,
            )
        except batched.SameFailureError as error:
            one_way = str(error)  # a row for each of those that were not tried, too
        left = []
        for row, structure, run in zip(rows, structures, runs, strict=True):
            if run.status == "running":
                run.explode(one_way)
            row.status = f"{run.status}: {run.reason}" if run.reason else run.status
            if run.status in FAILED:
                row.applicability, row.reason = OUTSIDE, f"relaxation {row.status}"
                continue
            structure.positions = run.frames[-1]
            row.applicability, row.reason = _DOUBTS.get(run.status, ("", ""))
            if run.status == "unsure":
                row.applicability, row.reason = EDGE, f"relaxed to an unsure end: {run.reason}"
            left.append(row)
        return left
