"""A potential as a torch-sim model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_sim.models.interface import ModelInterface

from force2geo.errors import UserError
from force2geo.potentials.batch import Batch
from force2geo.potentials.threads import threads_for

if TYPE_CHECKING:
    from force2geo.potentials.model import Model


class TorchSimPotential(ModelInterface):
    """Total energies (eV) and forces (eV/Å) of a state's molecules; no cells, so no stress.

    Energies are float64 whatever the forces are: those of whole molecules are large.
    """

    def __init__(self, model: Model, dtype: str | torch.dtype | None = None) -> None:
        if model.network.kind != "potential":
            raise UserError("torch-sim: the checkpoint is a property model, not a potential")
        super().__init__()
        self.model, self.network = model, model.in_dtype(dtype)
        self._dtype = next(self.network.parameters()).dtype
        self._device = torch.device(model.device)
        self._compute_forces, self._compute_stress = True, False
        known = model.known_elements()
        self.register_buffer("_known", torch.zeros(max(known) + 1, dtype=torch.bool))
        self._known[list(known)] = True
        self.to(self._device)

    def forward(self, state: Any, **_: Any) -> dict[str, Tensor]:
        """Return `energy` (B,) float64 and `forces` (N,3) of a `SimState`."""
        if torch.as_tensor(state.pbc).any():
            raise UserError("torch-sim: periodic cells are not known to this potential")
        numbers, molecule = state.atomic_numbers.long(), state.system_idx
        if (
            not self._known[numbers.clamp(max=len(self._known) - 1)].all()
            or (numbers >= len(self._known)).any()
        ):
            raise UserError("torch-sim: the state has elements the model has never seen")
        charge, multiplicity = self._states(state, numbers)
        counts = torch.bincount(molecule, minlength=state.n_systems)
        ptr = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        x = state.positions
        batch = Batch(numbers, x, molecule, ptr, charge=charge, multiplicity=multiplicity)
        with threads_for(len(numbers)):
            output, reasons = self.model.evaluate(self.network, batch)
        for place, why in enumerate(reasons):
            if why:
                raise UserError(f"torch-sim: system {place}: {self.model.baseline}: {why}")
        return {"energy": output["energy"], "forces": output["forces"]}

    def _states(self, state: Any, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return charges and multiplicities (B,), `UserError` for those the model never saw.

        A state of newer torch-sim has them as `charge` and `spin`, where a spin of 0 is one that
        was not given: the lowest that the electrons allow.
        """
        charged = any(one.backbone.takes_charge for one in self.model.networks)
        if charged and not hasattr(state, "charge"):
            raise UserError(
                "torch-sim: the network takes charges and the state has none: give it `charge` "
                "(B,), zeros for neutral molecules, or take a torch-sim whose states have it"
            )
        nothing = numbers.new_zeros(state.n_systems)
        charge, spin = (
            nothing if getattr(state, name, None) is None else getattr(state, name).round().long()
            for name in ("charge", "spin")
        )
        electrons = nothing.index_add(0, state.system_idx, numbers) - charge
        multiplicity = torch.where(spin > 0, spin, 1 + electrons % 2)
        for pair in torch.stack([charge, multiplicity], dim=1).unique(dim=0).tolist():
            reason = self.model.refusal(numbers[:0].cpu().numpy(), *pair)
            if reason:
                raise UserError(f"torch-sim: {reason}")
        return charge, multiplicity
