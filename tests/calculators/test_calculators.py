"""Potentials to compare with: their numbers against the programs' own and against DFT's."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed, InputError
from ase.optimize import BFGS
from ase.units import kcal, mol

from force2geo.calculators import mopac
from force2geo.calculators.ani1x import ANI1x
from force2geo.calculators.mmff94 import MMFF94
from force2geo.calculators.mopac import MOPAC, find_mopac
from force2geo.logs.mopac import parse_aux
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV


def _ani() -> ANI1x:
    pytest.importorskip("torchani", reason="needs torchani: pip install 'force2geo[ani]'")
    return ANI1x()


def _pm3() -> MOPAC:
    if find_mopac() is None:
        pytest.skip("MOPAC is not installed")
    return MOPAC("PM3")


MADE = {"ANI-1x": _ani, "MMFF94": MMFF94, "PM3": _pm3}
# eV/Å, of MOPAC's self-consistent fields at their usual convergence.
NOISE = {"PM3": 3e-4}


def _ethanol(calculator: object) -> Atoms:
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=3)
    atoms.calc = calculator
    return atoms


@pytest.mark.parametrize("name", MADE)
def test_forces_are_minus_the_gradient(name: str) -> None:
    """Central differences of the energy."""
    atoms = _ethanol(MADE[name]())
    forces, step = atoms.get_forces().copy(), 1e-4
    for atom, axis in ((0, 0), (2, 1), (5, 2)):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            moved.calc = atoms.calc
            energies.append(moved.get_potential_energy())
        assert forces[atom, axis] == pytest.approx(
            -(energies[0] - energies[1]) / (2 * step), abs=NOISE.get(name, 1e-5)
        )


def test_mmff94_is_rdkits() -> None:
    """Energy in kcal/mol as RDKit gives it for the molecule of a SMILES, whose bonds are known."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    own = Chem.AddHs(Chem.MolFromSmiles("CC(=O)Nc1ccccc1"))
    AllChem.EmbedMolecule(own, randomSeed=5)
    field = AllChem.MMFFGetMoleculeForceField(own, AllChem.MMFFGetMoleculeProperties(own))
    atoms = Atoms(
        [atom.GetAtomicNum() for atom in own.GetAtoms()], own.GetConformer().GetPositions()
    )
    atoms.calc = MMFF94()
    # CODATA's: 1 eV is 23.0605 kcal/mol.
    assert atoms.get_potential_energy() * 23.06054783 == pytest.approx(field.CalcEnergy(), rel=1e-7)


def test_mmff94_keeps_a_molecules_bonds_and_finds_anothers() -> None:
    """A stretched bond stays one; another molecule, or another charge, is looked at anew."""
    calculator = MMFF94()
    atoms = molecule("CH3OH")
    atoms.calc = calculator
    before = atoms.get_potential_energy()
    for _ in range(4):  # 0.4 Å each, further than any bond reaches
        atoms.positions[1] += (
            0.4
            * (atoms.positions[1] - atoms.positions[0])
            / np.linalg.norm(atoms.positions[1] - atoms.positions[0])
        )
        stretched = atoms.get_potential_energy()
    assert stretched > before + 5
    other = molecule("CH3OH")
    other.calc = calculator
    assert other.get_potential_energy() == pytest.approx(before, abs=1e-9)


def test_mmff94_tells_isomers_apart() -> None:
    """The same atoms in the same order, other bonds: nothing is kept."""
    calculator = MMFF94()
    for name in ("CH3CH2OH", "CH3OCH3"):
        atoms = molecule(name)
        atoms = atoms[np.argsort(atoms.numbers, kind="stable")]
        atoms.calc = calculator
        found = atoms.get_potential_energy()
        atoms.calc = MMFF94()
        assert found == pytest.approx(atoms.get_potential_energy(), abs=1e-9)


def test_mmff94_names_what_it_cannot() -> None:
    """No bonds, no parameters."""
    apart = Atoms("CH4", np.arange(15.0).reshape(5, 3) * 5)
    apart.calc = MMFF94()
    with pytest.raises(InputError, match="MMFF94"):
        apart.get_potential_energy()


def test_ani_is_the_packages_own() -> None:
    """Energy by torchani's own modules in a row; its forces lead to its minimum."""
    calculator = _ani()
    import torch
    import torchani

    from force2geo.calculators import ani1x

    species, features, networks, _ = ani1x._ensemble()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shifter = torchani.neurochem.load_sae(
            str(ani1x.Path(torchani.__file__).parent / "resources/ani-1x_8x/sae_linfit.dat")
        )
    whole = torch.nn.Sequential(features, torchani.nn.Ensemble(networks), shifter.double())
    atoms = _ethanol(calculator)
    kinds = torch.tensor([[species[symbol] for symbol in atoms.get_chemical_symbols()]])
    own = whole((kinds, torch.tensor(atoms.positions[None]))).energies.item() * HARTREE_TO_EV
    assert atoms.get_potential_energy() == pytest.approx(own, abs=1e-6)
    assert 0 < calculator.results["energy_std"] < 0.1
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=100)
    # Published for its level: r(O-H) of ethanol near 0.96 Å.
    assert atoms.get_distance(2, 3) == pytest.approx(0.963, abs=0.01)


