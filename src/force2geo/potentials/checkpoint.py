"""Checkpoints: weights, configuration, units and provenance in one file of plain values."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from force2geo.elements import MAX_ATOMIC_NUMBER, SYMBOLS
from force2geo.errors import UserError
from force2geo.files import atomic_path
from force2geo.potentials.batch import by_size, collate
from force2geo.potentials.models import Potential, PropertyModel, build_model
from force2geo.potentials.published_painn import convert, published_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ase import Atoms

    from force2geo.potentials.calculator import PotentialCalculator
    from force2geo.potentials.torch_sim_model import TorchSimPotential

FORMAT = "force2geo-checkpoint"
VERSION = 1
_COINCIDENT = 1e-3  # Å
UNITS = {"length": "angstrom", "energy": "eV", "forces": "eV/angstrom", "property": "eV"}


class Model:
    """A trained model that predicts for ASE molecules.

    `mean_energy` says that energies are means over atoms, as in published checkpoints.
    """

    def __init__(
        self,
        network: Potential | PropertyModel,
        provenance: dict[str, Any],
        device: str,
        mean_energy: bool = False,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.provenance = provenance
        self.device = device
        self.mean_energy = mean_energy
        self._in_dtype: dict[torch.dtype, Potential | PropertyModel] = {}

    def in_dtype(self, dtype: str | torch.dtype | None) -> Potential | PropertyModel:
        """Return the network with weights in `dtype` (`float64`, say), None as they are."""
        own = next(self.network.parameters()).dtype
        wanted = own if dtype is None else _dtype(dtype)
        if wanted == own:
            return self.network
        if wanted not in self._in_dtype:
            self._in_dtype[wanted] = copy.deepcopy(self.network).to(wanted)
        return self._in_dtype[wanted]

    def predict(
        self,
        molecules: Sequence[Atoms],
        batch_atoms: int = 2048,
        dtype: str | torch.dtype | None = None,
        totals: bool = False,
    ) -> list[dict[str, float | np.ndarray]]:
        """Return one dict per molecule, in the order given.

        A potential gives `energy` (eV) and `forces` (n,3) eV/Å; a property model `property` and,
        where its backbone has vectors, `displacement` (n,3) Å. A published potential's energy is
        its mean over atoms and its forces are the negative gradient of that mean; `totals` turns
        both into those of the whole molecule, n times as large. `dtype` computes in another
        precision than the weights were saved in; `batch_atoms` bounds the memory.
        """
        network = self.in_dtype(dtype)
        kind = next(network.parameters()).dtype
        self._check(molecules)
        results: list[dict[str, float | np.ndarray]] = [{} for _ in molecules]
        for chosen in by_size(np.array([len(m) for m in molecules], dtype=int), batch_atoms):
            chunk = [molecules[i] for i in chosen]
            batch = collate([m.numbers for m in chunk], [m.positions for m in chunk], kind)
            output = network(batch.to(self.device))
            output.pop("binding", None)
            values = {key: value.cpu().numpy() for key, value in output.items()}
            ptr = batch.ptr.tolist()
            for place, index in enumerate(chosen):
                atoms = slice(ptr[place], ptr[place + 1])
                row = {
                    key: float(value[place]) if value.ndim == 1 else value[atoms]
                    for key, value in values.items()
                }
                if self.mean_energy and not totals and "energy" in row:
                    count = atoms.stop - atoms.start
                    row |= {"energy": row["energy"] / count, "forces": row["forces"] / count}
                if not all(np.isfinite(value).all() for value in row.values()):
                    raise UserError(_why_not_finite(molecules[index], int(index)))
                results[index] = row
        return results

    def _check(self, molecules: Sequence[Atoms]) -> None:
        """Raise `UserError`, naming the molecule's place, for what no network can answer."""
        for index, molecule in enumerate(molecules):
            if not len(molecule):
                raise UserError(f"molecule {index}: it has no atoms")
            if not np.isfinite(molecule.positions).all():
                raise UserError(f"molecule {index}: positions that are not finite numbers")
            reason = self.refusal(molecule.numbers)
            if reason:
                raise UserError(f"molecule {index}: {reason}")

    def known_elements(self) -> set[int]:
        """Return the atomic numbers of the training set; all that fit where it is not known."""
        largest: int = getattr(self.network.backbone, "largest_element", MAX_ATOMIC_NUMBER)
        return set(self.network.config.get("elements") or range(1, largest + 1))

    def refusal(self, atomic_numbers: np.ndarray, charge: int = 0, multiplicity: int = 1) -> str:
        """Return why the model cannot answer for elements (n,) and this state, nothing if it can.

        Known are the elements and the pairs (charge, multiplicity) it was trained on; a checkpoint
        that names no pairs was trained on neutral singlets.
        """
        strange = sorted(set(atomic_numbers.tolist()) - self.known_elements())
        if strange:
            names = (SYMBOLS[z] if z <= MAX_ATOMIC_NUMBER else str(z) for z in strange)
            return f"the model has never seen {', '.join(names)}"
        states = self.network.config.get("charge_states") or [[0, 1]]
        if [charge, multiplicity] not in [list(state) for state in states]:
            return f"the model has never seen charge {charge:+d} with multiplicity {multiplicity}"
        return ""

    def calculator(self, dtype: str | torch.dtype | None = None) -> PotentialCalculator:
        """Return an ASE calculator of a potential: total energy and forces, eV and eV/Å."""
        from force2geo.potentials.calculator import PotentialCalculator

        return PotentialCalculator(self, dtype)

    def torch_sim(self, dtype: str | torch.dtype | None = None) -> TorchSimPotential:
        """Return a torch-sim model of a potential: total energies and forces, eV and eV/Å."""
        from force2geo.potentials.torch_sim_model import TorchSimPotential

        return TorchSimPotential(self, dtype)

    def export(self, path: Path, dtype: str | torch.dtype | None = None) -> None:
        """Write a potential as an AOTInductor package (see `potentials.export.export`)."""
        from force2geo.potentials.export import export

        export(self, path, dtype)


