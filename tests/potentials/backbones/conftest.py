"""What tests of backbones share: real molecules, and the nequip package as it is used alone."""

import os

import numpy as np
import pytest
import torch

from force2geo.elements import SYMBOLS


@pytest.fixture(scope="session")
def ten_molecules(shared_data, ethanol):
    """Atomic numbers and positions (Å) of ethanol and nine relaxed molecules, as many as ship."""
    loaded = [np.load(path) for path in sorted((shared_data / "dft_trajectories").glob("*.npz"))]
    return [ethanol] + [(one["z"], one["dft_pos"][-1]) for one in loaded[:9]]


@pytest.fixture
def nequip_s_own():
    """Return what makes the package's calculator of one of its builders and a backbone's weights.

    The package wants a state of the whole process; what it changes of that is put back.
    """
    import e3nn
    from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
    from nequip.integrations.ase import NequIPCalculator
    from nequip.utils.global_state import set_global_state

    def calculator(build, backbone, **options):
        set_global_state()
        torch.set_default_dtype(torch.float64)
        types = list(SYMBOLS[1:18])
        model = build(seed=3, model_dtype="float64", type_names=types, r_max=4.5,
                      per_type_energy_shifts=0.0, **options).eval()  # fmt: skip
        weights = dict(backbone.parts.named_parameters())
        found = {name.removeprefix("model.func."): one for name, one in model.named_parameters()}
        assert set(found) == set(weights)
        with torch.no_grad():
            for name, one in found.items():
                one.copy_(weights[name][: len(types)] if "embed." in name else weights[name])
        transforms = [NeighborListTransform(4.5), ChemicalSpeciesToAtomTypeMapper(types)]
        return NequIPCalculator(model, "cpu", transforms=transforms)

    dtype, numbers, held = torch.get_default_dtype(), torch.get_rng_state(), dict(os.environ)
    mode = e3nn.get_optimization_defaults()["jit_mode"]
    sharing = torch.multiprocessing.get_sharing_strategy()
    yield calculator
    e3nn.set_optimization_defaults(jit_mode=mode)
    torch.multiprocessing.set_sharing_strategy(sharing)
    torch.set_default_dtype(dtype)
    torch.set_rng_state(numbers)
    os.environ.clear()
    os.environ.update(held)
