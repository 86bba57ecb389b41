"""Relaxations that a kill interrupts and the same call goes on with."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from force2geo.progress import Progress
from force2geo.relax import batched
from force2geo.relax.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from force2geo.relax.evaluators import Evaluator
    from force2geo.relax.relaxation import Relaxation

FAILED = ("refused", "exploded")
"""Statuses of relaxations that gave no geometry."""


def relax_resumably(
    output: Path,
    starts: Sequence[Relaxation],
    evaluator: Evaluator,
    settings: dict[str, Any],
    batch_atoms: int = 4096,
    whole_paths: bool = True,
) -> Journal:
    """Relax molecules on the way to `output` and return the journal that then has them all.

    `settings` are `optimizer`, `force_threshold` (eV/Å), `max_steps` and all else that a result
    depends on beside starts and evaluator; the rest is as in `relax_runs`. The caller writes the
    output and closes the journal.
    """
    depends = {**settings, **evaluator.origin}
    if math.isfinite(evaluator.unsure_above):
        depends["unsure_above"] = evaluator.unsure_above
    journal = Journal(output, depends, starts, whole_paths)
    if journal.ended:
        print(f"going on: {len(journal.ended)} of {len(starts)} were finished", file=sys.stderr)
    for other in journal.others:
        print(f"{other}: unfinished work of another call with this output", file=sys.stderr)
    with Progress(len(starts), "molecule", len(journal.ended)) as progress:

        def finished(run: Relaxation) -> None:
            journal.finished(run)
            progress.update()

        def on_step(moving: Sequence[Relaxation]) -> None:
            journal.moving(moving)
            progress.alive(
                lambda: f", {len(moving)} move, the farthest at step {max(r.steps for r in moving)}"
            )

        keep = True
        try:
            batched.relax_runs(
                journal.left(),
                evaluator.evaluate,
                settings["force_threshold"],
                settings["max_steps"],
                optimizer=settings["optimizer"],
                batch_atoms=1 if evaluator.one_by_one else batch_atoms,
                device=evaluator.device,
                whole_paths=whole_paths,
                on_step=on_step,
                on_finished=finished,
                refuse=evaluator.refuse,
                threads=evaluator.threads,
                unsure_above=evaluator.unsure_above,
            )
        except batched.SameFailureError:
            # Once what is wrong is mended they are to be tried again.
            keep = any(status not in FAILED for status, _ in journal.ended.values())
            raise
        except KeyboardInterrupt:
            done = f"{len(journal.ended)} of {len(starts)} molecules have finished"
            raise KeyboardInterrupt(f"{done}; the same call goes on from here") from None
        finally:
            if keep:
                journal.flush()
            else:
                journal.close()
    return journal
