"""Total charge and unpaired electrons as an input of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.settings import setting

if TYPE_CHECKING:
    from force2geo.potentials.batch import Batch

_KINDS = 3  # electrons that lack, that are too many, and that are unpaired


def charge_setting() -> bool:
    """Return the setting `charge` of a backbone that has this input."""
    found: bool = setting("whether total charge and unpaired electrons are an input", False)
    return found


class ChargeFeatures(nn.Module):
    """What charge and spin add to the first features of atoms; nothing for neutral singlets.

    A molecule lacks max(Q, 0) electrons, has max(−Q, 0) too many and 2S unpaired ones. Each of the
    three is shared out over its atoms, Σ shares = the amount, in the ratio of a learnt positive
    number of each element, and an atom's share times a learnt vector of its element is added.
    Charge and spin are shared out so in SpookyNet's electronic embedding (Unke et al. 2021,
    doi:10.1038/s41467-021-27504-0), whose attention makes the ratio of elements, too.

    Shares that add up are what keeps sizes consistent: were each atom told the whole charge, its
    effect would grow with the molecule. They do not depend on positions, so that energy and forces
    stay as smooth as they are; nor do they know where in a large molecule a charge is, which is for
    the network to find out. Vectors start at zero: a network begins as one without this input.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        elements = MAX_ATOMIC_NUMBER + 1
        self.affinity = nn.Parameter(torch.zeros(elements, _KINDS))
        self.vectors = nn.Parameter(torch.zeros(elements, _KINDS, features))

    def forward(self, scalars: Tensor, batch: Batch) -> Tensor:
        """Return first features (N,F) with what charge and spin of their molecules add."""
        if batch.charge is None and batch.multiplicity is None:
            return scalars
        numbers, molecule = batch.atomic_numbers, batch.molecule
        weights = softplus(self.affinity)[numbers]
        totals = weights.new_zeros(batch.size, _KINDS).index_add(0, molecule, weights)
        shares = weights * (_electrons(batch).to(weights) / totals)[molecule]
        return scalars + (shares[:, :, None] * self.vectors[numbers]).sum(dim=1)


def _electrons(batch: Batch) -> Tensor:
    """Return (B,3) electrons that each molecule lacks, has too many and has unpaired."""
    nothing = batch.ptr.new_zeros(batch.size)
    charge = nothing if batch.charge is None else batch.charge
    unpaired = nothing if batch.multiplicity is None else batch.multiplicity - 1
    return torch.stack([charge.clamp(min=0), (-charge).clamp(min=0), unpaired], dim=1)
