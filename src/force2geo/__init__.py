"""Molecular geometries and properties from machine-learned potentials trained on relaxations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.potentials.model import Model

__version__ = "0.1.0"


def load(path: str | Path, device: str = "cpu") -> Model:
    """Return the model of a checkpoint, ready to predict (see `potentials.checkpoint.load`).

    `device` is `cpu` or `cuda`. `UserError`, one line, when there is none or the file is no model.
    """
    from force2geo.potentials.checkpoint import load as load_checkpoint

    return load_checkpoint(path, device)
