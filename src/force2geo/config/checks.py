"""What no single key can tell: names that refer to another section, files, sums."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from force2geo.calling.named import record_of
from force2geo.config.judged import check_judged
from force2geo.config.stages import shard_sources
from force2geo.errors import UserError
from force2geo.logs.names import NamePattern
from force2geo.plan.compared import compared
from force2geo.plan.data import data_set_needs, selects
from force2geo.plan.relaxations import OWN, d_opt_data
from force2geo.plan.rounds import LOGS
from force2geo.plan.shown import KINDS, names, request
from force2geo.plan.trainings import model, pretraining
from force2geo.plan.variants import recipes, scratch
from force2geo.train.recipes import recipe, starts
from force2geo.training_data import registry

if TYPE_CHECKING:
    from force2geo.training_data.dataset import DataSet

UNDESCRIBED = "is not described under data"
_KINDS_OF_DATA = ("snapshots", "molecules")
_TAKEN = {"benchmark": "snapshots", "pretrain": "snapshots", "property": "molecules"}


def cross_check(config: dict[str, Any], models: bool) -> None:
    """Raise `UserError`, one line that names the key, where parts do not fit one another."""
    _files(config)
    try:
        NamePattern(config["curate"]["name_pattern"], config["curate"]["stage_names"])
    except UserError as error:
        raise UserError(f"config: {error}") from None
    fractions = config["select"]["fractions"]
    if abs(sum(fractions.values()) - 1) > 1e-6:
        raise UserError(
            f"config: select.fractions: {' + '.join(map(str, fractions.values()))} is "
            f"{sum(fractions.values()):.6g}; they must add up to 1"
        )
    _references(config)
    _active(config)
    _compared(config)
    _box(config)
    _data(config, models)
    check_judged(config)
    if models:
        _models(config)
    _shown(config)


def _tables(raw: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Return the tables of identifiers by their keys; `UserError` for too few or too many."""
    given, logs = raw.get("identifiers"), raw.get("logs", [])
    if not isinstance(given, list | tuple):
        return [("raw.identifiers", given)]
    if len(given) != len(logs):
        raise UserError(
            f"config: raw.identifiers: {len(given)} tables for {len(logs)} entries of raw.logs; "
            "give one for all, or one for each"
        )
    return [(f"raw.identifiers[{i}]", path) for i, path in enumerate(given)]


def _files(config: dict[str, Any]) -> None:
    """Check that files and folders are there."""
    raw, test_sets = config.get("raw", {}), config["select"]["test_sets"]
    for key, value in (
        *((f"raw.logs[{i}]", path) for i, path in enumerate(raw.get("logs", []))),
        *((f"select.test_sets[{i}]", path) for i, path in enumerate(test_sets)),
        *_tables(raw),
        ("generate.molecules", config.get("generate", {}).get("molecules")),
        *(
            (f"compare.{name}.checkpoint", config["compare"][name]["checkpoint"])
            for name in compared(config, "checkpoint")
        ),
    ):
        if value is not None and not Path(value).exists():
            raise UserError(f"config: {key}: no such file or folder '{value}'")


def _references(config: dict[str, Any]) -> None:
    """Check that what sections name is described, and what they need there."""
    benchmark = config.get("benchmark", {"backbones": []})
    needed = {"benchmark.backbones": benchmark["backbones"]}
    if "pretrain" in config:
        needed["pretrain.backbone"] = [config["pretrain"]["backbone"]]
    named = _recipes(config)
    for name in named:
        needed |= {
            f"property.recipes: {one}": [recipe(one).backbone or scratch(config)]
            for one in (name, *starts(name))
        }
    for key, asked in needed.items():
        missing = [name for name in asked if name not in config["models"]]
        if missing:
            raise UserError(f"config: {key}: '{missing[0]}' is not described under models")
    for key in ("batch_size", "epochs"):
        values, asked = benchmark.get(key), benchmark["backbones"]
        missing = [name for name in asked if isinstance(values, dict) and name not in values]
        if missing:
            raise UserError(f"config: benchmark.{key}: has no value for '{missing[0]}'")


