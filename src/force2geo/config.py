"""The run's configuration: checked against the schema, cut into each stage's settings."""

from __future__ import annotations

import ast
import importlib.util
import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

from force2geo.errors import UserError
from force2geo.files import code_version, folder_fingerprint, read_json
from force2geo.logs.archives import ARCHIVE_SUFFIXES
from force2geo.logs.names import NamePattern
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
    "dft",
    "property",
    "evaluate",
)
MAIN_ROW = "Force2Geo"
"""Name of the run's own potential in table 3."""
# Keys that make a potential to compare, and those that may stand beside them.
_KINDS: tuple[tuple[set[str], set[str]], ...] = (
    ({"calculator"}, {"options"}),
    ({"checkpoint"}, set()),
    ({"model", "training"}, set()),
)
SWEEP_TABLES = {"noise": "table11", "geometry_weight": "table12"}


def check(config: dict[str, Any], schema_path: Path) -> None:
    """Raise `UserError`, one line that names the key, when a configuration is not valid."""
    schema = json.loads(schema_path.read_text(encoding="utf-8"))
    _validate(config, schema)
    for key, value in (
        *((f"raw.logs[{i}]", path) for i, path in enumerate(config["raw"]["logs"])),
        *((f"select.test_sets[{i}]", p) for i, p in enumerate(config["select"]["test_sets"])),
        ("raw.identifiers", config["raw"]["identifiers"]),
        ("generate.molecules", config["generate"]["molecules"]),
        *(
            (f"compare.{name}.checkpoint", config["compare"][name]["checkpoint"])
            for name in compared(config, "checkpoint")
        ),
    ):
        if value is not None and not Path(value).exists():
            raise UserError(f"config: {key}: no such file or folder '{value}'")
    try:
        NamePattern(config["curate"]["name_pattern"], config["curate"].get("stage_names"))
    except UserError as error:
        raise UserError(f"config: {error}") from None
    fractions = config["select"]["fractions"]
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise UserError(
            f"config: select.fractions: {' + '.join(map(str, fractions.values()))} is "
            f"{sum(fractions.values()):.6g}; they must add up to 1"
        )
    _check_potentials(config, schema)


def _validate(values: Any, schema: dict[str, Any], above: tuple[str, ...] = ()) -> None:
    """Hold values, which stand at the key `above`, against a schema."""
    import jsonschema

    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(values))
    if not errors:
        return
    error = min(errors, key=lambda e: (len(e.absolute_path), str(e.message)))
    where = ".".join([*above, *(str(part) for part in error.absolute_path)])
    if error.validator == "additionalProperties":
        known = set(error.schema.get("properties", {}))
        unknown = sorted(set(error.instance) - known)[0]
        where = f"{where}.{unknown}".lstrip(".")
        raise UserError(f"config: unknown key '{where}'; known here: {', '.join(sorted(known))}")
    message = " ".join(str(error.message).split())[:200]
    if error.validator == "type" and _is_number(error.instance):
        message += " (in YAML, a number in powers of ten has a point: 1.0e-5)"
    raise UserError(f"config: {where or 'top level'}: {message}")


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def _check_potentials(config: dict[str, Any], schema: dict[str, Any]) -> None:
    """Check what names of backbones, models and other potentials refer to."""
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
    if MAIN_ROW in config.get("compare", {}):
        raise UserError(
            f"config: compare.{MAIN_ROW}: that is the row of this run's own potential; choose "
            "another name"
        )
    for name, entry in config.get("compare", {}).items():
        if entry is not None and not any(
            needed <= set(entry) <= needed | more for needed, more in _KINDS
        ):
            raise UserError(
                f"config: compare.{name}: give a calculator (and options), a checkpoint, or a "
                "model and its training, or null for no such row"
            )
    own = schema["properties"]["models"]["properties"][config["pretrain"]["backbone"]]
    for name in compared(config, "training"):
        _validate(config["compare"][name]["model"], own, ("compare", name, "model"))
    for name in compared(config, "calculator"):
        wrong = missing_import(config["compare"][name]["calculator"])
        if wrong:
            raise UserError(f"config: compare.{name}.calculator: {wrong}")


