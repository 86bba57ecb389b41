"""A potential as a torch-sim model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch_sim.models.interface import ModelInterface

from force2geo.errors import UserError
from force2geo.potentials.batch import Batch

if TYPE_CHECKING:
    from force2geo.potentials.checkpoint import Model


class TorchSimPotential(ModelInterface):
    """Total energies (eV) and forces (eV/Å) of a state's molecules; no cells, so no stress."""

    def __init__(self, model: Model, dtype: str | torch.dtype | None = None) -> None:
        if model.network.kind != "potential":
            raise UserError("torch-sim: the checkpoint is a property model, not a potential")
        super().__init__()
        self.network = model.in_dtype(dtype)
        self._dtype = next(self.network.parameters()).dtype
        self._device = torch.device(model.device)
        self._compute_forces, self._compute_stress = True, False
        known = model.known_elements()
        self.register_buffer("_known", torch.zeros(max(known) + 1, dtype=torch.bool))
        self._known[list(known)] = True
        self.to(self._device)

    def forward(self, state: Any, **_: Any) -> dict[str, torch.Tensor]:
        """Return `energy` (B,) and `forces` (N,3) of a `SimState`."""
        if torch.as_tensor(state.pbc).any():
            raise UserError("torch-sim: periodic cells are not known to this potential")
        numbers, molecule = state.atomic_numbers.long(), state.system_idx
        if (
            not self._known[numbers.clamp(max=len(self._known) - 1)].all()
            or (numbers >= len(self._known)).any()
        ):
            raise UserError("torch-sim: the state has elements the model has never seen")
        counts = torch.bincount(molecule, minlength=state.n_systems)
        ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        output = self.network(Batch(numbers, state.positions.to(self._dtype), molecule, ptr))
        return {"energy": output["energy"].to(self._dtype), "forces": output["forces"]}
