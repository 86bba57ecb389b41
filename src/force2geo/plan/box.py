"""Models of a run that are to come with the package, each as one record.

A record names the trainings that answer together, the packed snapshots or molecules whose test part
tells how far off they are, and all that a person says of them.
"""

from __future__ import annotations

from typing import Any

from force2geo.plan.properties import data_of
from force2geo.plan.relaxations import OWN, trained
from force2geo.plan.trainings import same, trainings
from force2geo.plan.variants import Variant, seeds
from force2geo.training_data import registry


def boxed(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the records of all models that the configuration puts in the box, by name."""
    return {name: _record(config, entry) for name, entry in config["box"].items()}


def _record(config: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    told = {key: value for key, value in entry.items() if value is not None}
    if "recipe" in told:
        return told | _properties(config, entry["recipe"])
    other = "" if entry["potential"] == OWN else entry["potential"]
    section = config["pretrain"]
    return {
        **told,
        "trainings": trained(config, other),
        "packed": section["data"],
        "source": section["judged_on"],
    }


def _properties(config: dict[str, Any], recipe: str) -> dict[str, Any]:
    section = config["property"]
    variants = [Variant(section["splits"][0], recipe, seed) for seed in seeds(config)]
    ids = same(trainings(config))
    level = registry.find(data_of(config)["from"]).about.level
    return {
        "trainings": [ids[one.name()] for one in variants],
        "packed": section["data"],
        "source": None,
        "level": level,
    }