def missing_import(path: str) -> str:
    """Say what is missing of an import path, MODULE:NAME, or nothing.

    The module is found and its text read, but not run: some take many seconds to import.
    """
    module, _, name = path.partition(":")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return f"no module '{module}' is installed"
    if not spec.origin or not spec.origin.endswith(".py"):
        return ""
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name):
            names.add(node.id)
    # What a star brings, or a module's own __getattr__, cannot be told without running it.
    if name in names or {"*", "__getattr__"} & names:
        return ""
    return f"the module '{module}' has no '{name}'"


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


def own_molecules(config: dict[str, Any]) -> dict[str, str]:
    """Return `{CID: SMILES or InChI}` of the molecules that the run itself relaxes."""
    path = config["generate"]["molecules"]
    if path is None:
        return {}
    stat = Path(path).stat()
    return dict(_listed(Path(path), stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=1)
def _listed(path: Path, *_: int) -> tuple[tuple[str, str], ...]:
    # Read once, not for each that asks: every molecule's InChIKey is computed.
    return tuple((m.cid, m.smiles or m.inchi) for m in read_molecules(path))


def generated_shards(config: dict[str, Any]) -> dict[str, list[str]]:
    """Return `{shard name: CIDs}` of the molecules that the run itself relaxes."""
    cids, size = list(own_molecules(config)), config["generate"]["shard_size"]
    starts = range(0, len(cids), size)
    return {f"generated_{i:05d}": cids[start : start + size] for i, start in enumerate(starts)}


def fingerprint(source: str) -> str:
    """Return what changes with the files in a folder of logs; empty for any other source."""
    return folder_fingerprint(Path(source)) if Path(source).is_dir() else ""


def compared(config: dict[str, Any], kind: str) -> list[str]:
    """Return the potentials compared that have a `calculator`, `checkpoint` or `training`.

    A name with nothing under it, which takes a row away, is none.
    """
    return [name for name, entry in config.get("compare", {}).items() if entry and kind in entry]


def sweep_tables(config: dict[str, Any]) -> list[str]:
    """Return the tables of the sweeps that the configuration asks for."""
    sweeps = config["property"]["sweeps"]
    return [table for key, table in SWEEP_TABLES.items() if sweeps.get(key)]


def made_by_other_code(results: Path) -> list[str]:
    """Return the stages whose results in a run's folder another version of the package made."""
    current, stages = code_version(), set()
    for path in sorted(results.rglob("*.provenance.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if _sources(record.get("code", "")) != _sources(current):
            stages.add(record["stage"])
    return sorted(stages)


def _sources(code: str) -> str:
    """Return the part of a code version that changes with the sources, not with a commit."""
    return code.partition(" commit ")[0]


def stage_settings(config: dict[str, Any], stage: str) -> dict[str, Any]:
    """Return all a stage may depend on, and nothing else, so that it reruns when that changes.

    `pretrain.NAME` is the training of a potential compared: pretraining's, but for what it says;
    `compare.NAME` is the relaxation by a calculator.
    """
    stage, _, other = stage.partition(".")
    settings: dict[str, Any] = dict(config.get(stage, {}))
    if stage == "compare":
        return {**config["relax"], "potentials": {other: config["compare"][other]}}
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
    if stage == "select":
        settings["splits"] = sorted(config["property"]["splits"])
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
        # Snakemake does not run a job again for a new input if it has a new output, too.
        rows = [name for name, entry in config.get("compare", {}).items() if entry]
        settings |= {
            "run": config["run"],
            "sweeps": config["property"]["sweeps"],
            "compared": rows,
        }
    return settings


def read_settings(path: Path) -> dict[str, Any]:
    """Return a stage's settings file; `UserError` when it cannot be read."""
    if not path.exists():
        raise UserError(f"{path}: no such settings file; the workflow writes it")
    return read_json(path, "settings, JSON")
