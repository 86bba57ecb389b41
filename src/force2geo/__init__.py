"""Molecular geometries and properties from machine-learned potentials trained on relaxations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from force2geo.potentials.model import Model
    from force2geo.prediction.predict import Prediction

__version__ = "0.1.0"


def load(path: str | Path | Sequence[str | Path], device: str = "cpu") -> Model:
    """Return the model of a checkpoint, ready to predict (see `potentials.checkpoint.load`).

    Of several potentials' checkpoints it is one that answers with their mean and tells by how much
    they differ (`potentials.committee.Committee`). `device` is `cpu` or `cuda`. `UserError`, one
    line, when there is none or the file is no model.
    """
    from force2geo.potentials.committee import load_together

    return load_together([path] if isinstance(path, str | Path) else path, device)


def predict(
    molecules: Any,
    properties: Sequence[str] | str = (),
    models: Sequence[str | Path] | str | Path = (),
    relax: Sequence[str | Path] | str | Path | bool | None = None,
    **options: Any,
) -> Iterator[Prediction]:
    """Give a row for each molecule, in order: properties and how far each can be trusted.

    `molecules` are a file as `force2geo relax` reads it, a SMILES, ASE atoms, an RDKit molecule, or
    any iterable of the last three. `properties` are all that the `models` predict without a name;
    `models` are checkpoints of property models or names of those in the box. `relax` is the
    checkpoint of a potential to relax with first, or several, or the name of one in the box, whose
    choice it is with True. `options` are those of `prediction.ask.Question`:
    `fmax` (eV/Å), `steps`, `device`, `batch_atoms`. A molecule that fails is a row with the reason;
    `UserError` where models or options cannot be meant.
    """
    from pathlib import Path

    from force2geo.prediction.ask import Question, ask

    question = Question.of(
        models=[models] if isinstance(models, str | Path) else models,
        properties=[properties] if isinstance(properties, str) else properties,
        relax=relax,
        **options,
    )
    return ask(molecules, question)
