"""Models of a run made ready for the box: stripped checkpoints, and a card of its own files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.errors import UserError
from force2geo.files import hash_file, write_json
from force2geo.potentials.checkpoint import load, save
from force2geo.prediction import shipped

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

LIMIT = 5_000_000
"""Bytes of all checkpoints in a box together."""
_ABOUT = ("title", "data", "limits", "licence", "made_by")
_MEASURED = ("errors", "spread")


def ship(
    card: Path,
    models: Sequence[Path],
    about: Mapping[str, Any],
    calibration: Mapping[str, Any],
    relaxed: Sequence[dict[str, Any]] = (),
) -> list[Path]:
    """Write a model's card and, before it, the checkpoints beside it; return these.

    A checkpoint keeps what it needs to be used, its weights as float32, and how it was trained, but
    not where that was watched. `about` has what a person says of it, `calibration` what
    `force2geo calibrate` wrote of these `models`, `relaxed` further rows. `UserError` where models
    are of two kinds, or the box that the card's folder is would hold more than `LIMIT` bytes.
    """
    name, files, levels = card.stem, [], []
    kinds, geometries = set(), set()
    for place, path in enumerate(models, start=1):
        model = load(path)
        kinds.add(model.network.kind)
        geometries.add(str(model.provenance.get("settings", {}).get("geometry", "")))
        levels.append(", ".join(model.network.config.get("levels") or ["not recorded"]))
        target = card.with_name(f"{name}.{place}.pt")
        save(model.network.float(), target, _origin(model.provenance))
        files.append(target)
    if len(kinds) > 1:
        raise UserError(f"{models[0]}: a potential and a property model are not one model")
    kind = kinds.pop()
    size = sum(path.stat().st_size for path in card.parent.glob("*.pt"))
    if size > LIMIT:
        raise UserError(f"{card.parent}: checkpoints of {size} bytes, a box holds {LIMIT}")
    known = {key: calibration[key] for key in _MEASURED if key in calibration}
    write_json(
        card,
        {
            "kind": kind,
            **{key: about[key] for key in _ABOUT},
            **({"geometry": ", ".join(sorted(geometries))} if kind == "property" else {}),
            "files": {path.name: hash_file(path) for path in files},
            "level": about.get("level") or "; ".join(dict.fromkeys(levels)),
            **known,
            "rows": [*calibration["rows"], *relaxed],
        },
    )
    shipped.checkpoints(name, card.parent)  # as whoever uses it will read it
    return files


def _origin(provenance: Mapping[str, Any]) -> dict[str, Any]:
    settings = dict(provenance.get("settings", {}))
    settings.pop("tracking", None)
    return {**provenance, "settings": settings}


def relaxed_rows(
    cells: Sequence[Mapping[str, Any]], names: Collection[str]
) -> list[dict[str, Any]]:
    """Return rows of a card from the cells of a table's JSON file: those whose row is one of names.

    Each is `by` relaxation, `of` the table's row, then its numbers by column.
    """
    rows: dict[str, dict[str, Any]] = {}
    for cell in cells:
        if cell["row"] in names and isinstance(cell["value"], int | float):
            row = rows.setdefault(cell["row"], {"by": "relaxation", "of": cell["row"]})
            row[cell["column"]] = cell["value"]
    return list(rows.values())
