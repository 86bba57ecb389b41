"""A trained model in users' hands."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from force2geo.elements import MAX_ATOMIC_NUMBER, SYMBOLS
from force2geo.errors import UserError
from force2geo.molecular_state import signed
from force2geo.potentials.baseline import Baseline, evaluate
from force2geo.potentials.batch import by_size, collate
from force2geo.potentials.domain import Domain
from force2geo.potentials.inputs import all_as_atoms, check_all, why_not_finite
from force2geo.potentials.registry import named
from force2geo.potentials.threads import FEW_ATOMS, share, threads_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ase import Atoms

    from force2geo.potentials.batch import Batch
    from force2geo.potentials.interfaces.calculator import PotentialCalculator
    from force2geo.potentials.interfaces.torch_sim_model import TorchSimPotential
    from force2geo.potentials.models import Network


class Model:
    """A trained model that predicts for molecules.

    `mean_energy` says that energies are means over atoms, as in published checkpoints. `baseline`
    is what the network corrects, where it was trained so: energies and forces are then of both.
    """

    def __init__(
        self,
        network: Network,
        provenance: dict[str, Any],
        device: str,
        mean_energy: bool = False,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.provenance = provenance
        self.device = device
        self.mean_energy = mean_energy
        self._in_dtype: dict[torch.dtype, Network] = {}
        record = network.config.get("baseline")
        self.baseline = None if record is None else Baseline(record)

    def __repr__(self) -> str:
        config, backbone = self.network.config, self.network.config["backbone"]
        name, values = named(backbone)
        size = ", ".join(f"{key} {value}" for key, value in values.items() if key != "cutoff")
        elements = [SYMBOLS[z] for z in sorted(config.get("elements") or [])]
        levels = config.get("levels") or ["not recorded"]
        # Of a property model they are those of the potential that its training started from.
        whose = " of its potential" if self.network.kind == "property" else ""
        targets = [
            f"{head['target']} ({head['unit'] or 'no unit'})"
            for head in config["heads"].values()
            if head["target"]
        ]
        count = sum(weight.numel() for weight in self.network.parameters())
        return "\n".join(
            [
                f"{self.network.kind}: {name}, {size}, cutoff {self.network.backbone.cutoff:g} Å",
                *([f"corrects: {self.baseline}"] if self.baseline else []),
                *([f"predicts: {', '.join(targets)}"] if targets else []),
                f"elements: {' '.join(elements) or 'not recorded'}",
                f"level of theory{whose}: {', '.join(levels)}",
                f"parameters: {count:,} ({str(self.dtype).removeprefix('torch.')}, {self.device})",
                f"trained by: {self._origin()}",
            ]
        )

    def _origin(self) -> str:
        stage, code = (self.provenance.get(key) for key in ("stage", "code"))
        if not stage:
            return "not recorded"
        return f"{stage}, force2geo {code}" if code else str(stage)

    @property
    def dtype(self) -> torch.dtype:
        """The kind of numbers the weights are."""
        return next(self.network.parameters()).dtype

    def in_dtype(self, dtype: str | torch.dtype | None) -> Network:
        """Return the network with weights in `dtype` (`float64`, say), None as they are."""
        wanted = self.dtype if dtype is None else _dtype(dtype)
        if wanted == self.dtype:
            return self.network
        if wanted not in self._in_dtype:
            with torch.inference_mode(False):  # what is made there, no gradient can be taken of
                self._in_dtype[wanted] = copy.deepcopy(self.network).to(wanted)
        return self._in_dtype[wanted]

    @property
    def networks(self) -> list[Network]:
        """The networks whose mean it gives, as they were saved."""
        return [self.network]

    def network_alone(self) -> Model:
        """Return the model without its baseline: a correction, not a potential."""
        alone = copy.copy(self)
        alone.baseline = None
        return alone

    def evaluate(self, network: Network, batch: Batch) -> tuple[dict[str, torch.Tensor], list[str]]:
        """Return what `network`, in its precision, gives for a batch, with the baseline's share.

        See `potentials.baseline.evaluate`; every use of a potential comes here.
        """
        return evaluate(network, self.baseline, batch)

    def predict(
        self,
        molecules: Any,
        batch_atoms: int = 2048,
        dtype: str | torch.dtype | None = None,
        totals: bool = False,
        identities: Sequence[int] | None = None,
    ) -> list[dict[str, Any]]:
        """Return one dict per molecule, in the order given; a list also of one molecule.

        `molecules` are ASE atoms, RDKit molecules (their first conformer, with all hydrogens) or
        SMILES, one or any iterable of them. A SMILES is answered for its ETKDG + MMFF94
        conformer, which the result holds as `atoms`. Charge and multiplicity are those that
        atoms carry (`force2geo.molecular_state`).

        A potential gives `energy` (eV) and `forces` (n,3) eV/Å; a property model `property`, or
        each of several targets by its name, in the units that `repr` shows, and where its backbone
        has vectors `displacement` (n,3) Å. A published potential's energy is
        its mean over atoms and its forces are the negative gradient of that mean; `totals` turns
        both into those of the whole molecule, n times as large. Forces know no constraints. `dtype`
        computes in another precision than the weights were saved in; `batch_atoms` bounds the
        memory. On a CPU torch's threads share the molecules; a few atoms are computed by one. Who
        asks about the same molecules again and again gives each a number, always the same one, as
        `identities`: a baseline's SCF then starts from its last.

        `UserError` names the place of a molecule that the model cannot answer for: an element or
        charge it never saw, a periodic cell, positions or predictions that are no numbers.
        """
        network = self.in_dtype(dtype)
        given = all_as_atoms(molecules)
        frames = [atoms for atoms, _ in given]
        states = np.array(check_all(self, frames), dtype=int).reshape(-1, 2)
        sizes = np.array([len(atoms) for atoms in frames], dtype=int)
        total = int(sizes.sum())
        threads = self.sharers(len(frames), total)

        def compute(chosen: np.ndarray) -> list[tuple[dict[str, Any], str]]:
            named = None if identities is None else [identities[i] for i in chosen]
            return self._rows(network, [frames[i] for i in chosen], states[chosen], totals, named)

        batches = by_size(sizes, max(1, min(batch_atoms, total) // threads))
        with threads_for(total):
            found = share(compute, batches, threads)
        results: list[dict[str, Any]] = [{} for _ in frames]
        for chosen, rows in zip(batches, found, strict=True):
            for index, (row, why) in zip(chosen, rows, strict=True):
                if not all(np.isfinite(value).all() for value in row.values()):
                    why = f"{self.baseline}: {why}" if why else why_not_finite(frames[index])
                    raise UserError(f"molecule {index}: {why}")
                results[index] = row | ({"atoms": frames[index]} if given[index][1] else {})
        return results

    def sharers(self, molecules: int, atoms: int) -> int:
        """Return how many threads are to share molecules with so many atoms in all."""
        threads = torch.get_num_threads()
        on_cpu = torch.device(self.device).type == "cpu"
        return threads if on_cpu and molecules >= threads and atoms >= FEW_ATOMS else 1

    def _rows(
        self,
        network: Network,
        frames: list[Atoms],
        states: np.ndarray,
        totals: bool,
        identities: list[int] | None,
    ) -> list[tuple[dict[str, Any], str]]:
        """Return what is predicted for a batch, molecule by molecule, or why nothing is."""
        kind = next(network.parameters()).dtype
        exact = torch.float64 if self.baseline else kind
        batch = collate([m.numbers for m in frames], [m.positions for m in frames], exact)
        if (states != (0, 1)).any():
            batch.charge, batch.multiplicity = torch.from_numpy(states).unbind(1)
        batch.identity = identities
        output, reasons = self.evaluate(network, batch.to(self.device))
        values = {key: value.cpu().numpy() for key, value in output.items()}
        rows = _by_molecule(network, values, batch.ptr.numpy())
        for row, atoms in zip(rows, frames, strict=True):
            row.pop("binding", None)
            if self.mean_energy and not totals and "energy" in row:
                row |= {"energy": row["energy"] / len(atoms), "forces": row["forces"] / len(atoms)}
        return list(zip(rows, reasons, strict=True))

    def known_elements(self) -> set[int]:
        """Return the atomic numbers of the training set; all that fit where it is not known."""
        largest = self.network.backbone.largest_element or MAX_ATOMIC_NUMBER
        return set(self.network.config.get("elements") or range(1, largest + 1))

    def charge_states(self) -> list[list[int]]:
        """Return the pairs [charge, multiplicity] of the training set, neutral singlets by default.

        No more is known of a checkpoint that names none.
        """
        states = self.network.config.get("charge_states") or [[0, 1]]
        return [[int(charge), int(multiplicity)] for charge, multiplicity in states]

    @property
    def domain(self) -> Domain | None:
        """What the model knows of how far its training reached; None of checkpoints of before."""
        kept = self.network.config.get("domain")
        return None if kept is None else Domain.of_plain(kept)

    def refusal(self, atomic_numbers: np.ndarray, charge: int = 0, multiplicity: int = 1) -> str:
        """Return why the model cannot answer for elements (n,) and this state, nothing if it can.

        Known are the elements and the pairs (charge, multiplicity) it was trained on; a checkpoint
        that names no pairs was trained on neutral singlets.
        """
        strange = sorted(set(atomic_numbers.tolist()) - self.known_elements())
        if strange:
            names = (SYMBOLS[z] if z <= MAX_ATOMIC_NUMBER else str(z) for z in strange)
            return f"the model has never seen {', '.join(names)}"
        if [charge, multiplicity] not in self.charge_states():
            state = f"charge {signed(charge)} with multiplicity {multiplicity}"
            return f"the model has never seen {state}"
        return ""

    def calculator(self, dtype: str | torch.dtype | None = None) -> PotentialCalculator:
        """Return an ASE calculator of a potential: total energy and forces, eV and eV/Å."""
        from force2geo.potentials.interfaces.calculator import PotentialCalculator

        return PotentialCalculator(self, dtype)

    def torch_sim(self, dtype: str | torch.dtype | None = None) -> TorchSimPotential:
        """Return a torch-sim model of a potential: total energies and forces, eV and eV/Å."""
        from force2geo.potentials.interfaces.torch_sim_model import TorchSimPotential

        return TorchSimPotential(self, dtype)

    def export(self, path: Path, dtype: str | torch.dtype | None = None) -> None:
        """Write a potential as an AOTInductor package (see `potentials.export.export`)."""
        from force2geo.potentials.interfaces.export import export

        export(self, path, dtype)


def _dtype(name: str | torch.dtype) -> torch.dtype:
    found = getattr(torch, name, None) if isinstance(name, str) else name
    if found not in (torch.float32, torch.float64):
        raise UserError(f"dtype: '{name}' is neither float32 nor float64")
    return found


def _by_molecule(
    network: Network, values: dict[str, np.ndarray], ptr: np.ndarray
) -> list[dict[str, Any]]:
    """Return each molecule's own: a network says what it gives of molecules and what of atoms.

    Shapes would not tell: a batch of lone atoms has as many molecules as atoms, and a molecule's
    dipole is a vector, too.
    """
    rows: list[dict[str, Any]] = [{} for _ in ptr[1:]]
    for key, value in values.items():
        if key not in network.per_molecule + network.per_atom:
            raise ValueError(f"{type(network).__name__} does not say what '{key}' belongs to")
        of_atoms = key in network.per_atom
        expected = int(ptr[-1]) if of_atoms else len(rows)
        if len(value) != expected:
            raise ValueError(
                f"{type(network).__name__}: '{key}' has {len(value)} rows of {expected}"
            )
        for place, row in enumerate(rows):
            own = value[ptr[place] : ptr[place + 1]] if of_atoms else value[place]
            row[key] = float(own) if own.ndim == 0 else own
    return rows
