"""The run's configuration cut into each stage's settings."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from force2geo.errors import UserError
from force2geo.files import code_version, folder_fingerprint, read_json
from force2geo.logs.archives import ARCHIVE_SUFFIXES
from force2geo.molecules import read_molecules
from force2geo.plan.baselines import baselines
from force2geo.plan.box import boxed
from force2geo.plan.data import data_settings, selects, stages_together
from force2geo.plan.finishes import finishes
from force2geo.plan.relaxations import relaxations
from force2geo.plan.rounds import choices
from force2geo.plan.shown import KINDS, request
from force2geo.plan.trainings import trainings

STAGES = (
    "generate",
    "curate",
    "statistics",
    "audit",
    "select",
    "d_opt",
    "seen",
    "dft",
    "report",
)


REPORTED = ("store", "pretrain")
"""Parts of the page that a run need not have."""


def has(config: dict[str, Any], part: str) -> bool:
    """Return whether a run has a section, or a `store` of logs."""
    return bool(shard_sources(config)) if part == "store" else bool(config.get(part))


def shard_sources(config: dict[str, Any]) -> dict[str, str]:
    """Return `{shard name: path}` of the raw archives; a folder stands for those inside it.

    A folder without archives is a shard itself, and so is a single log. A run without logs and
    molecules of its own has none.
    """
    sources: dict[str, str] = {}
    for entry in config.get("raw", {}).get("logs", []):
        for archive in _archives(Path(entry)):
            name = _shard(archive)
            if name in sources:
                raise UserError(f"config: raw.logs: two shards are named '{name}'")
            sources[name] = str(archive)
    for name in generated_shards(config):
        sources[name] = f"results/{config['run']}/generated/{name}.tar"
    return sources


def _archives(path: Path) -> list[Path]:
    inside = []
    if path.is_dir():
        inside = sorted(p for p in path.iterdir() if p.name.lower().endswith(ARCHIVE_SUFFIXES))
    return inside or [path]


def _shard(archive: Path) -> str:
    return archive.name.split(".")[0]


def shard_identifiers(config: dict[str, Any]) -> dict[str, str]:
    """Return `{shard name: table of its molecules}`, without shards that have none."""
    raw = config.get("raw", {})
    logs, given = raw.get("logs", []), raw.get("identifiers")
    tables = given if isinstance(given, list | tuple) else [given] * len(logs)
    found = {
        _shard(archive): table
        for entry, table in zip(logs, tables, strict=True)
        for archive in _archives(Path(entry))
        if table is not None
    }
    own = config.get("generate", {}).get("molecules")
    return found | dict.fromkeys(generated_shards(config), own)


def own_molecules(config: dict[str, Any]) -> dict[str, str]:
    """Return `{CID: SMILES or InChI}` of the molecules that the run itself relaxes."""
    if "generate" not in config:
        return {}
    path = Path(config["generate"]["molecules"])
    stat = path.stat()
    return dict(_listed(path, stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=1)
def _listed(path: Path, *_: int) -> tuple[tuple[str, str], ...]:
    # Read once, not for each that asks: every molecule's InChIKey is computed.
    return tuple((m.cid, m.smiles or m.inchi) for m in read_molecules(path))


def generated_shards(config: dict[str, Any]) -> dict[str, list[str]]:
    """Return `{shard name: CIDs}` of the molecules that the run itself relaxes."""
    cids = list(own_molecules(config))
    if not cids:
        return {}
    size = config["generate"]["shard_size"]
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

    `data/NAME` is a data set, `baseline/NAME` what trainings correct, `train/NAME` a training,
    `choose/NAME` what a round's labels are, `relax/NAME` a relaxation, `finish/NAME` one that goes
    on with DFT, `box/NAME` a potential that is to come with the package, `table/NAME` and
    `figure/NAME` what one is made of.
    """
    stage, _, name = stage.partition("/")
    if stage == "train":
        return trainings(config)[name]
    if stage == "baseline":
        return baselines(config)[name]
    if stage == "choose":
        return choices(config)[name]
    if stage == "data":
        return data_settings(config, name, list(shard_sources(config)))
    if stage in KINDS:
        return request(config, stage, name)
    if stage == "report":
        lacks = [part for part in REPORTED if not has(config, part)]
        return {key: config[key] for key in ("tables", "figures")} | (
            {"lacks": lacks} if lacks else {}
        )
    if stage == "relax":
        return relaxations(config)[name]
    if stage == "box":
        return boxed(config)[name]
    if stage == "finish":
        return finishes(config)[name]
    if stage == "seen":
        entry = config["data"][config["pretrain"]["data"]] if "pretrain" in config else {}
        return {"split": entry.get("split", "random")}
    if stage == "d_opt":
        return {"size": config["select"]["d_opt_size"]}
    settings = dict(config.get(stage, {}))
    if stage == "generate":
        for key in ("molecules", "shard_size"):
            settings.pop(key, None)
    if stage in ("statistics", "audit"):
        settings["shards"] = list(shard_sources(config))
    if stage == "audit":
        settings["uses"] = stages_together(config)
    if stage in ("audit", "select"):
        settings["seed"] = config["seed"]
    if stage == "select":
        del settings["d_opt_size"]
        section = config.get("property", {"splits": []})
        # Of molecules with splits of their own the selection is not asked.
        asked = "data" not in section or selects(config, section["data"])
        settings["splits"] = sorted(section["splits"]) if asked else []
    return settings


def read_settings(path: Path) -> dict[str, Any]:
    """Return a stage's settings file; `UserError` when it cannot be read."""
    if not path.exists():
        raise UserError(f"{path}: no such settings file; the workflow writes it")
    return read_json(path, "settings, JSON")
