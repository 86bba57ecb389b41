"""Where artifacts come from: their provenance records and those of all that went into them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from force2geo.files import provenance_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def ancestry(
    artifacts: Iterable[Path], find: Callable[[str], Path] = Path
) -> dict[Path, dict[str, Any]]:
    """Return the provenance records of artifacts and of their inputs, back to the beginning.

    By artifact, in the order found; one without a record is left out. `find` gives the place of a
    file that a record names.
    """
    found: dict[Path, dict[str, Any]] = {}
    waiting, seen = list(artifacts), set()
    while waiting:
        artifact = waiting.pop(0)
        if artifact in seen:
            continue
        seen.add(artifact)
        path = provenance_path(artifact)
        if path.exists():
            found[artifact] = json.loads(path.read_text(encoding="utf-8"))
            waiting += [find(name) for name in found[artifact]["inputs"]]
    return found


def code_versions(artifact: Path) -> set[str]:
    """Return the versions of the code that made an artifact and its inputs.

    Judging itself is left out, which reads and counts; so is the commit, as several have the
    same source.
    """
    return {
        record["code"].partition(" commit ")[0]
        for record in ancestry([artifact]).values()
        if record["stage"] != "judge"
    }
