"""Checkpoints: weights, configuration, units and provenance in one file of plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from force2geo.errors import UserError
from force2geo.files import atomic_path
from force2geo.potentials.batch import collate
from force2geo.potentials.models import Potential, PropertyModel, build_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from ase import Atoms

FORMAT = "force2geo-checkpoint"
VERSION = 1
UNITS = {"length": "angstrom", "energy": "eV", "forces": "eV/angstrom", "property": "eV"}


class Model:
    """A trained model that predicts for ASE molecules."""

    def __init__(
        self, network: Potential | PropertyModel, provenance: dict[str, Any], device: str
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.provenance = provenance
        self.device = device

    def predict(
        self, molecules: Sequence[Atoms], batch_size: int = 256
    ) -> list[dict[str, float | np.ndarray]]:
        """Return one dict per molecule.

        A potential gives `energy` (eV) and `forces` (n,3) eV/Å; a property model `property` and,
        where its backbone has vectors, `displacement` (n,3) Å.
        """
        dtype = next(self.network.parameters()).dtype
        results: list[dict[str, float | np.ndarray]] = []
        for first in range(0, len(molecules), batch_size):
            chunk = molecules[first : first + batch_size]
            batch = collate([m.numbers for m in chunk], [m.positions for m in chunk], dtype)
            output = self.network(batch.to(self.device))
            output.pop("binding", None)
            values = {key: value.cpu() for key, value in output.items()}
            for index in range(batch.size):
                atoms = slice(int(batch.ptr[index]), int(batch.ptr[index + 1]))
                results.append(
                    {
                        key: float(value[index]) if value.ndim == 1 else value[atoms].numpy()
                        for key, value in values.items()
                    }
                )
        return results


def save(network: Potential | PropertyModel, path: Path, provenance: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all."""
    with atomic_path(path) as part:
        torch.save(
            {
                "format": FORMAT,
                "version": VERSION,
                "config": network.config,
                "units": UNITS,
                "provenance": provenance,
                "state_dict": network.state_dict(),
            },
            part,
        )


def load(path: str | Path, device: str = "cpu") -> Model:
    """Return the model of a checkpoint; `UserError` when the file is not one."""
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except Exception as error:
        raise UserError(f"{path}: not a readable checkpoint ({type(error).__name__})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: not a force2geo checkpoint")
    if content["version"] != VERSION:
        raise UserError(f"{path}: checkpoint version {content['version']}, this reads {VERSION}")
    network = build_model(content["config"])
    network.load_state_dict(content["state_dict"])
    return Model(network.to(device), content["provenance"], device)
