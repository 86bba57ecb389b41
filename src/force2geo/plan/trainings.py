"""Every training of a run as one record: all that it depends on, and nothing else.

A record names its `objective`, its `data` (a packed file), its `backbone` and how it is trained; of
a property model also `split`, `target`, `geometry` and the training it `start`s from. A record's
number of things that could change is that of the things that make it run again.
"""

from __future__ import annotations

from typing import Any

from force2geo.calling.named import record_of
from force2geo.plan.compared import compared
from force2geo.plan.data import geometries
from force2geo.plan.rounds import members
from force2geo.plan.variants import SWEPT, Variant, potential_of, scratch, variants
from force2geo.potentials.unimported import missing
from force2geo.train.recipes import DENOISER, DENS, recipe

# The sections of the configuration that say more than how to train.
_POTENTIAL = ("loss", "reference", "optimizer", "schedule", "ema", "gradient_clip", "epochs")
_OPTIONAL = ("early_stop", "batch_atoms", "matmul_precision")


def model(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return `{name, …}`, the backbone that `models` describes under a name."""
    values = dict(config["models"][name])
    return {"name": values.pop("backbone", name), **values}


def _potential(config: dict[str, Any], section: dict[str, Any], data: str) -> dict[str, Any]:
    kept = {key: section[key] for key in (*_POTENTIAL, *_OPTIONAL) if key in section}
    data = section.get("data", data)
    if section.get("baseline") is not None:
        kept["baseline"] = record_of(section["baseline"])
    return {"objective": "energy_forces", "data": data, "seed": config["seed"], **kept}


def benchmark(config: dict[str, Any], name: str, seed: int) -> dict[str, Any]:
    """Return the training of one of the benchmark's backbones with a seed."""
    section = config["benchmark"]
    return {
        **_potential(config, section, "benchmark"),
        "seed": seed,
        "judged_on": None,
        "batch_size": of_model(section["batch_size"], name),
        "epochs": of_model(section["epochs"], name),
        "backbone": model(config, name),
    }


def of_model(value: int | dict[str, int], name: str) -> int:
    """Return what a setting is for a model: one number for all, or each its own."""
    return value[name] if isinstance(value, dict) else value


def seeds(config: dict[str, Any]) -> list[int]:
    """Return the seeds that the benchmark trains each backbone with: the run's, if none is told."""
    return list(config["benchmark"].get("seeds", [config["seed"]]))


def benchmark_name(config: dict[str, Any], name: str, seed: int) -> str:
    """Return the name of a benchmark's training.

    The run's own seed is in no name, so that one more seed, wherever it stands, renames nothing.
    """
    return f"benchmark.{name}" + ("" if seed == config["seed"] else f".seed{seed}")


def pretraining(config: dict[str, Any], other: str = "") -> dict[str, Any]:
    """Return the training of the run's potential, or of one compared that is trained otherwise."""
    section = dict(config["pretrain"])
    backbone = model(config, section["backbone"])
    if other:
        entry = config["compare"][other]
        section |= entry["training"]
        values = dict(entry["model"])
        name = values.pop("backbone", config["pretrain"]["backbone"])
        backbone = {"name": name, **values}
    return {
        **_potential(config, section, "pretrain"),
        "judged_on": section["judged_on"],
        "batch_size": section["batch_size"],
        "backbone": backbone,
    }


def committee(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the trainings whose potentials relax together, the run's own first, by name."""
    own = pretraining(config)
    others = {
        f"pretrain.seed={seed}": own | {"seed": seed} for seed in config["pretrain"]["committee"]
    }
    return {"pretrain": own} | others


def potential(config: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a pretraining that property models start from, by `variants.potential_of`'s name."""
    record = pretraining(config)
    _, _, varied = name.partition(".")
    key, _, value = varied.partition("=")
    if key == "share":
        share = float(value)
        if config["property"]["same_steps"]:
            record |= _as_long(record["epochs"], 1 / share)
        return record | {"train_share": share}
    if key == "network":
        return record | {"backbone": model(config, value)}
    if key in ("denoising", DENS):
        # As many steps, of the same snapshots, as the potential has.
        dropped = ("loss", "reference", "baseline")
        kept = {key: one for key, one in record.items() if key not in dropped}
        noise = config["property"]["denoising_noise"]
        kept |= {"objective": "denoising", "noise": noise}
        if key == DENS:
            kept |= {"given_forces": True, "backbone": record["backbone"] | {"forces": True}}
        return kept
    return record


def property_model(config: dict[str, Any], variant: Variant) -> dict[str, Any]:
    """Return a property model's training."""
    section, made = config["property"], recipe(variant.recipe)
    changed, start = variant.changed, variant.start()
    how = "fine_tuning" if made.start or made.frozen else "from_scratch"
    if made.from_potential and "force2prop" in section:
        how = "force2prop"
    record: dict[str, Any] = {
        "objective": "property",
        "data": section.get("data", "downstream"),
        "target": changed.get("target", section.get("target", "gap")),
        "split": variant.split,
        "geometry": made.geometry,
        "start": potential_of(config, variant) if start is None else start.name(),
        # Of a network that told noise the objective asks nothing.
        "mixed": None if made.start in (DENOISER, DENS) else made.mixed,
        "seed": config["seed"] if variant.seed is None else variant.seed,
        "backbone": model(config, made.backbone or scratch(config)),
        "batch_size": section["batch_size"],
        "ema": section["ema"],
        "gradient_clip": section["gradient_clip"],
        **section[how],
    }
    record |= {key: section[key] for key in _OPTIONAL if key in section}
    size = changed.get("train_size", section["train_size"])
    if size is not None:
        record["train_size"] = size
        if section["same_steps"] and size < section["train_size"]:
            record |= _as_long(record["epochs"], section["train_size"] / size)
    if made.frozen:
        record["frozen_backbone"] = True
    if not made.tuned:
        return record | {"epochs": 0}
    if made.mixed:
        record |= {key: changed.get(key, section[key]) for key in SWEPT}
    return record


def _as_long(epochs: int, times: float) -> dict[str, int]:
    """Return the epochs, and passes in each, of a set that is so many times smaller.

    It sees as many molecules, and is validated about as often.
    """
    passes = max(1, round(times))
    return {"epochs": round(epochs * times / passes), "passes": passes}


def trainings(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the records of all trainings that the configuration names, by name."""
    found = {
        benchmark_name(config, name, seed): benchmark(config, name, seed)
        for name in _benchmarked(config)
        for seed in seeds(config)
    }
    if "pretrain" in config:
        found |= committee(config)
        found |= members(config, pretraining(config))
    for name in compared(config, "training"):
        found[f"pretrain.{name}"] = pretraining(config, name)
    if "property" not in config:
        return found
    there = property_geometries(config)
    for variant in variants(config):
        made = recipe(variant.recipe)
        if lacking(config, made.backbone or scratch(config)) or made.geometry not in there:
            continue
        found[variant.name()] = property_model(config, variant)
        start = potential_of(config, variant)
        if start is not None:
            found.setdefault(start, potential(config, start))
    return found


def _benchmarked(config: dict[str, Any]) -> list[str]:
    """Return the benchmark's models whose packages are installed."""
    backbones = config["benchmark"]["backbones"] if "benchmark" in config else []
    return [name for name in backbones if not lacking(config, name)]


def lacking(config: dict[str, Any], name: str) -> list[str]:
    """Return the packages that a model needs and that are not installed."""
    return missing(model(config, name)["name"])


def same(records: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Return, for each name, the first name of the same record: two names, one training."""
    first: dict[str, str] = {}
    return {name: first.setdefault(repr(_sorted(record)), name) for name, record in records.items()}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((key, _sorted(one)) for key, one in value.items())
    return value


def property_geometries(config: dict[str, Any]) -> tuple[str, ...]:
    """Return the geometries of the molecules that property models learn from."""
    return geometries(config, config["property"]["data"])


def path(config: dict[str, Any], name: str, file: str) -> str:
    """Return where a training leaves a file, within the run's folder; equal ones share theirs."""
    return f"train/{same(trainings(config))[name]}/{file}"