def _active(config: dict[str, Any]) -> None:
    """Check what rounds of labels need."""
    if "active" not in config:
        return
    if "pretrain" not in config:
        raise UserError("config: active: needs the section pretrain, whose potential is trained")
    section = config["active"]
    if section["pool"] == LOGS:
        return
    for key, path in (
        ("pool", section["pool"]),
        *((f"apart[{place}]", path) for place, path in enumerate(section["apart"])),
    ):
        if not Path(path).exists():
            raise UserError(f"config: active.{key}: no such file '{path}'")
    data = config["pretrain"]["data"]
    if not selects(config, data):
        raise UserError(
            f"config: active.pool: '{data}' is not of the run's own logs, so that molecules it is "
            "tested on cannot be kept out of the pool"
        )


def _recipes(config: dict[str, Any]) -> list[str]:
    """Return the recipes of property models; `UserError` for one that needs a potential."""
    if "property" not in config:
        return []
    section = config["property"]
    if "pretrain" not in config:
        for key in ("sizes", "shares"):
            if section[key]:
                raise UserError(f"config: property.{key}: needs the section pretrain")
    if section["same_steps"] and section["train_size"] is None:
        raise UserError(
            "config: property.same_steps: needs property.train_size, to count its steps"
        )
    named = recipes(config)
    for name in named if "pretrain" not in config else []:
        one = recipe(name)
        if one.from_potential or one.geometry == "force2geo":
            raise UserError(f"config: property.recipes: {name} needs the section pretrain")
    return named


def _compared(config: dict[str, Any]) -> None:
    if OWN in config["compare"]:
        raise UserError(
            f"config: compare.{OWN}: that is the row of this run's own potential; choose "
            "another name"
        )
    known = [*([OWN] if "pretrain" in config else []), *config["compare"]]
    asked = [("finish.potentials", one) for one in config.get("finish", {}).get("potentials", [])]
    if (chosen := config["relax"]["potential"]) != OWN:
        asked.append(("relax.potential", chosen))
    for key, name in asked:
        if name not in known:
            raise UserError(
                f"config: {key}: '{name}' relaxes nothing; there are "
                f"{', '.join(known) or 'no potentials'}"
            )
    for name in compared(config, "training"):
        if "pretrain" not in config:
            raise UserError(f"config: compare.{name}.training: there is no pretrain to differ from")
    for key, training in (
        ("benchmark", config.get("benchmark", {})),
        ("pretrain", config.get("pretrain", {})),
        *(
            (f"compare.{name}.training", config["compare"][name]["training"])
            for name in compared(config, "training")
        ),
    ):
        if training.get("baseline") is not None:
            _calculator(f"{key}.baseline", training["baseline"])
    for name in compared(config, "calculator"):
        wrong = missing_import(config["compare"][name]["calculator"])
        if wrong:
            raise UserError(f"config: compare.{name}.calculator: {wrong}")


def _box(config: dict[str, Any]) -> None:
    """Check the models for the box, and the seeds of potentials that relax together."""
    section = config.get("pretrain", {"committee": []})
    if config["seed"] in section["committee"]:
        raise UserError(
            f"config: pretrain.committee: {config['seed']} is the run's own seed, whose training "
            "belongs to it anyway"
        )
    known = [*([OWN] if "pretrain" in config else []), *compared(config, "training")]
    recipes = config["property"]["recipes"] if "property" in config else []
    for name, entry in config["box"].items():
        if (entry["potential"] is None) == (entry["recipe"] is None):
            raise UserError(f"config: box.{name}: give one of 'potential' and 'recipe'")
        if entry["recipe"] is not None and entry["recipe"] not in recipes:
            raise UserError(
                f"config: box.{name}.recipe: '{entry['recipe']}' is not one of property.recipes "
                f"({', '.join(recipes) or 'none'})"
            )
        if entry["potential"] is not None and entry["potential"] not in known:
            raise UserError(
                f"config: box.{name}.potential: '{entry['potential']}' is trained nowhere in this "
                f"run; there are {', '.join(known) or 'no potentials'}"
            )


