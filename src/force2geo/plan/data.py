"""The data sets of a run: what each is made of."""

from __future__ import annotations

from typing import Any

from force2geo.training_data import registry


def data_settings(config: dict[str, Any], name: str, shards: list[str]) -> dict[str, Any]:
    """Return an entry with the names of the run's shards and its seed, where it depends on them."""
    entry = dict(config["data"][name])
    if "store" in data_set_needs(config, name):
        entry["shards"] = shards
    if registry.kind(entry) == "molecules":
        entry["seed"] = config["seed"]  # conformers are drawn
    return entry


def data_set_needs(config: dict[str, Any], name: str) -> tuple[str, ...]:
    """Return what an entry's data set reads of the run's own results."""
    return registry.build(config["data"][name]).needs


def geometries(config: dict[str, Any], name: str) -> tuple[str, ...]:
    """Return the geometries that property models may take of an entry's molecules."""
    data = registry.build(config["data"][name])
    own = data.geometries()
    return (*own, "force2geo") if data.start in own else own


def selects(config: dict[str, Any], name: str) -> bool:
    """Return whether an entry's molecules are in the splits of the run's selection.

    Otherwise they are in splits of their own, which come with them.
    """
    return "selection" in data_set_needs(config, name)


def learns_from_store(config: dict[str, Any]) -> bool:
    """Return whether the run's potential learns from molecules of the selection."""
    return "pretrain" in config and selects(config, config["pretrain"]["data"])


def published_files(config: dict[str, Any], name: str) -> list[str]:
    """Return the files that people have put where an entry says, in the order they are read."""
    data = registry.build(config["data"][name])
    return [str(data.folder() / file.path) for file in data.files()]


def stages_together(config: dict[str, Any]) -> dict[str, list[str]]:
    """Return the stages of the store that each entry packs together, by its name."""
    built = {
        name: registry.build(entry)
        for name, entry in config["data"].items()
        if "store" in data_set_needs(config, name) and registry.kind(entry) == "snapshots"
    }
    return {name: data.sources() for name, data in built.items()}
