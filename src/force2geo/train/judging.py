"""Metrics and predictions of a whole data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from force2geo.train.loader import BatchLoader
from force2geo.train.processes import gathered, place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from force2geo.potentials.batch import Batch
    from force2geo.train.loader import Dataset
    from force2geo.train.objective import Objective


class _Sums:
    """What an objective sums up, kept on the device and over all processes."""

    def __init__(self, model: nn.Module, objective: Objective) -> None:
        self.model, self.objective = model, objective
        self.sums: dict[str, Tensor] = {}

    def predict(self, batch: Batch) -> dict[str, Tensor]:
        """Return the predictions of a batch, and count them in."""
        found = self.objective.predict(self.model, batch)
        for key, value in self.objective.sums(self.model, found).items():
            self.sums[key] = self.sums[key] + value if key in self.sums else value
        return found

    def metrics(self) -> dict[str, float]:
        """Return the metrics of all batches of all processes; the host waits here alone."""
        values = torch.stack(list(self.sums.values())).tolist() if self.sums else []
        whole: dict[str, float] = {}
        # A process without a batch has no sums.
        for part in gathered(dict(zip(self.sums, values, strict=True))):
            for key, value in part.items():
                whole[key] = whole.get(key, 0.0) + value
        return self.objective.metrics(whole)


def _own_batches(data: Dataset, settings: dict[str, Any]) -> BatchLoader:
    """Return this process's share of the batches to judge on.

    They keep to `batch_atoms` of the settings where there is one, else they hold twice
    `batch_size` molecules: nothing is differentiated twice.
    """
    loader = BatchLoader(data, 2 * settings["batch_size"], batch_atoms=settings.get("batch_atoms"))
    rank, count = place()
    loader.batches = loader.batches[rank::count]
    return loader


def _moved(model: nn.Module, loader: BatchLoader) -> Iterator[Batch]:
    device = next(model.parameters()).device
    return (batch.to(device) for batch in loader)


def judge(
    model: nn.Module, objective: Objective, data: Dataset, settings: dict[str, Any]
) -> dict[str, float]:
    """Return the metrics of a data set, made by all processes together; no prediction is kept."""
    sums = _Sums(model, objective)
    for batch in _moved(model, _own_batches(data, settings)):
        sums.predict(batch)
    return sums.metrics()


def predict_all(
    model: nn.Module, objective: Objective, data: Dataset, settings: dict[str, Any]
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return an objective's predictions of a data set, in its order, and their metrics."""
    loader, sums = _own_batches(data, settings), _Sums(model, objective)
    parts: dict[str, list[Tensor]] = {}
    for batch in _moved(model, loader):
        for key, value in sums.predict(batch).items():
            parts.setdefault(key, []).append(value)
    mine = {key: torch.cat(values).cpu().numpy() for key, values in parts.items()}
    found = [pair for pair in gathered((mine, loader.batches)) if pair[0]]
    order = np.concatenate([batch for _, batches in found for batch in batches])
    sizes = data.sizes()
    molecules = np.argsort(order, kind="stable")
    ends = np.cumsum(sizes[order])
    # The place of each atom in the data, sorted: where the predictions have it.
    starts = np.cumsum(sizes) - sizes
    atoms = np.argsort(
        np.repeat(starts[order] - (ends - sizes[order]), sizes[order]) + np.arange(ends[-1])
    )
    predictions = {
        key: np.concatenate([part[key] for part, _ in found])[
            atoms if key in objective.per_atom else molecules
        ]
        for key in found[0][0]
    }
    return predictions, sums.metrics()
