"""A whole training run: model, data, fit, evaluation and the files they leave."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from force2geo.files import atomic_path, provenance, record_provenance, write_json
from force2geo.potentials import checkpoint
from force2geo.potentials.models import Potential, PropertyModel
from force2geo.train.engine import accelerator, fit, is_first_process
from force2geo.train.loader import BatchLoader, Dataset
from force2geo.train.memory import keep_freed_memory
from force2geo.train.objectives import EnergyForces, Objective, PropertyGeometry
from force2geo.train.references import fit_references
from force2geo.train.tracking import MLflowTracking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from force2geo.train.geometry_mix import Molecules
    from force2geo.train.snapshots import Snapshots

_GPU_SHARE = 0.6  # of a GPU's free memory that data may take; the rest is for batches


def _run(
    stage: str,
    model: nn.Module,
    objective: Objective,
    sets: dict[str, Dataset],
    settings: dict[str, Any],
    inputs: Sequence[Path],
    target: Path,
) -> None:
    keep_freed_memory()
    tracking = settings["tracking"]
    callbacks = []
    if tracking["uri"] and is_first_process():
        name = f"{stage} {target.parent.name}"
        callbacks.append(MLflowTracking(tracking["uri"], tracking["experiment"], name, settings))
    scratch = target.with_name(f".{target.name}.unfinished")
    network, history = fit(
        model, objective, sets["train"], sets["val"], settings, scratch, list(callbacks)
    )
    if not is_first_process():
        return
    network.to(accelerator())
    metrics: dict[str, Any] = {"sizes": {name: len(data) for name, data in sets.items()}}
    predictions: dict[str, Any] = {}
    for name in ("val", "test"):
        loader = BatchLoader(sets[name], 2 * settings["batch_size"])
        found = objective.predict(network, (batch.to(accelerator()) for batch in loader))
        metrics[name] = objective.metrics(found)
        predictions |= {f"{name}/{key}": value for key, value in found.items()}
    metrics["seconds_per_epoch"] = float(np.median([row["seconds"] for row in history]))
    metrics["epochs"] = len(history)
    metrics["parameters"] = sum(p.numel() for p in network.parameters())
    metrics["history"] = history
    origin = provenance(stage, settings, inputs)
    with atomic_path(target.with_name("predictions.npz")) as part, part.open("wb") as handle:
        np.savez_compressed(handle, **predictions)
    write_json(target.with_name("metrics.json"), metrics)
    assert isinstance(network, (Potential, PropertyModel))
    checkpoint.save(network.cpu(), target, origin)
    for path in (target, target.with_name("metrics.json"), target.with_name("predictions.npz")):
        record_provenance(path, stage, settings, inputs)
    for callback in callbacks:
        callback.finish([target, target.with_name("metrics.json")])


def _near(snapshots: Snapshots) -> Snapshots:
    """Return the data on the GPU where there is one with room for it, else as it is."""
    if accelerator() != "cuda":
        return snapshots
    device = torch.device(
        "cuda", int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", 0)))
    )
    free, _ = torch.cuda.mem_get_info(device)
    return snapshots.to(device) if snapshots.bytes < _GPU_SHARE * free else snapshots


def train_potential(
    stage: str,
    snapshots: Snapshots,
    judged_on: str | None,
    settings: dict[str, Any],
    inputs: Sequence[Path],
    target: Path,
) -> None:
    """Train a potential on packed snapshots and write `target` with metrics and predictions.

    Validation and test are the snapshots of the source `judged_on` (all when None).
    """
    torch.manual_seed(settings["seed"])
    snapshots = _near(snapshots)
    train = snapshots.where("train").require("training set")
    model = Potential(settings["backbone"])
    model.config["elements"] = train.elements()
    references = fit_references(train, settings["reference"])
    model.head.references.copy_(torch.from_numpy(references))
    sets: dict[str, Dataset] = {
        "train": train,
        "val": snapshots.where("val", judged_on).require("validation set"),
        "test": snapshots.where("test", judged_on).require("test set"),
    }
    _run(stage, model, EnergyForces(**settings["loss"]), sets, settings, inputs, target)


def train_property(
    stage: str,
    sets: dict[str, Molecules],
    start: Path | None,
    settings: dict[str, Any],
    inputs: Sequence[Path],
    target: Path,
) -> None:
    """Train a property model, from scratch or from the backbone (or all) of a checkpoint."""
    torch.manual_seed(settings["seed"])
    backbone = settings["backbone"]
    if start is not None:
        loaded = checkpoint.load(start).network
        backbone = loaded.config["backbone"]
    model = PropertyModel(backbone)
    model.head.mean.fill_(float(sets["train"].gap.mean()))
    model.head.deviation.fill_(float(sets["train"].gap.std(correction=0)))
    if start is not None:
        if isinstance(loaded, PropertyModel):
            model.load_state_dict(loaded.state_dict())
        else:
            model.backbone.load_state_dict(loaded.backbone.state_dict())
    sets = {name: data.to(accelerator()) for name, data in sets.items()}
    objective = PropertyGeometry(settings["geometry_weight"])
    _run(stage, model, objective, dict(sets), settings, inputs, target)
