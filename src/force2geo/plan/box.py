"""Potentials of a run that are to come with the package, each as one record.

A record names the trainings that answer together, the packed snapshots whose test part tells how
far off they are, and all that a person says of them.
"""

from __future__ import annotations

from typing import Any

from force2geo.plan.relaxations import OWN, trained


def boxed(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the records of all potentials that the configuration puts in the box, by name."""
    return {name: _record(config, entry) for name, entry in config["box"].items()}


def _record(config: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    other = "" if entry["potential"] == OWN else entry["potential"]
    section = config["pretrain"]
    return {
        **entry,
        "trainings": trained(config, other),
        "snapshots": section["data"],
        "source": section["judged_on"],
    }