def _dtype(name: str | torch.dtype) -> torch.dtype:
    found = getattr(torch, name, None) if isinstance(name, str) else name
    if found not in (torch.float32, torch.float64):
        raise UserError(f"dtype: '{name}' is neither float32 nor float64")
    return found


def _why_not_finite(molecule: Atoms, index: int) -> str:
    distances = molecule.get_all_distances() + np.diag(np.full(len(molecule), np.inf))
    i, j = np.unravel_index(int(distances.argmin()), distances.shape)
    if len(molecule) > 1 and distances[i, j] < _COINCIDENT:
        return f"molecule {index}: atoms {i} and {j} stand at one point"
    return f"molecule {index}: the prediction is not a finite number"


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

    `UserError` when the file is neither.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except Exception as error:
        raise UserError(f"{path}: not a readable checkpoint ({type(error).__name__})") from error
    published = published_state(content)
    if published is not None:
        return _load_published(path, published, device)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path}: neither a force2geo checkpoint nor a published PaiNN's weights")
    if content["version"] != VERSION:
        raise UserError(f"{path}: checkpoint version {content['version']}, this reads {VERSION}")
    network = build_model(content["config"])
    network.config |= content["config"]
    network.load_state_dict(content["state_dict"])
    return Model(network.to(device), content["provenance"], device)


def _load_published(path: str | Path, state: dict[str, torch.Tensor], device: str) -> Model:
    config, converted = convert(state)
    network = build_model(config)
    missing, unexpected = network.load_state_dict(converted, strict=False)
    # Reference energies and a property's scale are ours: zero, and one, is what they stand for.
    lost = set(missing) - {"head.references", "head.mean", "head.deviation"}
    if lost or unexpected:
        raise UserError(f"{path}: a published PaiNN without {', '.join(sorted(lost))}")
    return Model(network.to(device), {"stage": "published"}, device, mean_energy=True)
