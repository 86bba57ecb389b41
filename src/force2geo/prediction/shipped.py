"""Models that come with the package, each a card and its checkpoints (`weights/README.md`)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from force2geo.errors import UserError
from force2geo.files import hash_file, read_json
from force2geo.prediction.spread import Spread  # noqa: TC001 - read when the program runs
from force2geo.settings import read, setting

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parents[1] / "weights"
DEFAULT = "delta"
"""The potential in the box that relaxes where nobody names another."""


@dataclass(frozen=True)
class Measured:
    """How far a model was off on molecules that it never saw."""

    mae: float = setting("mean absolute error", least=0)
    unit: str = setting("its unit")
    molecules: int = setting("how many it was measured on", least=1)
    on: str = setting("which molecules these are")


@dataclass(frozen=True)
class Card:
    """What a person is to know before using a model.

    A potential's `errors` are of `energy` and `forces`; `rows` are tables of any keys, a line each:
    its errors by element, say.
    """

    kind: Literal["property", "potential"] = setting("what it predicts", "property")
    title: str = setting("what it is, in a line")
    files: dict[str, str] = setting("its checkpoints and their hashes")
    data: str = setting("what it was trained on, with source and licence")
    level: str = setting("level of theory of what it was trained on")
    geometry: str = setting("which geometries a property model wants", "")
    errors: dict[str, Measured] = setting("by property, on molecules it never saw")
    spread: Spread | None = setting("by how much a potential's several networks differ", None)
    rows: tuple[dict[str, Any], ...] = setting("errors and other numbers in detail", ())
    limits: tuple[str, ...] = setting("what it is not for")
    licence: str = setting("of the weights")
    made_by: str = setting("the command that makes it again")


def cards(folder: Path | None = None) -> dict[str, Card]:
    """Return the cards of a folder, the package's own without one, by the models' names."""
    place = FOLDER if folder is None else folder
    return {
        path.stem: read(Card, read_json(path, "a model's card, JSON"), str(path))
        for path in sorted(place.glob("*.json"))
        if not path.name.endswith(".provenance.json")
    }


def checkpoints(name: str, folder: Path | None = None) -> list[Path]:
    """Return the checkpoints of a model; `UserError` where one is not what its card says."""
    place = FOLDER if folder is None else folder
    found = []
    for file, digest in cards(place)[name].files.items():
        path = place / file
        if not path.is_file():
            raise UserError(f"{path}: no such file; the card of '{name}' names it")
        if hash_file(path) != digest:
            raise UserError(f"{path}: not the file that the card of '{name}' names: install anew")
        found.append(path)
    return found


def chosen(models: Sequence[str | Path], properties: Sequence[str]) -> list[Path]:
    """Return the checkpoints that are meant by files and names of models, or by properties alone.

    Without `models` they are those of the model in the box that predicts all the properties, and
    where none is asked for of the only one there is.
    """
    known = cards()
    if models:
        found: list[Path] = []
        for model in models:
            found += checkpoints(str(model)) if str(model) in known else [Path(model)]
        return found
    known = {name: card for name, card in known.items() if card.kind == "property"}
    give = "give --model MODEL.pt, a checkpoint that `force2geo train` made for a property"
    if not properties and len(known) != 1:
        raise UserError(f"no property asked for: give --property NAME, or {give}")
    able = [name for name, card in known.items() if set(properties) <= set(card.errors)]
    asked = " and ".join(properties)
    if not able:
        raise UserError(f"no model that predicts {asked} comes with this version: {give}")
    if len(able) > 1:
        raise UserError(f"{', '.join(able)} predict {asked}: choose one, --model {able[0]} say")
    return checkpoints(able[0])


def predicts_properties(models: Sequence[str | Path]) -> bool:
    """Return whether the first of files or names of models is one of properties."""
    from force2geo.potentials.checkpoint import load

    first, known = str(models[0]), cards()
    if first in known:
        return known[first].kind == "property"
    return load(first).network.kind == "property"


def potential(models: Sequence[str | Path] = ()) -> tuple[list[Path], float]:
    """Return the checkpoints that relax together, and the spread above which they are unsure.

    `models` are files, or one name of a potential in the box; without any it is `DEFAULT`. The
    spread is in eV/Å, infinite where no card tells it.
    """
    known = cards()
    if not models and DEFAULT not in known:
        raise UserError(
            "no potential comes with this version: give --model MODEL.pt, a checkpoint that "
            "`force2geo train` made, or --calculator MODULE:CLASS, an ASE calculator"
        )
    named = [str(model) for model in models] or [DEFAULT]
    ours = [name for name in named if name in known]
    if not ours:
        return [Path(name) for name in named], math.inf
    if len(named) > 1:
        raise UserError(f"'{ours[0]}' comes with the package and relaxes alone: name one or files")
    card = known[ours[0]]
    if card.kind != "potential":
        able = [name for name, one in known.items() if one.kind == "potential"]
        raise UserError(
            f"'{ours[0]}' predicts {', '.join(card.errors)} and relaxes nothing; potentials in the "
            f"box: {', '.join(able) or 'none'}"
        )
    return checkpoints(ours[0]), math.inf if card.spread is None else card.spread.quantile_95
