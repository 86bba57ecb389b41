"""Molecular geometries and properties from machine-learned potentials trained on relaxations."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from force2geo.potentials.model import Model
    from force2geo.prediction.predict import Prediction

__version__ = "0.1.0"


def load(path: str | Path, device: str = "cpu") -> Model:
    """Return the model of a checkpoint, ready to predict (see `potentials.checkpoint.load`).

    `device` is `cpu` or `cuda`. `UserError`, one line, when there is none or the file is no model.
    """
    from force2geo.potentials.checkpoint import load as load_checkpoint

    return load_checkpoint(path, device)


def predict(
    molecules: Any,
    properties: Sequence[str] | str = (),
    models: Sequence[str | Path] | str | Path = (),
    relax: str | Path | None = None,
    **options: Any,
) -> Iterator[Prediction]:
    """Give a row for each molecule, in order: properties and how far each can be trusted.

    `molecules` are a file as `force2geo relax` reads it, a SMILES, ASE atoms, an RDKit molecule, or
    any iterable of the last three. `properties` are all that the `models` predict without a name;
    `models` are checkpoints of property models or names of those in the box. `relax` is the
    checkpoint of a potential to relax with first. `options` are those of `prediction.ask.Question`:
    `fmax` (eV/Å), `steps`, `device`, `batch_atoms`. A molecule that fails is a row with the reason;
    `UserError` where models or options cannot be meant.
    """
    from pathlib import Path

    from force2geo.prediction.ask import Question, ask

    question = Question.of(
        models=[models] if isinstance(models, str | Path) else models,
        properties=[properties] if isinstance(properties, str) else properties,
        relax=None if relax is None else Path(relax),
        **options,
    )
    return ask(molecules, question)
