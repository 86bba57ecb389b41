"""Every relaxation of a run as one record: all that it depends on, and nothing else.

A record names its `data` (a packed file), which `molecules` of it, the geometry they `start` from,
the `potential` (a training or several, a checkpoint or an ASE calculator) and the optimiser. It is
cut in pieces, jobs of their own, whose names say which molecules they hold: the same pieces of
another cut are the same jobs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from force2geo.plan.compared import others
from force2geo.plan.data import selects
from force2geo.plan.trainings import committee, same, trainings
from force2geo.training_data import registry

OWN = "Force2Geo"
"""Name of the run's own potential in table 3."""
START = "hf"
"""The geometry that relaxations start from unless they say another: the first DFT snapshot."""
BETWEEN = ", from "
"""Between a potential and another start in a row of table 3."""
ALL = "all"
"""The molecules of a relaxation of a whole set."""


def of_d_opt(config: dict[str, Any], other: str = "", start: str = START) -> dict[str, Any]:
    """Return the relaxation of D_opt, or of what stands in its place, by a potential."""
    data = d_opt_data(config)
    molecules = "d_opt" if config["relax"]["d_opt"] is None else ALL
    return _relaxation(config, data, molecules, start, other)


def whole_set(config: dict[str, Any], data: str) -> dict[str, Any]:
    """Return the relaxation of what property models read of an entry of the data.

    That is the molecules that are told and as many to train on as a model on relaxed geometries
    has: with `train_sizes`, by split, not what only larger sets of true geometries hold.
    """
    start = registry.find(config["data"][data]["from"]).start
    record = _relaxation(config, data, ALL, start, _for_properties(config))
    sizes: dict[str, int] = {}
    for training in _on_relaxed(config, data):
        if (size := training.get("train_size")) is None:
            return record
        sizes[training["split"]] = max(size, sizes.get(training["split"], 0))
    return record | {"train_sizes": sizes} if sizes else record


def _on_relaxed(config: dict[str, Any], data: str) -> list[dict[str, Any]]:
    """Return the trainings of an entry of the data on relaxed geometries."""
    return [
        training
        for training in trainings(config).values()
        if training.get("geometry") == "force2geo" and training["data"] == data
    ]


def _for_properties(config: dict[str, Any]) -> str:
    """Return which potential relaxes what property models learn from, empty for the run's own."""
    name = str(config["relax"]["potential"])
    return "" if name == OWN else name


def _relaxation(
    config: dict[str, Any], data: str, molecules: str, start: str, other: str
) -> dict[str, Any]:
    section = config["relax"]
    return {
        "data": data,
        "molecules": molecules,
        "start": start,
        "potential": _potential(config, other),
        **{key: section[key] for key in ("optimizer", "force_threshold", "max_steps")},
    }


def selected_data(config: dict[str, Any]) -> str:
    """Return the entry of the data that S and D_opt are of.

    That is what property models learn from, where the run's selection says which of it, or else the
    first entry of such molecules.
    """
    asked = config.get("property", {}).get("data")
    entries = [
        name
        for name, entry in config["data"].items()
        if registry.kind(entry) == "molecules" and selects(config, name)
    ]
    return asked if asked in entries else next(iter(entries), "downstream")


def d_opt_data(config: dict[str, Any]) -> str:
    """Return the entry of the data that is judged: D_opt's, or one that stands in its place."""
    return config["relax"]["d_opt"] or selected_data(config)


def of_another_set(config: dict[str, Any]) -> dict[str, str]:
    """Return what a table says of the set in D_opt's place, nothing where there is none."""
    name = config["relax"]["d_opt"]
    if name is None:
        return {}
    return {"molecules": registry.find(config["data"][name]["from"]).about.title}


def first_start(config: dict[str, Any]) -> str:
    """Return the geometry that D_opt starts from whatever the configuration says."""
    name = config["relax"]["d_opt"]
    return START if name is None else registry.find(config["data"][name]["from"]).start


def relaxed_by(config: dict[str, Any], data: str) -> str:
    """Return the name of the relaxation that property models of an entry learn from."""
    return "subset" if selects(config, data) else f"{ALL}.{data}"


def _potential(config: dict[str, Any], other: str) -> dict[str, Any]:
    entry = config["compare"][other] if other else {"training": {}}
    if "calculator" in entry:
        return {"calculator": entry["calculator"], "options": entry.get("options", {})}
    if "checkpoint" in entry:
        return {"checkpoint": entry["checkpoint"]}
    # Their own records say how they are trained.
    names = trained(config, other)
    return {"trainings": names} if len(names) > 1 else {"training": names[0]}


