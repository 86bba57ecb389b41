"""Checkpoints: weights, configuration, units and provenance in one file of plain values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from force2geo.errors import UserError
from force2geo.files import atomic_path
from force2geo.potentials.devices import choose_device
from force2geo.potentials.model import Model
from force2geo.potentials.models import build_model
from force2geo.potentials.published import convert, published_state

if TYPE_CHECKING:
    from force2geo.potentials.models import Potential, PropertyModel

FORMAT = "force2geo-checkpoint"
VERSION = 1
UNITS = {"length": "angstrom", "energy": "eV", "forces": "eV/angstrom", "property": "eV"}


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
    """Return the model of a checkpoint, ours or a published PaiNN's state dict.

    Weights are of the precision they were saved in. `UserError` when the file is neither, or
    cannot be read, or when there is no such device.
    """
    device = choose_device(device)
    path = Path(path)
    if not path.is_file():
        what = "a folder, give the file in it" if path.is_dir() else "no such checkpoint"
        raise UserError(f"{path}: {what}")
    with torch.inference_mode(False):  # weights made there would have no gradient ever
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from None
        except Exception as error:
            why = f"not a readable checkpoint ({type(error).__name__})"
            raise UserError(f"{path}: {why}") from error
        published = published_state(content)
        if published is not None:
            return _load_published(path, published, device)
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise UserError(
                f"{path}: neither a force2geo checkpoint nor a published PaiNN's weights"
            )
        return _load_own(path, content, device)


def _load_own(path: Path, content: dict[str, Any], device: str) -> Model:
    if content.get("version") != VERSION:
        raise UserError(
            f"{path}: checkpoint version {content.get('version')}, this reads {VERSION}"
        )
    missing = {"config", "state_dict", "provenance"} - set(content)
    if missing:
        raise UserError(f"{path}: a checkpoint without {', '.join(sorted(missing))}")
    try:
        network = build_model(content["config"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    network.config |= content["config"]
    _into(path, network, content["state_dict"], set())
    return Model(network.to(device), content["provenance"], device)


def _load_published(path: Path, state: dict[str, torch.Tensor], device: str) -> Model:
    config, converted = convert(state)
    network = build_model(config)
    # Reference energies and a property's scale are ours: zero, and one, is what they stand for.
    _into(path, network, converted, {"head.references", "head.mean", "head.deviation"})
    return Model(network.to(device), {"stage": "published"}, device, mean_energy=True)


def _into(
    path: Path, network: Potential | PropertyModel, state: dict[str, torch.Tensor], spare: set[str]
) -> None:
    """Put weights into a network, in their own precision; `spare` ones may be missing."""
    own = network.state_dict()
    if not network.backbone.vector_width:
        # Of versions that gave one also to networks without vectors, where it did nothing.
        state = {key: v for key, v in state.items() if not key.startswith("displacement.")}
    lost, strange = set(own) - set(state) - spare, set(state) - set(own)
    if lost:
        raise UserError(f"{path}: a {network.kind} without {', '.join(sorted(lost))}")
    if strange:
        raise UserError(f"{path}: a {network.kind} with unknown {', '.join(sorted(strange))}")
    for key, value in state.items():
        if value.shape != own[key].shape:
            shapes = f"{tuple(value.shape)}, its config says {tuple(own[key].shape)}"
            raise UserError(f"{path}: '{key}' has the shape {shapes}")
    # Weights decide: constants of some networks are exact whatever their precision.
    weight, _ = next(network.named_parameters())
    network.to(state[weight].dtype)
    network.load_state_dict(state, strict=False)
