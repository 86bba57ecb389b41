"""Settings of rounds of labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from force2geo.plan.rounds import LOGS
from force2geo.settings import setting


@dataclass(frozen=True)
class Active:
    """Labels where a committee of the run's potential is least sure, beside as many random ones.

    The first training set is drawn at random from the training part of `pretrain.data` and shared;
    then each way to choose goes its own.
    """

    pool: str = setting(
        "`logs`, the rest of that part, whose labels are hidden until they are chosen; or a CSV of "
        "molecules without labels (cid, smiles, inchi), whose geometries are labelled by DFT",
        LOGS,
    )
    apart: tuple[str, ...] = setting(
        "CSV of molecules that are never labelled, by their skeletons; those that the run tests on "
        "are not either",
        (),
        distinct=True,
    )
    start: int = setting("labels of the first training set", 200, unit="labels", least=1)
    budget: int = setting("labels of each round", 100, unit="labels", least=1)
    rounds: int = setting("how many follow the first", 4, least=1)
    choose: tuple[Literal["spread", "frames", "random"], ...] = setting(
        "ways to choose: `spread`, where the committee's forces differ most; `frames`, at random "
        "within the same limits; `random`, at random from all, of molecules without labels the "
        "conformer and two rattled ones",
        ("spread", "random"),
        fewest=1,
        distinct=True,
    )
    seeds: tuple[int, ...] = setting(
        "all rounds once each: of the first training set, of chance and of trainings",
        (7, 8, 9),
        least=0,
        fewest=1,
        distinct=True,
    )
    members: int = setting("potentials of a committee", 3, least=2)
    per_molecule: int = setting(
        "most snapshots of a molecule in a round, by `spread` and `frames`", 2, least=1
    )
    distance: float = setting(
        "how far from a molecule's other chosen snapshots the farthest atom lies at least, once "
        "superposed, by `spread` and `frames`",
        0.05,
        unit="Å",
        least=0,
    )
