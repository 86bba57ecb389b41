"""Rounds of labels: the choice of each, as one record, and the ensemble that is trained on it.

A round is named by its seed, by how labels are chosen and by its number; its name is that of the
choice and of the packed file of all labels so far. The first one, `start`, is every way's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGS = "logs"
"""The pool whose labels are there already."""
_START = "start"
_LIMITS = ("per_molecule", "distance")
# Seeds of an ensemble's members are so far apart: those of another seed's rounds lie between.
_APART = 1000


class Round(NamedTuple):
    """A round; the first, number 0, has no way to choose but chance."""

    seed: int
    way: str
    number: int

    @property
    def name(self) -> str:
        """Its name, also of its packed file."""
        told = f"{self.way}.{self.number}" if self.number else _START
        return f"active.seed{self.seed}.{told}"

    def so_far(self) -> list[Round]:
        """Return the rounds whose labels are trained on, the first first and itself last."""
        return [self.at(number) for number in range(self.number + 1)]

    def at(self, number: int) -> Round:
        """Return another round of the same."""
        return Round(self.seed, self.way if number else _START, number)

    def member(self, number: int) -> str:
        """Return the name of the training of a member of its ensemble."""
        return f"{self.name}.member{number}"


def rounds(config: dict[str, Any]) -> dict[str, Round]:
    """Return all rounds by name, none where the run has no such section."""
    if "active" not in config:
        return {}
    section = config["active"]
    found = [
        Round(seed, way, number).at(number)
        for seed in section["seeds"]
        for way in section["choose"]
        for number in range(section["rounds"] + 1)
    ]
    return {one.name: one for one in found}


def labels(config: dict[str, Any], number: int) -> int:
    """Return how many labels are trained on in a round."""
    section = config["active"]
    return int(section["start"] + number * section["budget"])


def pool(config: dict[str, Any]) -> str:
    """Return the entry of the data that is chosen from."""
    return str(config["pretrain"]["data"])


def choices(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the records of all choices by the names of their rounds."""
    return {name: _choice(config, one) for name, one in rounds(config).items()}


def _choice(config: dict[str, Any], one: Round) -> dict[str, Any]:
    section = config["active"]
    *earlier, _ = one.so_far()
    record = {
        "choose": one.way if earlier else "random",
        "seed": one.seed,
        "budget": section["budget"] if earlier else section["start"],
        **({} if one.way in (_START, "random") else {key: section[key] for key in _LIMITS}),
        "earlier": [before.name for before in earlier],
    }
    if labelled_by_dft(config, one.name):
        # Chance needs a committee's word on what potentials of this run can learn from.
        asked = earlier[0 if one.way == "random" else -1]
        return {
            "pool": section["pool"],
            "apart": list(section["apart"]),
            **record,
            "ensemble": _names(config, asked),
        }
    ensemble = _names(config, earlier[-1]) if one.way == "spread" else []
    return {"data": pool(config), **record, "round": one.number, "ensemble": ensemble}


def labelled_by_dft(config: dict[str, Any], name: str) -> bool:
    """Return whether a round's labels are computed, and not hidden ones."""
    return config["active"]["pool"] != LOGS and rounds(config)[name].number > 0


def _names(config: dict[str, Any], one: Round) -> list[str]:
    return [one.member(number) for number in range(config["active"]["members"])]


def members(
    config: dict[str, Any], pretraining: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the trainings of all ensembles, by name: the run's potential with other data and seed.

    They take as many steps whatever the labels, so that more of these are not more training, too:
    `pretrain.epochs` are those of the last round.
    """
    if "active" not in config:
        return
    section = config["active"]
    most = labels(config, section["rounds"])
    for name, one in rounds(config).items():
        epochs = round(pretraining["epochs"] * most / labels(config, one.number))
        for number in range(section["members"]):
            changed = {"data": name, "seed": one.seed + _APART * number, "epochs": epochs}
            yield one.member(number), pretraining | changed


def request(config: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics of all members, as `told_by` reads their names; UserError without any."""
    from force2geo.plan.trainings import same, trainings

    if "active" not in config:
        raise UserError("the run has no section active")
    section, ids = config["active"], same(trainings(config))
    files = {}
    for way in section["choose"]:
        for seed in section["seeds"]:
            for one in Round(seed, way, section["rounds"]).so_far():
                for number in range(section["members"]):
                    told = (way, labels(config, one.number), f"seed {seed}", f"member {number}")
                    files[", ".join(map(str, told))] = (
                        f"train/{ids[one.member(number)]}/metrics.json"
                    )
    return {"files": files, "seeds": list(section["seeds"]), "members": section["members"]}


def told_by(name: str) -> tuple[str, int, int]:
    """Return the way to choose, the labels and the seed of a name in a request."""
    way, count, seed, _ = name.split(", ")
    return way, int(count), int(seed.removeprefix("seed "))