@pytest.mark.parametrize(("name", "most"), [("ANI-1x", 0.45), ("MMFF94", 1.5)])
def test_forces_are_near_dfts(name: str, most: float, shared_data: Any) -> None:
    """B3LYP's forces of real relaxations' first steps: units and signs."""
    calculator, wrong, all_of = MADE[name](), [], []
    for path in sorted((shared_data.whole("dft_trajectories")).glob("*.npz"))[:40]:
        with np.load(path, allow_pickle=False) as raw:
            if not set(raw["z"].tolist()) <= {1, 6, 7, 8}:
                continue
            atoms = Atoms(raw["z"], raw["dft_pos"][0])
            forces = raw["dft_grad"][0] * GRADIENT_TO_FORCE
        atoms.calc = calculator
        try:
            wrong.append(atoms.get_forces() - forces)
        except InputError:
            continue
        all_of.append(forces)
    assert len(wrong) > 10
    rms = [np.sqrt(np.mean(np.concatenate(part) ** 2)) for part in (wrong, all_of)]
    assert rms[0] < most * rms[1]


@pytest.mark.parametrize(("atoms", "says"), [
    (Atoms("HCl", [[0, 0, 0], [0, 0, 1.3]]), "does not know Cl"),
    (Atoms("OH", [[0, 0, 0], [0, 0, 1.0]]), "unpaired"),
])  # fmt: skip
def test_ani_names_what_it_does_not_know(atoms: Atoms, says: str) -> None:
    """Elements and states."""
    atoms.calc = _ani()
    with pytest.raises(InputError, match=says):
        atoms.get_potential_energy()


@pytest.mark.parametrize(
    ("name", "published"), [("CH4", -13.0), ("H2O", -53.4), ("NH3", -3.1), ("CH3OH", -51.9)]
)
def test_pm3_s_heats_of_formation_are_the_published_ones(name: str, published: float) -> None:
    """kcal/mol, Stewart, J. Comput. Chem. 10 (1989) 221, table I."""
    atoms = molecule(name)
    atoms.calc = _pm3()
    assert BFGS(atoms, logfile=None).run(fmax=0.02, steps=100)
    assert atoms.get_potential_energy() / (kcal / mol) == pytest.approx(published, abs=0.06)


def test_mopac_knows_charge_and_spin() -> None:
    """Methyl's cation lacks an electron that its radical has, and is the higher for it."""
    energies = {}
    for state in ((0, 2), (1, 1)):
        atoms = molecule("CH3", info={"charge": state[0], "multiplicity": state[1]})
        del atoms.arrays["initial_magmoms"]
        atoms.calc = _pm3()
        energies[state] = atoms.get_potential_energy()
        log = parse_aux(atoms.calc.text.encode("latin-1"))
        assert (log.charge, log.multiplicity) == state
    assert 7 < energies[1, 1] - energies[0, 2] < 12  # eV; measured 9.84


def test_without_mopac_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="MOPAC is not installed: apt install mopac"):
        MOPAC()


def test_what_mopac_cannot_compute_fails_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two atoms at one place; and a file in which no gradient came to its end."""
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0]], calculator=_pm3())
    with pytest.raises(CalculationFailed, match=r"ATOMS +2 AND +1 ARE SEPARATED BY"):
        atoms.get_potential_energy()
    water = molecule("H2O")
    water.calc = _pm3()
    water.get_forces()
    cut = water.calc.text.replace(" GRADIENTS:", " NOTHING:")
    assert cut != water.calc.text
    monkeypatch.setattr(mopac, "point", lambda *_: cut)
    water.rattle(0.01)
    with pytest.raises(CalculationFailed, match="no energy or no gradient"):
        water.get_forces()


def test_a_lone_atom_has_no_force() -> None:
    """MOPAC prints no gradient of it, and PM3's heat of a gaseous noble atom is zero."""
    atoms = Atoms("He", info={"charge": 0, "multiplicity": 1})
    atoms.calc = _pm3()
    assert atoms.get_potential_energy() == pytest.approx(0, abs=1e-9)
    np.testing.assert_array_equal(atoms.get_forces(), np.zeros((1, 3)))
