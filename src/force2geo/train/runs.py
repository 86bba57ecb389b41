"""A whole training run: model, data, fit, evaluation and the files they leave."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from force2geo.calling.named import label
from force2geo.errors import UserError
from force2geo.files import atomic_path, provenance, record_provenance, write_json
from force2geo.molecular_state import signed
from force2geo.potentials import checkpoint
from force2geo.potentials.models import Network
from force2geo.settings import hints
from force2geo.train.engine import fit
from force2geo.train.history import EpochTable
from force2geo.train.judging import predict_all
from force2geo.train.memory import keep_freed_memory, peak_memory
from force2geo.train.processes import device, is_first_process
from force2geo.train.snapshots import Snapshots
from force2geo.train.tracking import MLflowTracking
from force2geo.train.unfinished import discard

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import nn

    from force2geo.train.loader import Dataset
    from force2geo.train.objective import Objective


def _run(
    stage: str,
    model: Network,
    objective: Objective,
    sets: Mapping[str, Dataset],
    settings: dict[str, Any],
    inputs: Sequence[Path],
    target: Path,
) -> None:
    """Train, and write model, metrics and predictions; only then let go of what could be lost.

    What has no epochs is judged as it starts.
    """
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
    network: nn.Module = model
    history: list[dict[str, float]] = []
    if settings["epochs"]:
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
    assert isinstance(network, Network)
    network.eval()
    network.to(device())
    metrics: dict[str, Any] = {"sizes": {name: len(data) for name, data in sets.items()}}
    metrics["left_out"] = {name: data.left_out for name, data in sets.items() if data.left_out}
    predictions: dict[str, Any] = {}
    for name in ("val", "test"):
        started = time.perf_counter()
        found, metrics[name] = predict_all(network, objective, sets[name], settings)
        if name == "val":
            metrics["predicted_per_second"] = len(sets[name]) / (time.perf_counter() - started)
        if name == "val" and is_first_process():
            objective.conclude(network, sets["train"], found)
        found["cid"] = sets[name].ids()
        predictions |= {f"{name}/{key}": value for key, value in found.items()}
    if not is_first_process():
        return
    metrics["units"] = objective.units(network)
    if history:
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


def _epochs(settings: Mapping[str, Any], molecules: int) -> int:
    """Return how many epochs are to be trained: no more than hold `most_steps` batches."""
    epochs, steps = int(settings["epochs"]), settings.get("most_steps")
    if steps is None or not epochs:
        return epochs
    seen = molecules * settings.get("passes", 1)
    return min(epochs, max(1, math.ceil(steps / math.ceil(seen / settings["batch_size"]))))


def _say_left_out(sets: dict[str, Any]) -> None:
    """Tell, on one line a set, what is not used."""
    for name, data in sets.items():
        if data.left_out and is_first_process():
            reasons = ", ".join(f"{count} ({reason})" for reason, count in data.left_out.items())
            print(f"warning: left out of {name}: {reasons}", file=sys.stderr, flush=True)


def _say_what_it_cannot_tell(model: Network, states: list[list[int]]) -> None:
    """Warn where atoms at the same places have several energies and the network one answer."""
    if len(states) == 1 or model.backbone.takes_charge or not is_first_process():
        return
    told = ", ".join(f"{signed(charge)} with {spin}" for charge, spin in states)
    named = model.config["backbone"]["name"]
    more = (
        f"'charge: true' in the settings of model {named} tells it"
        if "charge" in hints(model.backbone.Settings)
        else "networks with the setting 'charge' are (force2geo backbones)"
    )
    print(
        f"warning: trained on charges with multiplicities {told}: the network is told neither, "
        f"and the same atoms are the same to it; {more}",
        file=sys.stderr,
        flush=True,
    )


def train(
    stage: str,
    objective: Objective,
    sets: Mapping[str, Any],
    settings: dict[str, Any],
    inputs: Sequence[Path],
    target: Path,
    start: Path | None = None,
) -> None:
    """Train for an objective and write `target` with metrics and predictions.

    `sets` are `train`, `val` and `test` as the objective's source makes them. With `start`, a
    checkpoint, the network is that one's, and so are its heads of the same targets. What is judged
    on that training has not seen, be it an element or a charge, is left out: of these the model
    cannot know anything.
    """
    torch.manual_seed(settings["seed"])
    settings = objective.defaults() | settings
    begun = None
    if start is not None:
        begun = checkpoint.load(start).network
        objective.check_start(begun, str(start))
        _check_baseline(begun, sets["train"], str(start))
        # What is recorded is what is trained.
        settings = settings | {"backbone": begun.config["backbone"]}
    learnt, backbone = sets["train"], settings["backbone"]
    heads = objective.heads(learnt)
    if settings.get("baseline") and "energy" not in heads:
        raise UserError(f"{stage}: its objective has no energy that could correct a baseline")
    known = objective.statistics(learnt, backbone) if begun is None else begun.statistics
    model = Network(backbone, heads, known)
    seen = learnt.seen()
    model.config |= seen
    _say_what_it_cannot_tell(model, seen["charge_states"])
    objective.fit(model, learnt)
    if begun is not None:
        model.config.setdefault("levels", begun.config.get("levels", []))
        take_over(model, begun)
    judged = {name: sets[name].known_to(seen) for name in ("val", "test")}
    for name, data in judged.items():
        if not len(data):
            raise UserError(f"{name}: nothing in it is of the elements and charges trained on")
    used = {"train": learnt, **judged}
    _say_left_out(used)
    settings = settings | {"epochs": _epochs(settings, len(learnt))}
    _run(stage, model, objective, used, settings, inputs, target)


def _check_baseline(start: Network, train: Any, path: str) -> None:
    """Raise `UserError` where a potential would go on with labels told from another baseline."""
    if start.kind != "potential" or not isinstance(train, Snapshots):
        return  # of another's features anything may be learnt
    says = [label(one) if one else "none" for one in (start.config.get("baseline"), train.baseline)]
    if says[0] != says[1]:
        raise UserError(f"{path}: its baseline is {says[0]}, that of the data {says[1]}")


def take_over(model: Network, start: Network) -> None:
    """Put the weights of a start into a network: the backbone's, and of heads with its targets."""
    model.backbone.load_state_dict(start.backbone.state_dict())
    for name, head in model.heads.items():
        own = model.config["heads"][name]
        for other, theirs in start.config["heads"].items():
            same = theirs["kind"] == own["kind"] and theirs["target"] in (own["target"], "")
            same &= theirs.get("extensive", False) == own["extensive"]
            if same and other in start.heads:
                head.load_state_dict(start.heads[other].state_dict())
                break
