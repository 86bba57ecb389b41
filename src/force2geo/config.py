"""The run's configuration: checked against the schema, cut into each stage's settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from force2geo.errors import UserError
from force2geo.logs.archives import ARCHIVE_SUFFIXES
from force2geo.molecules import read_molecules

STAGES = (
    "generate",
    "curate",
    "statistics",
    "audit",
    "select",
    "pack",
    "conformers",
    "benchmark",
    "pretrain",
    "relax",
    "compare",
    "dft",
    "property",
    "evaluate",
)


def check(config: dict[str, Any], schema_path: Path) -> None:
    """Raise `UserError`, one line that names the key, when a configuration is not valid."""
    import jsonschema

    schema = json.loads(schema_path.read_text(encoding="utf-8"))
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(config))
    if errors:
        error = min(errors, key=lambda e: (len(e.absolute_path), str(e.message)))
        where = ".".join(str(part) for part in error.absolute_path)
        if error.validator == "additionalProperties":
            known = set(error.schema.get("properties", {}))
            unknown = sorted(set(error.instance) - known)[0]
            where = f"{where}.{unknown}".lstrip(".")
            raise UserError(
                f"config: unknown key '{where}'; known here: {', '.join(sorted(known))}"
            )
        message = " ".join(str(error.message).split())[:200]
        raise UserError(f"config: {where or 'top level'}: {message}")
    for key, value in (
        *((f"raw.logs[{i}]", path) for i, path in enumerate(config["raw"]["logs"])),
        *((f"select.test_sets[{i}]", p) for i, p in enumerate(config["select"]["test_sets"])),
        ("raw.identifiers", config["raw"]["identifiers"]),
        ("generate.molecules", config["generate"]["molecules"]),
    ):
        if value is not None and not Path(value).exists():
            raise UserError(f"config: {key}: no such file or folder '{value}'")
    for key, names in (
        ("benchmark.backbones", config["benchmark"]["backbones"]),
        ("pretrain.backbone", [config["pretrain"]["backbone"]]),
    ):
        missing = [name for name in names if name not in config["models"]]
        if missing:
            raise UserError(f"config: {key}: '{missing[0]}' is not described under models")
    for name in config["benchmark"]["backbones"]:
        if name not in config["benchmark"]["batch_size"]:
            raise UserError(f"config: benchmark.batch_size: has no value for '{name}'")


def shard_sources(config: dict[str, Any]) -> dict[str, str]:
    """Return `{shard name: path}` of the raw archives; a folder stands for those inside it.

    A folder without archives is a shard itself, and so is a single log.
    """
    sources: dict[str, str] = {}
    for entry in config["raw"]["logs"]:
        path = Path(entry)
        inside = []
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.name.lower().endswith(ARCHIVE_SUFFIXES))
        for archive in inside or [path]:
            name = archive.name.split(".")[0]
            if name in sources:
                raise UserError(f"config: raw.logs: two shards are named '{name}'")
            sources[name] = str(archive)
    for name in generated_shards(config):
        sources[name] = f"results/{config['run']}/generated/{name}.tar"
    if not sources:
        raise UserError("config: neither raw.logs nor generate.molecules is given")
    return sources


def generated_shards(config: dict[str, Any]) -> dict[str, list[str]]:
    """Return `{shard name: CIDs}` of the molecules that the run itself relaxes."""
    path, size = config["generate"]["molecules"], config["generate"]["shard_size"]
    if path is None:
        return {}
    cids = [molecule.cid for molecule in read_molecules(Path(path))]
    starts = range(0, len(cids), size)
    return {f"generated_{i:05d}": cids[start : start + size] for i, start in enumerate(starts)}


def compared(config: dict[str, Any], kind: str) -> list[str]:
    """Return the potentials compared that are a `calculator`, or those of another `training`."""
    return [name for name, entry in config.get("compare", {}).items() if kind in entry]


def stage_settings(config: dict[str, Any], stage: str) -> dict[str, Any]:
    """Return all a stage may depend on, and nothing else, so that it reruns when that changes.

    `pretrain.NAME` is the training of a potential compared: pretraining's, but for what it says.
    """
    stage, _, other = stage.partition(".")
    settings: dict[str, Any] = dict(config.get(stage, {}))
    if stage == "compare":
        potentials = {name: config["compare"][name] for name in compared(config, "calculator")}
        settings = {**config["relax"], "potentials": potentials}
    if other:
        settings |= config["compare"][other]["training"]
    if stage == "generate":
        for key in ("molecules", "shard_size"):
            del settings[key]
    if stage in ("statistics", "audit", "pack", "conformers"):
        settings["shards"] = list(shard_sources(config))
    if stage == "audit":
        settings["uses"] = {use: entry["sources"] for use, entry in config["pack"].items()}
    if stage in ("audit", "select", "conformers", "benchmark", "pretrain", "property"):
        settings["seed"] = config["seed"]
    if stage in ("benchmark", "pretrain", "property"):
        settings["tracking"] = config["tracking"]
    models = {
        "benchmark": config["benchmark"]["backbones"],
        "pretrain": [config["pretrain"]["backbone"]],
        "property": sorted({"painn", "schnet"} & set(config["models"])),
    }
    if stage in models:
        settings["models"] = {
            name: {"name": name, **config["models"][name]} for name in models[stage]
        }
    if other:
        backbone = settings["backbone"]
        settings["models"] = {backbone: {"name": backbone, **config["compare"][other]["model"]}}
    if stage == "evaluate":
        settings["run"] = config["run"]
    return settings


def read_settings(path: Path) -> dict[str, Any]:
    """Return a stage's settings file; `UserError` when it cannot be read."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such settings file; the workflow writes it") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not JSON ({error})") from None
    if not isinstance(settings, dict):
        raise UserError(f"{path}: must hold a JSON object")
    return settings
