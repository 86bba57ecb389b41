"""Predictions of a whole data set, in its order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.train.loader import BatchLoader
from force2geo.train.processes import gathered, place

if TYPE_CHECKING:
    from torch import nn

    from force2geo.train.loader import Dataset
    from force2geo.train.objectives import Objective


def predict_all(
    model: nn.Module, objective: Objective, data: Dataset, settings: dict[str, Any]
) -> dict[str, np.ndarray]:
    """Return the objective's predictions of a data set, made by all processes together.

    Batches keep to `batch_atoms` of the settings where there is one, else they hold twice
    `batch_size` molecules: nothing is differentiated twice.
    """
    device = next(model.parameters()).device
    loader = BatchLoader(data, 2 * settings["batch_size"], batch_atoms=settings.get("batch_atoms"))
    rank, count = place()
    loader.batches = loader.batches[rank::count]
    mine = objective.predict(model, (batch.to(device) for batch in loader)) if len(loader) else {}
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
    return {
        key: np.concatenate([part[key] for part, _ in found])[
            atoms if key in objective.per_atom else molecules
        ]
        for key in found[0][0]
    }
