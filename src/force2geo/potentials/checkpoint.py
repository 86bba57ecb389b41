"""Checkpoints: weights, configuration, units and provenance in one file of plain values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from force2geo.calling.named import record_of
from force2geo.errors import UserError
from force2geo.files import atomic_path
from force2geo.potentials.devices import choose_device
from force2geo.potentials.heads import EnergyHead, ExtensiveHead, PropertyHead
from force2geo.potentials.model import Model
from force2geo.potentials.models import build_model
from force2geo.potentials.published import convert, published_state

if TYPE_CHECKING:
    from force2geo.potentials.models import Network

FORMAT = "force2geo-checkpoint"
VERSION = 2  # with heads by name; 1 knew a potential's and a property model's alone
CORRECTS = 3  # as 2, of a network that corrects a baseline: who reads 2 alone must not take it
READ = (1, VERSION, CORRECTS)
UNITS = {"length": "angstrom", "energy": "eV", "forces": "eV/angstrom"}
# Of a network's config, with places of their own in the file.
_APART = ("heads", "statistics", "domain", "baseline")


def save(network: Network, path: Path, provenance: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all."""
    targets = {name: head["unit"] for name, head in network.config["heads"].items()}
    baseline = network.config.get("baseline")
    with atomic_path(path) as part:
        torch.save(
            {
                "format": FORMAT,
                "version": VERSION if baseline is None else CORRECTS,
                **({} if baseline is None else {"baseline": baseline}),
                "config": {k: v for k, v in network.config.items() if k not in _APART},
                "heads": network.config["heads"],
                "statistics": _statistics(network),
                "dtype": str(next(network.parameters()).dtype).removeprefix("torch."),
                "units": UNITS | {name: unit for name, unit in targets.items() if unit},
                "provenance": provenance,
                "state_dict": network.state_dict(),
            },
            part,
        )


def _statistics(network: Network) -> dict[str, Any]:
    """Return all that the network knows of its training set, as plain values.

    `network` is what its backbone was made with, None without; `domain` what tells how far another
    molecule is from it, where that is known; `references` (eV, by atomic number) and `targets` are
    what the heads hold among the weights, for a reader without this package.
    """
    found: dict[str, Any] = {"network": network.config.get("statistics")}
    if "domain" in network.config:
        found["domain"] = network.config["domain"]
    for name, head in network.heads.items():
        if isinstance(head, EnergyHead):
            known = network.config.get("elements") or head.references.nonzero()[:, 0].tolist()
            found["references"] = {int(z): float(head.references[z]) for z in known}
        if isinstance(head, PropertyHead):
            scale = {"mean": float(head.mean), "deviation": float(head.deviation)}
            found.setdefault("targets", {})[name] = scale
        if isinstance(head, ExtensiveHead):
            known = {int(z): float(head.references[z]) for z in head.references.nonzero()[:, 0]}
            scale = {"deviation": float(head.deviation), "atoms": float(head.atoms)}
            found.setdefault("targets", {})[name] = scale | {"references": known}
    return found


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
    version = content.get("version")
    if version not in READ:
        known = ", ".join(map(str, READ))
        raise UserError(f"{path}: checkpoint version {version}, this reads {known}")
    needed = {"config", "state_dict", "provenance"}
    if version >= VERSION:
        needed |= {"heads", "statistics", "dtype"}
    if version == CORRECTS:
        needed.add("baseline")
    missing = needed - set(content)
    if missing:
        raise UserError(f"{path}: a checkpoint without {', '.join(sorted(missing))}")
    config = dict(content["config"])
    dtype = None
    if version >= VERSION:
        config["heads"] = content["heads"]
        if content["statistics"].get("network") is not None:
            config["statistics"] = content["statistics"]["network"]
        if content["statistics"].get("domain") is not None:
            config["domain"] = content["statistics"]["domain"]
        dtype = getattr(torch, str(content["dtype"]), None)
        if dtype not in (torch.float32, torch.float64):
            raise UserError(f"{path}: dtype '{content['dtype']}' is neither float32 nor float64")
    try:
        network = build_model(config)
        if version == CORRECTS:
            network.config["baseline"] = record_of(content["baseline"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if config.pop("kind", None) == "property":  # there was no other target then
        network.config["heads"]["property"] |= {"target": "gap", "unit": "eV"}
    network.config |= config
    _into(path, network, content["state_dict"], set(), dtype)
    return Model(network.to(device), content["provenance"], device)


def _load_published(path: Path, state: dict[str, torch.Tensor], device: str) -> Model:
    config, converted = convert(state)
    network = build_model(config)
    # Reference energies and a property's scale are ours: zero, and one, is what they stand for.
    _into(path, network, converted, _CONSTANTS)
    return Model(network.to(device), {"stage": "published"}, device, mean_energy=True)


_CONSTANTS = {"heads.energy.references", "heads.property.mean", "heads.property.deviation"}


def _into(
    path: Path,
    network: Network,
    state: dict[str, torch.Tensor],
    spare: set[str],
    dtype: torch.dtype | None = None,
) -> None:
    """Put weights into a network, in `dtype` or else their own; `spare` ones may be missing."""
    own, state = network.state_dict(), network.renamed(state)
    if not network.backbone.vector_width:
        # Of versions that gave one also to networks without vectors, where it did nothing.
        state = {key: v for key, v in state.items() if not key.startswith("heads.displacement.")}
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
    network.to(dtype or state[weight].dtype)
    network.load_state_dict(state, strict=False)
