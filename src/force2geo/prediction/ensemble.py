"""Property models that answer together, each for what it was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from force2geo.errors import UserError
from force2geo.potentials.batch import Batch, by_size, collate
from force2geo.potentials.bonds import molecular_graph, with_bonds
from force2geo.potentials.checkpoint import load
from force2geo.potentials.devices import choose_device
from force2geo.potentials.threads import share, threads_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from force2geo.potentials.model import Model
    from force2geo.relax.structures import Structure


class Answers(NamedTuple):
    """What models say of B molecules.

    `values` by property (K,B), of the K models that predict it, in its unit; `distances` (M,B) from
    the training set of each model, NaN where it does not know (`Neighbourhood.distance`).
    """

    values: dict[str, np.ndarray]
    distances: np.ndarray


class Ensemble:
    """Models by the properties they predict.

    `units` by property; `of` by property the models, by their place, and what it is called there.
    """

    def __init__(self, models: Sequence[Model], properties: Sequence[str] = ()) -> None:
        found: dict[str, dict[int, str]] = {}
        self.units: dict[str, str] = {}
        for place, model in enumerate(models):
            if model.network.kind != "property":
                raise UserError("predict: a model gives energies; relaxing is what it is good for")
            for name, head in model.network.config["heads"].items():
                if head["kind"] != "property":
                    continue
                target = head["target"] or name
                found.setdefault(target, {})[place] = name
                unit = self.units.setdefault(target, head["unit"])
                if unit != head["unit"]:
                    raise UserError(f"predict: '{target}' is in {unit} and in {head['unit']}")
        if absent := [name for name in properties if name not in found]:
            known = ", ".join(found)
            raise UserError(f"predict: no model given predicts '{absent[0]}', only {known}")
        wanted = {name: found[name] for name in properties or found}
        used = sorted({place for places in wanted.values() for place in places})
        self.models = [models[place] for place in used]
        self.of = {
            target: {used.index(place): name for place, name in places.items()}
            for target, places in wanted.items()
        }
        self.units = {target: self.units[target] for target in wanted}

    @classmethod
    def read(
        cls, paths: Sequence[Path], properties: Sequence[str] = (), device: str | None = None
    ) -> Ensemble:
        """Return the models of checkpoints; `UserError` for one that predicts no property."""
        models = [load(path, choose_device(device)) for path in paths]
        for path, model in zip(paths, models, strict=True):
            if model.network.kind != "property":
                raise UserError(f"{path}: a potential; give a model trained for a property")
        return cls(models, properties)

    def geometries(self) -> set[str]:
        """Return the geometries that the models were trained on, where their trainings say so."""
        settings = [model.provenance.get("settings", {}) for model in self.models]
        return {str(one["geometry"]) for one in settings if "geometry" in one}

    def refusal(self, structure: Structure) -> str:
        """Return why a model cannot answer for a molecule, nothing if all can."""
        state = structure.charge, structure.multiplicity
        for model in self.models:
            if reason := model.refusal(structure.numbers, *state):
                return reason
            if model.network.backbone.needs_bonds and _graph(structure) is None:
                return "the model looks at bonds: give SMILES, or an SDF that RDKit understands"
        return ""

    def answer(self, structures: Sequence[Structure], batch_atoms: int = 4096) -> Answers:
        """Return what the models say of molecules that none of them refuses."""
        given = [_outputs(model, structures, batch_atoms) for model in self.models]
        values = {
            target: np.stack([given[place][0][name] for place, name in places.items()])
            for target, places in self.of.items()
        }
        return Answers(values, np.stack([distances for _, distances in given]))


def _outputs(
    model: Model, structures: Sequence[Structure], batch_atoms: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return what a model's heads say (B,) of each molecule, and how far it is from training."""
    near = model.domain.neighbourhood if model.domain is not None else None
    sizes = np.array([len(one.numbers) for one in structures])

    def compute(chosen: np.ndarray) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        batch = _batch(model, [structures[place] for place in chosen]).to(model.device)
        output, features = model.network.described(batch)
        known = features is not None and near is not None
        return output, near.distance(features) if known else None  # type: ignore[union-attr,arg-type]

    threads = model.sharers(len(sizes), int(sizes.sum()))
    batches = by_size(sizes, max(1, min(batch_atoms, int(sizes.sum())) // threads))
    with threads_for(int(sizes.sum())):
        found = share(compute, batches, threads)
    values = {name: np.full(len(sizes), np.nan) for name in model.network.per_molecule}
    distances = np.full(len(sizes), np.nan)
    for chosen, (output, apart) in zip(batches, found, strict=True):
        for name, own in values.items():
            own[chosen] = output[name].cpu().numpy()
        if apart is not None:
            distances[chosen] = apart.numpy()
    return values, distances


def _batch(model: Model, structures: Sequence[Structure]) -> Batch:
    batch = collate(
        [one.numbers for one in structures], [one.positions for one in structures], model.dtype
    )
    batch.charge = torch.tensor([one.charge for one in structures])
    batch.multiplicity = torch.tensor([one.multiplicity for one in structures])
    if not model.network.backbone.needs_bonds:
        return batch
    return with_bonds(batch, [_graph(one) for one in structures])


def _graph(structure: Structure) -> Any:
    """Return a molecule's graph, None where its file does not say its bonds."""
    from rdkit import Chem

    if not isinstance(structure.kept, Chem.Mol):
        return None
    molecule = Chem.Mol(structure.kept)
    try:
        Chem.SanitizeMol(molecule)
    except ValueError:  # what RDKit raises where its valence rules are broken
        return None
    return molecular_graph(molecule)
