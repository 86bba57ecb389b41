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
from force2geo.plan.data import data_settings, stages_together
from force2geo.plan.relaxations import OWN, compared, relaxations
from force2geo.plan.shown import KINDS, names, request
from force2geo.plan.trainings import model, pretraining, trainings

STAGES = (
    "generate",
    "curate",
    "statistics",
    "audit",
    "select",
    "d_opt",
    "dft",
    "report",
)
# Keys that make a potential to compare, and those that may stand beside them.
_KINDS: tuple[tuple[set[str], set[str]], ...] = (
    ({"calculator"}, {"options"}),
    ({"checkpoint"}, set()),
    ({"model", "training"}, set()),
)


def check(config: dict[str, Any], schema_path: Path, models: bool = True) -> None:
    """Raise `UserError`, one line that names the key, when a configuration is not valid.

    With `models` backbones' settings are checked, too; they are imported for it, which takes
    seconds.
    """
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
    _check_potentials(config)
    if models:
        _check_data(config)
        _check_models(config)
    for kind in KINDS:
        unknown = [name for name in config[f"{kind}s"] if name not in names(kind)]
        if unknown:
            raise UserError(
                f"config: {kind}s: there is no {kind} '{unknown[0]}', only {', '.join(names(kind))}"
            )


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


def _check_potentials(config: dict[str, Any]) -> None:
    """Check what names of backbones, models and other potentials refer to."""
    for key, asked in (
        ("benchmark.backbones", config["benchmark"]["backbones"]),
        ("pretrain.backbone", [config["pretrain"]["backbone"]]),
    ):
        missing = [name for name in asked if name not in config["models"]]
        if missing:
            raise UserError(f"config: {key}: '{missing[0]}' is not described under models")
    for key in ("batch_size", "epochs"):
        values, asked = config["benchmark"][key], config["benchmark"]["backbones"]
        missing = [name for name in asked if isinstance(values, dict) and name not in values]
        if missing:
            raise UserError(f"config: benchmark.{key}: has no value for '{missing[0]}'")
    if OWN in config.get("compare", {}):
        raise UserError(
            f"config: compare.{OWN}: that is the row of this run's own potential; choose "
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
    for name in compared(config, "calculator"):
        wrong = missing_import(config["compare"][name]["calculator"])
        if wrong:
            raise UserError(f"config: compare.{name}.calculator: {wrong}")


def _check_data(config: dict[str, Any]) -> None:
    """Check the settings of data sets, that their files are there, and what names refer to."""
    from force2geo.training_data import registry

    for name, entry in config["data"].items():
        try:
            data = registry.build(entry)
        except UserError as error:
            raise UserError(f"config: data.{name}: {error}") from None
        for file in data.files():
            if not (data.folder() / file.path).exists():
                raise UserError(
                    f"config: data.{name}: no such file '{data.folder() / file.path}'; "
                    f"{data.about.title} is to be had from {data.about.source}"
                )
    for section, default, kind in (
        ("benchmark", "benchmark", "snapshots"),
        ("pretrain", "pretrain", "snapshots"),
        ("property", "downstream", "molecules"),
    ):
        name = config[section].get("data", default)
        if name not in config["data"]:
            raise UserError(f"config: {section}.data: '{name}' is not described under data")
        if registry.kind(config["data"][name]) != kind:
            raise UserError(f"config: {section}.data: '{name}' has no {kind}")


def _check_models(config: dict[str, Any]) -> None:
    """Check the settings of backbones, but of those that need more than torch to be imported.

    Their packages take seconds, or are not installed; a training checks its own.
    """
    from force2geo.potentials.registry import check as check_backbone
    from force2geo.potentials.unimported import about

    described = {f"models.{name}": model(config, name) for name in config["models"]}
    for name in compared(config, "training"):
        described[f"compare.{name}.model"] = pretraining(config, name)["backbone"]
    for key, settings in described.items():
        if about(settings["name"]).get("extra"):
            continue
        try:
            check_backbone(settings)
        except UserError as error:
            raise UserError(f"config: {key}: {error}") from None


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
    """Return all a stage's job may depend on, and nothing else, so that it reruns when it changes.

    `data/NAME` is a data set, `train/NAME` a training, `relax/NAME` a relaxation, `table/NAME` and
    `figure/NAME` what one is made of.
    """
    stage, _, name = stage.partition("/")
    if stage == "train":
        return trainings(config)[name]
    if stage == "data":
        return data_settings(config, name, list(shard_sources(config)))
    if stage in KINDS:
        return request(config, stage, name)
    if stage == "report":
        return {key: config[key] for key in ("tables", "figures")}
    if stage == "relax":
        return relaxations(config)[name]
    if stage == "d_opt":
        return {"size": config["select"]["d_opt_size"]}
    settings = dict(config.get(stage, {}))
    if stage == "generate":
        for key in ("molecules", "shard_size"):
            del settings[key]
    if stage in ("statistics", "audit"):
        settings["shards"] = list(shard_sources(config))
    if stage == "audit":
        settings["uses"] = stages_together(config)
    if stage in ("audit", "select"):
        settings["seed"] = config["seed"]
    if stage == "select":
        del settings["d_opt_size"]
        settings["splits"] = sorted(config["property"]["splits"])
    return settings


def read_settings(path: Path) -> dict[str, Any]:
    """Return a stage's settings file; `UserError` when it cannot be read."""
    if not path.exists():
        raise UserError(f"{path}: no such settings file; the workflow writes it")
    return read_json(path, "settings, JSON")
