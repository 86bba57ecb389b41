"""MACE: the same numbers as the package's calculator, what its settings do; physics: contract."""

import os

import numpy as np
import pytest
import torch
from ase import Atoms

from force2geo.errors import UserError
from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import collate
from force2geo.potentials.e3nn_modules import traceless_import
from force2geo.potentials.models import Potential
from force2geo.potentials.registry import find

try:
    find("mace")  # first, for the package changes the environment of whoever imports it
except UserError as error:
    pytest.skip(str(error), allow_module_level=True)
SMALL = {"layers": 2, "features": 4, "cutoff": 4.5, "correlation": 2}
KNOWN = Statistics(elements=(1, 6, 7, 8, 9, 14, 16, 17, 35), mean_neighbours=7.5, force_rms=1.5)
REAL = ("0007", "0047", "0078", "0091", "0106", "0112", "0168", "0187")


@pytest.fixture(scope="module")
def molecules(shared_data, ethanol):
    """Eight molecules of PubChemQCR, ethanol and water."""
    found = [ethanol, (np.array([8, 1, 1]), np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]))]
    for name in REAL:
        with np.load(shared_data / f"dft_trajectories/{name}.npz") as file:
            found.append((file["z"].astype(int), file["dft_pos"][0].astype(float)))
    return found


def made(kind=torch.float64, known=KNOWN, **changed):
    torch.manual_seed(0)
    return Potential({"name": "mace", **SMALL, **changed}, known).to(kind).eval()


def answers(model, molecules):
    output = model(collate(*zip(*molecules, strict=True), next(model.parameters()).dtype))
    forces = output["forces"].split([len(numbers) for numbers, _ in molecules])
    return output["binding"], forces


def package_s(model, **changed):
    """Return the package's calculator, float64, of its own network with the weights of ours."""
    with traceless_import():
        from e3nn.o3 import Irreps
        from mace.calculators import MACECalculator
        from mace.modules import (
            RealAgnosticInteractionBlock,
            RealAgnosticResidualInteractionBlock,
            ScaleShiftMACE,
        )

    options = {
        "hidden_irreps": "4x0e+4x1e+4x2e",
        "use_so3": True,
        "correlation": 2,
        "max_ell": 2,
        "plain": False,
    } | changed
    plain = options.pop("plain")
    options["hidden_irreps"] = Irreps(options["hidden_irreps"])
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        network = ScaleShiftMACE(
            atomic_inter_scale=1.5, atomic_inter_shift=0.0, r_max=4.5, num_bessel=8,
            num_polynomial_cutoff=5, num_interactions=2, num_elements=9,
            interaction_cls=RealAgnosticResidualInteractionBlock,
            interaction_cls_first=(
                RealAgnosticInteractionBlock if plain else RealAgnosticResidualInteractionBlock
            ),
            MLP_irreps=Irreps("16x0e"), gate=torch.nn.functional.silu,
            atomic_energies=np.zeros(9), avg_num_neighbors=7.5,
            atomic_numbers=list(KNOWN.elements), use_reduced_cg=False, **options,
        )  # fmt: skip
        # What is trained alone: numbers from statistics are to be the same without.
        trained = dict(model.backbone.network.named_parameters())
        assert not network.load_state_dict(trained, strict=False).unexpected_keys
        return MACECalculator(models=[network], device="cpu", default_dtype="float64")
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(
    "ours, theirs",
    [
        ({}, {}),
        ({"correlation": 3, "hidden_degree": 1},
         {"correlation": 3, "hidden_irreps": "4x0e+4x1e"}),
        ({"parity": "natural", "hidden_degree": 0, "degree": 3, "first_interaction": "plain"},
         {"use_so3": False, "hidden_irreps": "4x0e", "max_ell": 3, "plain": True}),
    ],
)  # fmt: skip
def test_as_the_package_s_calculator(molecules, ours, theirs):
    model = made(**ours)
    calculator = package_s(model, **theirs)
    energies, forces = answers(model, molecules)
    for energy, force, (numbers, positions) in zip(energies, forces, molecules, strict=True):
        atoms = Atoms(numbers, positions, calculator=calculator)
        assert atoms.get_potential_energy() == pytest.approx(float(energy), abs=1e-10)
        np.testing.assert_allclose(atoms.get_forces(), force, rtol=0, atol=1e-10)


def test_natural_parity_follows_a_reflection(ethanol):
    numbers, positions = ethanol
    mirrored = positions * [1, 1, -1]
    model = made(parity="natural", correlation=3)
    energies, forces = answers(model, [ethanol, (numbers, mirrored)])
    torch.testing.assert_close(energies[0], energies[1], rtol=0, atol=1e-10)
    torch.testing.assert_close(
        forces[0] * torch.tensor([1.0, 1, -1]), forces[1], rtol=0, atol=1e-10
    )


def test_precision_comes_from_float64_constants(molecules):
    energies, forces = answers(made(torch.float32).double(), molecules)
    exact = made()
    exact.load_state_dict(made(torch.float32).state_dict())
    expected = answers(exact, molecules)
    torch.testing.assert_close(energies, expected[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.cat(forces), torch.cat(expected[1]), rtol=0, atol=1e-12)


def test_importing_it_changes_nothing_for_others():
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ


def test_elements_without_weights_have_no_energy():
    lone = [(np.array([15]), np.zeros((1, 3)))]
    assert answers(made(), lone)[0].isnan().all()
    assert answers(made(known=None), lone)[0].isfinite().all()


def test_sizes(molecules):
    model = made(layers=1)
    assert (model.backbone.width, model.backbone.vector_width) == (4, 0)
    assert answers(model, molecules)[0].isfinite().all()
    with pytest.raises(UserError, match="hidden_degree"):
        made(hidden_degree=3)


def test_size_of_table_8():
    settings, batch_size = find("mace").about.table8
    assert settings == {"layers": 2, "features": 128, "cutoff": 4.5} and batch_size == 8
