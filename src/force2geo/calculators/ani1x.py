"""ANI-1x: the mean of eight networks, for H, C, N and O (Smith et al. 2018, arXiv:1801.09319)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from ase.calculators.calculator import Calculator, InputError, all_changes

from force2geo.errors import UserError
from force2geo.units import HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

_MEMBERS = 8


class ANI1x(Calculator):
    """ωB97X/6-31G(d) as ANI-1x learned it; energies in eV, of isolated atoms' sum and all.

    The weights are those inside the package torchani 2.2.4. `energy_std` in the results is the
    deviation of its networks, eV. Elements it was not made for, charges and open shells are an
    `InputError`.
    """

    implemented_properties: ClassVar = ["energy", "forces", "energy_std"]

    def __init__(self) -> None:
        super().__init__()
        _ensemble()

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Compute energy and forces of the atoms."""
        from force2geo.molecular_state import molecular_state

        super().calculate(atoms, properties, system_changes)
        species, features, networks, shift = _ensemble()
        symbols = self.atoms.get_chemical_symbols()
        strange = sorted(set(symbols) - set(species))
        if strange:
            raise InputError(f"ANI-1x does not know {', '.join(strange)}, only H, C, N and O")
        charge, multiplicity = molecular_state(self.atoms)
        if charge or multiplicity != 1:
            raise InputError("ANI-1x knows neutral molecules without unpaired electrons alone")
        kinds = torch.tensor([[species[symbol] for symbol in symbols]])
        positions = torch.tensor(self.atoms.get_positions()[None], requires_grad=True)
        described = features((kinds, positions))
        energies = torch.stack([network(described).energies[0] for network in networks])
        (gradient,) = torch.autograd.grad(energies.mean(), positions)
        constant = sum(shift[symbol] for symbol in symbols)
        self.results = {
            "energy": (float(energies.mean().detach()) + constant) * HARTREE_TO_EV,
            "forces": -gradient[0].numpy() * HARTREE_TO_EV,
            "energy_std": float(energies.detach().std()) * HARTREE_TO_EV,
        }


@cache
def _ensemble() -> tuple[dict[str, int], Any, list[Any], dict[str, float]]:
    """Return each element's place, the features, the networks and the atoms' energies, Hartree.

    They are read file by file: the list of files that torchani would read is empty in its wheel, so
    that its own way tries to fetch them.
    """
    try:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torchani
            from torchani import neurochem
    except ImportError as error:
        raise UserError(f"ANI-1x: needs torchani: pip install 'force2geo[ani]' ({error})") from None
    folder = Path(torchani.__file__).parent / "resources" / "ani-1x_8x"
    constants = neurochem.Constants(str(next(folder.glob("*.params"))))
    networks = neurochem.load_model_ensemble(constants.species, str(folder / "train"), _MEMBERS)
    energies = neurochem.load_sae(str(folder / "sae_linfit.dat"))
    return (
        {symbol: place for place, symbol in enumerate(constants.species)},
        torchani.AEVComputer(**constants).double(),
        list(networks.double().requires_grad_(requires_grad=False)),
        dict(zip(constants.species, energies.self_energies.tolist(), strict=True)),
    )
