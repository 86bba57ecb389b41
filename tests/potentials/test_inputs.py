"""What a model takes and what it refuses, by predict, ASE and torch-sim."""

import numpy as np
import pandas as pd
import pytest
import torch
from ase import Atom, Atoms
from ase.build import molecule
from ase.constraints import FixAtoms
from rdkit import Chem
from rdkit.Chem import AllChem

from force2geo.errors import UserError
from force2geo.potentials.model import Model
from force2geo.potentials.models import Potential, PropertyModel

BACKBONE = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
ACCEPTED = "ASE atoms, RDKit molecules or SMILES"


def build(states=None, kind=Potential):
    torch.manual_seed(0)
    network = kind(BACKBONE)
    network.config["elements"] = [1, 6, 7, 8]
    if states:
        network.config["charge_states"] = states
    return Model(network.double(), {}, "cpu")


@pytest.fixture
def model():
    return build()


def embedded(smiles="CO"):
    made = Chem.AddHs(Chem.MolFromSmiles(smiles))
    assert AllChem.EmbedMolecule(made, randomSeed=1) == 0
    return made


def same(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one["energy"] == pytest.approx(other["energy"], abs=1e-10)
        np.testing.assert_allclose(one["forces"], other["forces"], atol=1e-10)


def test_one_molecule_and_any_iterable_of_them(model):
    water, ammonia = molecule("H2O"), molecule("NH3")
    both = [model.predict([water])[0], model.predict([ammonia])[0]]
    assert set(both[0]) == {"energy", "forces"} and both[0]["energy"] != both[1]["energy"]
    same(model.predict(water), both[:1])
    for given in (
        (atoms for atoms in (water, ammonia)),
        (water, ammonia),
        map(Atoms.copy, [water, ammonia]),
        pd.Series([water, ammonia]),
    ):
        same(model.predict(given), both)
    assert model.predict([]) == [] and model.predict(iter(())) == []


def test_rdkit_molecules_are_taken_with_their_coordinates(model):
    made = embedded()
    numbers = [atom.GetAtomicNum() for atom in made.GetAtoms()]
    atoms = Atoms(numbers, made.GetConformer().GetPositions())
    expected = model.predict([atoms])
    same(model.predict(made), expected)
    same(model.predict([made, atoms]), expected * 2)


def test_a_smiles_is_answered_for_a_conformer_that_the_result_holds(model):
    (found,) = model.predict("CO")
    atoms = found["atoms"]
    assert sorted(atoms.numbers) == [1, 1, 1, 1, 6, 8]
    near = np.sort(atoms.get_distances(0, range(1, 6)))
    assert near[:4] == pytest.approx([1.09, 1.09, 1.09, 1.41], abs=0.03)
    same([found], model.predict([atoms]))
    for given in (["CO", "N"], np.array(["CO", "N"]), pd.Series(["CO", "N"])):
        formulas = [row["atoms"].get_chemical_formula() for row in model.predict(given)]
        assert formulas == ["CH4O", "H3N"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (7, f"{ACCEPTED}.*not for int"),
        (None, "not for NoneType"),
        ([molecule("H2O"), 1.5], f"molecule 1: a model predicts for {ACCEPTED}.*not for float"),
        ([Atom("H")], "molecule 0: .*not for ase.atom.Atom"),
        ("nonsense(", r"molecule 0: 'nonsense\(': not a SMILES"),
        ("", "molecule 0: '': not a SMILES"),
        (["C", "O.O"], r"molecule 1: 'O\.O' is of several molecules"),
        (Chem.MolFromSmiles("CO"), "hydrogens are missing"),
        (Chem.AddHs(Chem.MolFromSmiles("CO")), "no coordinates"),
        (Chem.MolFromSmiles("[NH4+]"), "hydrogens are missing"),
    ],
)
def test_what_is_no_molecule_is_refused_in_one_line(model, given, message):
    with pytest.raises(UserError, match=message) as caught:
        model.predict(given)
    assert "\n" not in str(caught.value)


def test_a_drawing_is_no_geometry(model):
    flat = Chem.AddHs(Chem.MolFromSmiles("CO"))
    AllChem.Compute2DCoords(flat)
    with pytest.raises(UserError, match="drawing in two dimensions"):
        model.predict(flat)


def charged(charge=0, multiplicity=None):
    atoms = Atoms("NH4", molecule("CH4").positions)
    atoms.info["charge"] = charge
    if multiplicity is not None:
        atoms.info["spin"] = multiplicity
    return atoms