def trained(config: dict[str, Any], other: str = "") -> list[str]:
    """Return the trainings that are one potential, the run's own or one that is compared."""
    ids = same(trainings(config))
    return [ids[name] for name in ([f"pretrain.{other}"] if other else committee(config))]


def name_of(molecules: str, other: str = "", start: str = START) -> str:
    """Return the name of a relaxation."""
    return ".".join([molecules, *([other] if other else []),
                     *([f"start={start}"] if start != START else [])])  # fmt: skip


def relaxations(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the records of all relaxations that the configuration names, by name."""
    found = {}
    if "pretrain" in config:
        found["subset"] = _relaxation(
            config, selected_data(config), "subset", START, _for_properties(config)
        )
    for data in config["data"]:
        if not selects(config, data) and _on_relaxed(config, data):
            found[relaxed_by(config, data)] = whole_set(config, data)
    for other, start in _judged(config):
        found[name_of("d_opt", other, start)] = of_d_opt(config, other, start)
    return found


def _judged(config: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the potentials, the run's own first, with each geometry that D_opt starts from."""
    potentials = [*([""] if "pretrain" in config else []), *others(config)]
    return [(other, start) for start in d_opt_starts(config) for other in potentials]


def d_opt_starts(config: dict[str, Any]) -> list[str]:
    """Return the geometries that D_opt starts from, each once."""
    return list(dict.fromkeys([first_start(config), *config["relax"]["starts"]]))


def is_judged(name: str) -> bool:
    """Return whether a relaxation, or a finishing, is one that DFT judges."""
    return name.partition(".")[0] == "d_opt"


def row_of(other: str, start: str) -> str:
    """Return the row of table 3 of a potential, the run's own without a name, from a start."""
    return (other or OWN) + (f"{BETWEEN}{start}" if start != START else "")


def earlier(name: str) -> str | None:
    """Return the relaxation of D_opt whose single points should be there before another's.

    All have the references in common, and those of one start the starts, too.
    """
    kept = [part for part in name.split(".") if part == "d_opt" or part.startswith("start=")]
    parts = kept if kept != name.split(".") else kept[:-1]
    return ".".join(parts) or None


def judged(config: dict[str, Any]) -> dict[str, str]:
    """Return the tables of D_opt's molecules by row of table 3, within the run's folder."""
    ids = same(relaxations(config))
    return {
        row_of(other, start): f"judged/{ids[name_of('d_opt', other, start)]}.csv"
        for other, start in _judged(config)
    }


def piece_size(config: dict[str, Any], record: dict[str, Any]) -> int:
    """Return how many molecules of a relaxation are one job."""
    kind = "calculator" if "calculator" in record["potential"] else "potential"
    return int(config["relax"]["chunk"][kind])


def planned(config: dict[str, Any], molecules: str) -> int | None:
    """Return how many molecules `d_opt` or `subset` has at most, None where only a file tells."""
    if molecules == ALL:
        return None
    key = {"d_opt": "d_opt_size", "subset": "subset_size"}[molecules]
    count = config["select"][key]
    return None if count is None else int(count)


def counted(selection: str, record: dict[str, Any]) -> int:
    """Return how many molecules relax, of a selection's file, or of a file of molecules."""
    if record["molecules"] == ALL:
        return len(whole(Path(selection), record))
    return len(json.loads(Path(selection).read_text(encoding="utf-8"))[record["molecules"]])


def whole(conformers: Path, record: dict[str, Any]) -> list[str]:
    """Return the names of the molecules of a packed file that a relaxation of ALL is of.

    That is all of them, or of splits with a number in `train_sizes` the other parts and so many.
    """
    from force2geo.train.subsets import nested
    from force2geo.training_data.conformers import names_and_splits

    names, splits = names_and_splits(conformers)
    if "train_sizes" not in record:
        return names
    read = {
        name
        for split, size in record["train_sizes"].items()
        for part, own in splits[split].items()
        for name in (nested(own, size) if part == "train" else own)
    }
    return [name for name in names if name in read]


def pieces(count: int, size: int) -> list[str]:
    """Return the names of the files of `count` molecules, `size` in each: `0-1000.h5` and so on."""
    return [f"{first}-{min(first + size, count)}.h5" for first in range(0, count, size)]
