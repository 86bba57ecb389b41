"""Settings of models that are to come with the package."""

from __future__ import annotations

from dataclasses import dataclass

from force2geo.settings import setting


@dataclass(frozen=True)
class Boxed:
    """A model for the box: which, and what no file of the run says of it."""

    potential: str | None = setting(
        "`Force2Geo`, the run's own with its committee, or a name under `compare` of one trained",
        None,
    )
    recipe: str | None = setting(
        "or property models of this recipe, on the first split, which answer together: all seeds",
        None,
    )
    title: str = setting("what it is, in a line")
    data: str = setting("what it was trained on, with source and licence")
    limits: tuple[str, ...] = setting("what it is not for")
    licence: str = setting("of the weights")
    made_by: str = setting("the command that makes it again")