def boxed():
    atoms = molecule("H2O", vacuum=4.0)
    atoms.pbc = [True, False, False]
    return atoms


def with_charges():
    atoms = Atoms("NH4", molecule("CH4").positions)
    atoms.set_initial_charges([0.2] * 5)
    return atoms


REFUSED = [
    (boxed(), "periodic cells"),
    (charged(1), r"never seen charge \+1 with multiplicity 1"),
    (with_charges(), r"never seen charge \+1 with multiplicity 1"),
    (charged(-1, 3), r"never seen charge -1 with multiplicity 3"),
    (charged(1, 2), "do not fit 10 electrons"),
    (molecule("O2"), r"never seen charge 0 with multiplicity 3"),  # by its initial moments
    (molecule("CH3"), r"never seen charge 0 with multiplicity 2"),
    (Atoms("OH", [[0, 0, 0], [0, 0, 0.97]]), "multiplicity 2"),
]


@pytest.mark.parametrize(("atoms", "message"), REFUSED)
def test_cells_charges_and_spins_are_refused_by_name(model, atoms, message):
    with pytest.raises(UserError, match=f"molecule 1: .*{message}"):
        model.predict([molecule("H2O"), atoms])
    atoms = atoms.copy()
    atoms.calc = model.calculator()
    with pytest.raises(UserError, match=message):
        atoms.get_potential_energy()


@pytest.mark.parametrize(
    ("smiles", "message"),
    [("C[NH3+]", r"charge \+1"), ("[OH]", "multiplicity 2"), ("[O][O]", "multiplicity 3")],
)
def test_ions_and_radicals_as_smiles_are_refused(model, smiles, message):
    with pytest.raises(UserError, match=message):
        model.predict(smiles)
    with pytest.raises(UserError, match=message):
        model.predict(embedded(smiles))


def test_a_model_trained_on_ions_answers_for_them_and_is_told():
    model = build([[0, 1], [1, 1]])
    seen = []
    model.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    found = model.predict([charged(1), molecule("CH4")])
    assert all(np.isfinite(row["energy"]) for row in found)
    assert seen[0].charge.tolist() == [1, 0] and seen[0].multiplicity.tolist() == [1, 1]
    model.predict([molecule("CH4")])
    assert seen[1].charge is None and seen[1].multiplicity is None
    with pytest.raises(UserError, match="multiplicity 2"):
        model.predict(charged(0))


def test_the_calculator_notices_a_charge_given_after_the_first_call(model):
    atoms = molecule("CH4")
    atoms.calc = model.calculator()
    before = atoms.get_potential_energy()
    atoms.info["charge"] = 2
    with pytest.raises(UserError, match=r"never seen charge \+2"):
        atoms.get_potential_energy()
    atoms.info["charge"] = 0
    assert atoms.get_potential_energy() == before
    atoms.set_constraint(FixAtoms([0]))
    assert (atoms.get_forces()[0] == 0).all() and (atoms.get_forces()[1] != 0).any()


@pytest.mark.parametrize("kind", [Potential, PropertyModel])
def test_no_model_answers_for_elements_it_never_saw(kind):
    model = build(kind=kind)
    model.predict("CO")
    with pytest.raises(UserError, match="molecule 0: the model has never seen F, Cl"):
        model.predict("FCCl")


def test_torch_sim_refuses_charges_and_spins_the_model_never_saw():
    import torch_sim

    radical, water = Atoms("OH", [[0, 0, 0], [0, 0, 0.97]]), molecule("H2O")
    methane = molecule("CH4")

    def state(*atoms):
        return torch_sim.io.atoms_to_state(list(atoms), torch.device("cpu"), torch.float64)

    own = build().torch_sim()
    expected = [row["energy"] for row in build().predict([water, methane])]
    np.testing.assert_allclose(own(state(water, methane))["energy"], expected, rtol=1e-12)
    with pytest.raises(UserError, match="multiplicity 2"):
        own(state(water, radical))
    given = state(water, methane)
    given.charge, given.spin = torch.tensor([0.0, 2.0]), torch.tensor([0.0, 0.0])
    with pytest.raises(UserError, match=r"charge \+2 with multiplicity 1"):
        own(given)
    given.charge, given.spin = torch.tensor([0.0, 0.0]), torch.tensor([1.0, 3.0])
    with pytest.raises(UserError, match="multiplicity 3"):
        own(given)
    known = build([[0, 1], [2, 1]]).torch_sim()
    given.charge, given.spin = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.0])
    assert torch.isfinite(known(given)["energy"]).all()