def _calculator(key: str, value: str | dict[str, Any]) -> None:
    """Check a baseline: its options, and that what it names is installed."""
    try:
        record = record_of(value)
    except UserError as error:
        raise UserError(f"config: {key}: {error}") from None
    if wrong := missing_import(record["calculator"]):
        raise UserError(f"config: {key}: {wrong}")


def described(name: str, entry: dict[str, Any]) -> DataSet:
    """Return the data set that an entry of the data describes; `UserError` where it is none."""
    if "from" not in entry:
        raise UserError(f"config: data.{name}.from: missing, the name of a data set")
    if entry.get("as", _KINDS_OF_DATA[0]) not in _KINDS_OF_DATA:
        said = f"{entry['as']!r}, not one of {', '.join(_KINDS_OF_DATA)}"
        raise UserError(f"config: data.{name}.as: {said}")
    try:
        return registry.build(entry)
    except UserError as error:
        raise UserError(f"config: data.{name}: {error}") from None


def _data(config: dict[str, Any], files: bool) -> None:
    """Check settings of data sets and what sections take of them; with `files` that they exist."""
    for name, entry in config["data"].items():
        data = described(name, entry)
        for file in data.files() if files else []:
            if not (data.folder() / file.path).exists():
                raise UserError(
                    f"config: data.{name}: no such file '{data.folder() / file.path}'; "
                    f"{data.about.title} is to be had from {data.about.source}"
                )
    taken = {
        f"{section}.data": (config[section]["data"], kind)
        for section, kind in _TAKEN.items()
        if section in config
    }
    apart = config["relax"]["d_opt"] is not None
    if config["compare"] or apart:
        taken["relax.d_opt" if apart else "compare"] = (d_opt_data(config), "molecules")
    for key, (name, kind) in taken.items():
        if name not in config["data"]:
            raise UserError(f"config: {key}: '{name}' {UNDESCRIBED}")
        if registry.kind(config["data"][name]) != kind:
            raise UserError(f"config: {key}: '{name}' has no {kind}")
        if "store" in data_set_needs(config, name) and not shard_sources(config):
            raise UserError(
                f"config: {key}: '{name}' is made of logs, and neither raw.logs nor "
                "generate.molecules is given"
            )
    if "property" in config:
        _targets(config["property"], config["data"])


def _targets(section: dict[str, Any], data: dict[str, Any]) -> None:
    """Check that the molecules that property models learn from have what these predict."""
    asked, known = section["target"], registry.find(data[section["data"]]["from"]).units
    own = [asked] if isinstance(asked, str) else asked
    others = [("targets", name) for name in section["targets"]]
    for key, name in [*(("target", name) for name in own), *others]:
        if name not in known:
            raise UserError(
                f"config: property.{key}: '{section['data']}' has no target '{name}', only "
                f"{', '.join(known)}"
            )


def _models(config: dict[str, Any]) -> None:
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


def _shown(config: dict[str, Any]) -> None:
    """Check that the tables and figures exist and that the run has what they are made of."""
    for kind in KINDS:
        key, known = f"{kind}s", names(kind)
        for name in config[key]:
            if name not in known:
                raise UserError(
                    f"config: {key}: there is no {kind} '{name}', only {', '.join(known)}"
                )
            try:
                request(config, kind, name)
            except UserError as error:
                raise UserError(f"config: {key}: {name}: {error}") from None


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
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name):
            found.add(node.id)
    # What a star brings, or a module's own __getattr__, cannot be told without running it.
    if name in found or {"*", "__getattr__"} & found:
        return ""
    return f"the module '{module}' has no '{name}'"
