"""A whole training run: model, data, fit, evaluation and the files they leave."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from force2geo.errors import UserError
from force2geo.files import atomic_path, provenance, record_provenance, write_json
from force2geo.potentials import checkpoint
from force2geo.potentials.models import Potential, PropertyModel
from force2geo.train.engine import fit
from force2geo.train.history import EpochTable
from force2geo.train.judging import predict_all
from force2geo.train.memory import keep_freed_memory, peak_memory
from force2geo.train.objectives import EnergyForces, Objective, PropertyGeometry
from force2geo.train.processes import device, is_first_process
from force2geo.train.references import fit_references
from force2geo.train.scratch import discard
from force2geo.train.statistics import statistics_of
from force2geo.train.tracking import MLflowTracking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from force2geo.train.geometry_mix import Molecules
    from force2geo.train.loader import Dataset
    from force2geo.train.snapshots import Snapshots

_GPU_SHARE = 0.6  # of a GPU's free memory that data may take; the rest is for batches


def _run(
    stage: str,
    model: Potential | PropertyModel,
    objective: Objective,
    sets: dict[str, Dataset],
    settings: dict[str, Any],
    inputs: Sequence[Path],
    target: Path,
) -> None:
    """Train, and write model, metrics and predictions; only then let go of what could be lost."""
    keep_freed_memory()
    origin = provenance(stage, settings, inputs)
    names = {part: target.with_name(part) for part in ("metrics.json", "metrics.csv")}
    table = EpochTable(names["metrics.csv"])
    tracking = settings["tracking"]
    trackers = []
    if tracking["uri"] and is_first_process():
        name = f"{stage} {target.parent.name}"
        trackers.append(MLflowTracking(tracking["uri"], tracking["experiment"], name, settings))
    scratch = target.with_name(f".{target.name}.unfinished")
    network, history = fit(
        model,
        objective,
        sets["train"],
        sets["val"],
        settings,
        scratch,
        [table, *trackers],
        inputs={Path(path).name: digest for path, digest in origin["inputs"].items()},
    )
    assert isinstance(network, (Potential, PropertyModel))
    network.to(device())
    metrics: dict[str, Any] = {"sizes": {name: len(data) for name, data in sets.items()}}
    metrics["left_out"] = {name: data.left_out for name, data in sets.items() if data.left_out}
    predictions: dict[str, Any] = {}
    for name in ("val", "test"):
        started = time.perf_counter()
        found = predict_all(network, objective, sets[name], settings)
        if name == "val":
            metrics["predicted_per_second"] = len(sets[name]) / (time.perf_counter() - started)
        metrics[name] = objective.metrics(found)
        found["cid"] = sets[name].ids()
        predictions |= {f"{name}/{key}": value for key, value in found.items()}
    if not is_first_process():
        return
    metrics["seconds_per_epoch"] = float(np.median([row["seconds"] for row in history]))
    metrics["trained_per_second"] = len(sets["train"]) / metrics["seconds_per_epoch"]
    metrics["peak_memory_mb"] = peak_memory()
    metrics["epochs"] = len(history)
    metrics["parameters"] = sum(p.numel() for p in network.parameters())
    metrics["history"] = history
    checkpoint.save(network.cpu(), target, origin)
    write_json(names["metrics.json"], metrics)
    table.write(history)
    with atomic_path(target.with_name("predictions.npz")) as part, part.open("wb") as handle:
        np.savez_compressed(handle, **predictions)
    for path in (target, *names.values(), target.with_name("predictions.npz")):
        if path.exists():  # the table is not there where its disk was full
            record_provenance(path, stage, settings, inputs)
    for tracker in trackers:
        tracker.finish([target, names["metrics.json"]])
    discard(scratch)


def _near(snapshots: Snapshots) -> Snapshots:
    """Return the data on the GPU where there is one with room for it, else as it is."""
    here = device()
    if here.type != "cuda":
        return snapshots
    free, _ = torch.cuda.mem_get_info(here)
    return snapshots.to(here) if snapshots.bytes < _GPU_SHARE * free else snapshots


def _say_left_out(sets: dict[str, Any]) -> None:
    """Tell, on one line a set, what is not judged."""
    for name, data in sets.items():
        if data.left_out and is_first_process():
            reasons = ", ".join(f"{count} ({reason})" for reason, count in data.left_out.items())
            print(f"warning: left out of {name}: {reasons}", file=sys.stderr, flush=True)


def train_potential(
    stage: str,
    snapshots: Snapshots,
    judged_on: str | None,
    settings: dict[str, Any],
    inputs: Sequence[Path],
    target: Path,
) -> None:
    """Train a potential on packed snapshots and write `target` with metrics and predictions.

    Validation and test are the snapshots of the source `judged_on` (all when None), but for those
    with elements that training does not see: of these the model cannot know anything.
    """
    torch.manual_seed(settings["seed"])
    settings = settings | {"judged_on": judged_on}
    snapshots = _near(snapshots)
    train = snapshots.where("train").require("training set")
    model = Potential(settings["backbone"], statistics_of(train, settings["backbone"]["cutoff"]))
    elements = train.elements()
    model.config |= {
        "elements": elements,
        "charge_states": snapshots.charge_states,
        "levels": snapshots.levels,
    }
    references = fit_references(train, settings["reference"])
    model.head.references.copy_(torch.from_numpy(references))
    judged = {}
    for split, what in (("val", "validation set"), ("test", "test set")):
        part = snapshots.where(split, judged_on).require(what)
        judged[split] = part.of_elements(elements).require(f"{what} of the elements trained on")
    _say_left_out(judged)
    sets: dict[str, Dataset] = {"train": train, **judged}
    _run(stage, model, EnergyForces(**settings["loss"]), sets, settings, inputs, target)


def train_property(
    stage: str,
    sets: dict[str, Molecules],
    start: Path | None,
    settings: dict[str, Any],
    inputs: Sequence[Path],
    target: Path,
    start_kind: str | None = None,
) -> None:
    """Train a property model, from scratch or from the backbone (or all) of a checkpoint.

    With `start_kind` the checkpoint must be of a `potential` or of a `property` model. Molecules to
    judge on with elements or charges that training does not see are left out.
    """
    torch.manual_seed(settings["seed"])
    if start is not None:
        loaded = checkpoint.load(start).network
        if start_kind not in (None, loaded.kind):
            raise UserError(f"{start}: holds a {loaded.kind} model, the recipe starts from another")
        # What is recorded is what is trained.
        settings = settings | {"backbone": loaded.config["backbone"]}
    known = None if start is None else loaded.statistics
    model = PropertyModel(settings["backbone"], known)
    train = sets["train"]
    model.head.mean.fill_(float(train.gap.mean()))
    deviation = float(train.gap.std(correction=0))
    # Where all values are one, the output must still depend on the network.
    model.head.deviation.fill_(deviation or 1.0)
    if start is not None:
        if isinstance(loaded, PropertyModel):
            model.load_state_dict(loaded.state_dict())
        else:
            model.backbone.load_state_dict(loaded.backbone.state_dict())
    elements, states = train.elements(), train.charge_states()
    model.config |= {"elements": elements, "charge_states": states}
    if start is not None:
        model.config["levels"] = loaded.config.get("levels", [])
    sets = sets | {name: sets[name].known_to(elements, states) for name in ("val", "test")}
    for name in ("val", "test"):
        if not len(sets[name]):
            raise UserError(f"{name}: no molecule of the elements and charges trained on")
    _say_left_out(sets)
    sets = {name: data.to(device()) for name, data in sets.items()}
    if settings["geometry_weight"] and sets["train"].frames is not None:
        _require_vectors(model.to(device()), sets["train"], settings)
    objective = PropertyGeometry(settings["geometry_weight"])
    _run(stage, model, objective, dict(sets), settings, inputs, target)


def _require_vectors(model: PropertyModel, train: Molecules, settings: dict[str, Any]) -> None:
    """Raise `UserError` where displacements are to be learnt by a backbone that gives none."""
    if "displacement" not in model(train.batch(np.zeros(1, dtype=int))):
        raise UserError(
            f"property.geometry_weight: backbone '{settings['backbone']['name']}' has no vectors "
            "to learn displacements with; set it to 0, or start from a PaiNN"
        )
