"""What a trained network is to remember of its training set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from force2geo.potentials.batch import by_size
from force2geo.potentials.domain import REFERENCES, Domain, Neighbourhood

if TYPE_CHECKING:
    from force2geo.potentials.models import Network
    from force2geo.train.molecules import Molecules

_MOLECULES, _BATCH_ATOMS = 4 * REFERENCES, 4096


def domain_of(network: Network, train: Molecules, errors: dict[str, float]) -> dict[str, Any]:
    """Return what a checkpoint keeps of a training set: `Domain.plain`.

    Features are those of at most 4,096 molecules, evenly spaced. `errors` are of the validation
    set.
    """
    sizes = train.sizes()
    count = min(len(train), _MOLECULES)
    chosen = np.linspace(0, len(train) - 1, count).round().astype(int)
    device = next(network.parameters()).device
    parts: list[torch.Tensor] = []
    for places in by_size(sizes[chosen], _BATCH_ATOMS):
        _, features = network.described(train.batch(chosen[places]).to(device))
        if features is None:
            break
        parts.append(features.cpu())
    found = Neighbourhood.of(torch.cat(parts)) if parts else None
    atoms, heavy = _range(sizes), _range(train.heavy_atoms())
    return Domain(atoms, heavy, errors, found).plain()


def _range(counts: np.ndarray) -> tuple[int, int]:
    return int(counts.min()), int(counts.max())
