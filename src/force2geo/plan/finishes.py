"""Relaxations of D_opt that go on to DFT's minimum, each as one record.

A record names the relaxation, the potential whose Hessian the steps begin with, and all that DFT is
told. What comes out is a relaxation, too, judged like any other: `d_opt.finished` beside `d_opt`.
"""

from __future__ import annotations

from typing import Any

from force2geo.plan.relaxations import OWN, first_start, name_of, relaxations, row_of
from force2geo.plan.trainings import same

FINISHED = ", finished by DFT"
"""After a potential's name in a row of table 3."""
FINISHING = "finishing of "
"""Before that name, in a table's request, the table of `force2geo finish`."""
_SUFFIX = ".finished"


def finishes(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the records of all finishes that the configuration asks for, by name."""
    return dict(_named(config).values())


def finished_rows(config: dict[str, Any]) -> dict[str, str]:
    """Return the names of finishes by row of table 3."""
    return {row: name for row, (name, _) in _named(config).items()}


def _named(config: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    if "finish" not in config:
        return {}
    section, found = config["finish"], {}
    all_of = relaxations(config)
    ids = same(all_of)
    limits = {key: section[key] for key in ("force_threshold", "max_gradients")}
    for start in section["starts"] or [first_start(config)]:
        for potential in section["potentials"]:
            other = "" if potential == OWN else potential
            relaxation = ids[name_of("d_opt", other, start)]
            found[row_of(other, start) + FINISHED] = (
                relaxation + _SUFFIX,
                {
                    "relaxation": relaxation,
                    "potential": all_of[relaxation]["potential"],
                    **limits,
                    "dft": config["dft"],
                },
            )
    return found
