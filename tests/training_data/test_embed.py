"""Conformers in another structure's atom order: which atoms are taken for which."""

import functools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from scipy.spatial.transform import Rotation

from force2geo.relax.smiles import structure_of
from force2geo.superposition import rmsd
from force2geo.training_data.embed import EMBED_SECONDS, embed, embed_like, etkdg, match
from force2geo.training_data.matching import Bonded, closest, isomorphism

# Trees, rings and both; many equivalent branches; lines; ions, radicals, fragments, one atom.
MOLECULES = (
    "C", "CC", "CCO", "CC(C)(C)C", "O=C=O", "C#C", "CC#CC", "[H][H]", "[He]", "O=P(O)(O)OC",
    "c1ccccc1", "Cc1c(C)c(C)c(C)c(C)c1C", "CC(C)(C)c1cc(C(C)(C)C)cc(C(C)(C)C)c1", "C1CC2CCC1CC2",
    "C[Si](C)(C)[Si]([Si](C)(C)C)([Si](C)(C)C)C", "C12C3C4C1C5C2C3C45", "FC(F)(F)C(F)(F)C(F)(F)F",
    "N[C@@H](C)C(=O)O", "BrC(F)(Cl)I", "[NH4+]", "CC(=O)[O-].[NH4+]", "O.O.O", "[CH3]", "[OH]",
    "[O-][N+](=O)c1ccccc1", "CCCCCCCC", "c1ccccc1-c1ccccc1", "C[N+](C)(C)C",
)  # fmt: skip


@functools.cache
def structure(smiles, seed=1):
    """Return an embedded molecule's elements, positions and bonds."""
    molecule = embed(smiles, seed)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    return numbers, molecule.GetConformer().GetPositions(), Bonded.of_rdkit(molecule)


def permuted(bonded, order):
    """Return the same bonds with atom `order[i]` at place i."""
    place = np.argsort(order)
    return Bonded(
        [bonded.numbers[atom] for atom in order],
        [[int(place[other]) for other in bonded.neighbours[atom]] for atom in order],
    )


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(MOLECULES), st.integers(0, 2**31), st.booleans())
def test_a_molecule_lies_on_any_permutation_of_itself(smiles, seed, mirrored):
    rng = np.random.default_rng(seed)
    numbers, positions, bonds = structure(smiles)
    # Shaken, so that no two equivalent atoms are equal in space, too.
    positions = positions + rng.normal(scale=0.05, size=positions.shape)
    order = rng.permutation(len(numbers))
    reference = positions[order] @ Rotation.random(random_state=seed).as_matrix() + rng.normal(
        size=3
    )
    if mirrored:
        reference = reference * [1, 1, -1]
    images = [positions, positions * [-1, 1, 1]]
    found = closest(bonds, images, permuted(bonds, order), reference)
    np.testing.assert_allclose(found, reference, atol=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(MOLECULES), st.integers(0, 2**31))
def test_bonds_lie_on_bonds_in_any_order_of_the_atoms(smiles, seed):
    _, _, bonds = structure(smiles)
    order = np.random.default_rng(seed).permutation(len(bonds.numbers))
    other = permuted(bonds, order)
    places = isomorphism(bonds, other)
    assert sorted(places) == list(range(len(order)))
    for atom, others in enumerate(other.neighbours):
        assert bonds.numbers[places[atom]] == other.numbers[atom]
        assert {int(places[one]) for one in others} == set(bonds.neighbours[places[atom]])


@pytest.mark.parametrize("smiles", [s for s in MOLECULES if "." not in s])
def test_a_graph_is_in_the_order_of_the_reference(smiles):
    """Bonds, orders and elements of another program's reading of the SMILES."""
    numbers, positions, bonds = structure(smiles)
    order = np.random.default_rng(1).permutation(len(numbers))
    found = match(smiles, numbers[order], positions[order], seed=1, conform=False)
    assert found.conformer is None and found.reason == ""
    np.testing.assert_array_equal(found.graph.atoms[:, 0] + 1, numbers[order])
    neighbours = permuted(bonds, order).neighbours
    pairs = sorted(tuple(sorted(map(int, pair))) for pair in found.graph.bonds)
    assert pairs == sorted({tuple(sorted((a, b))) for a, b_ in enumerate(neighbours) for b in b_})
    # Aromatic, double and triple bonds by what their ends are bonded to, as the SMILES says.
    read = Chem.AddHs(Chem.MolFromSmiles(smiles))
    ours = sorted(
        (*sorted(numbers[order][pair].tolist()), int(kind))
        for pair, kind in zip(found.graph.bonds, found.graph.orders[:, 0], strict=True)
    )
    kinds = {"SINGLE": 0, "DOUBLE": 1, "TRIPLE": 2, "AROMATIC": 3}
    theirs = sorted(
        (*sorted((bond.GetBeginAtom().GetAtomicNum(), bond.GetEndAtom().GetAtomicNum())),
         kinds[str(bond.GetBondType())])
        for bond in read.GetBonds()
    )  # fmt: skip
    assert ours == theirs


@pytest.mark.parametrize(
    ("smiles", "like", "reason"),
    [("CCO", "COC", "bonded otherwise than its SMILES says"), ("CCO", "CCN", "bonded otherwise"),
     ("", "C", "no SMILES or InChI that can be read")],
)  # fmt: skip
def test_why_there_is_no_conformer_is_said(smiles, like, reason):
    found = match(smiles, *structure(like)[:2], seed=1)
    assert found.reason.startswith(reason) and found.conformer is None and found.graph is None


def test_without_a_geometry_the_order_is_that_of_the_smiles():
    found = match("CO", np.array([6, 8, 1, 1, 1, 1]), None, seed=1)
    assert found.places.tolist() == list(range(6)) and found.skeleton == "OKKJLVBELUTLKV"
    assert 1.3 < np.linalg.norm(found.conformer[0] - found.conformer[1]) < 1.5
    found = match("CO", np.array([8, 6, 1, 1, 1, 1]), None, seed=1)
    assert found.conformer is None and found.reason == "its atoms are not those of 'CO'"


def automorphisms(bonded):
    """Return all permutations (k,n) that keep elements and bonds, by plain backtracking."""
    size, found, taken = len(bonded.numbers), [], []

    def extend():
        place = len(taken)
        if place == size:
            found.append(list(taken))
            return
        for atom in range(size):
            if atom in taken or bonded.numbers[atom] != bonded.numbers[place]:
                continue
            held = {taken.index(n) for n in bonded.neighbours[atom] if n in taken}
            if held == {n for n in bonded.neighbours[place] if n < place}:
                taken.append(atom)
                extend()
                taken.pop()

    extend()
    return np.array(found)


def least_deviation(images, reference):
    """Return the least RMSD of structures (k,n,3) after superposition, from singular values."""
    images = images - images.mean(axis=1, keepdims=True)
    reference = reference - reference.mean(axis=0)
    covariance = np.einsum("kni,nj->kij", images, reference)
    values = np.linalg.svd(covariance, compute_uv=False)
    values[:, 2] *= np.sign(np.linalg.det(covariance))
    squares = (images**2).sum(axis=(1, 2)) + (reference**2).sum() - 2 * values.sum(axis=1)
    return np.sqrt(squares.min() / len(reference))


@pytest.mark.parametrize(
    ("smiles", "seed"),
    [("CC(C)(C)C", 2), ("OCC(O)CO", 2), ("CCCC=O", 2), ("C=C(Br)OC", 2), ("CC(C)N(C)C", 2),
     ("CS(=O)(=O)C", 2), ("CCc1ccccc1", 2), ("C1CCCC1", 2), ("OCC(F)(F)F", 2), ("C[NH2+]C", 2),
     ("CC(C)OC", 9), ("CCCCC", 7), ("CCCCC", 10), ("CCOCC", 3)],
)  # fmt: skip
def test_no_other_pairing_lies_closer(smiles, seed):
    numbers, positions, bonds = structure(smiles)
    rng = np.random.default_rng(3)
    reference = structure(smiles, seed)[1] + rng.normal(scale=0.3, size=positions.shape)
    order = rng.permutation(len(numbers))
    other, reference = permuted(bonds, order), reference[order]
    pairings = automorphisms(bonds)[:, order]
    images = [positions, positions * [-1, 1, 1]]
    found = closest(bonds, images, other, reference)
    least = min(least_deviation(image[pairings], reference) for image in images)
    assert np.sqrt(((found - reference) ** 2).sum(axis=1).mean()) == pytest.approx(least, abs=2e-4)


@pytest.mark.parametrize("smiles", [s for s in MOLECULES if len(s) < 25 and "." not in s])
def test_a_conformer_follows_the_order_and_bonds_of_its_reference(smiles):
    numbers, positions, bonds = structure(smiles, seed=5)
    order = np.random.default_rng(0).permutation(len(numbers))
    found = embed_like(smiles, numbers[order], positions[order], seed=5)
    assert rmsd(found, positions[order]) < 1e-6
    found = embed_like(smiles, numbers[order], positions[order], seed=6)
    # Of another conformer, each atom is bonded to the atoms it should be bonded to.
    for atom, others in enumerate(permuted(bonds, order).neighbours):
        for other in others:
            near = np.linalg.norm(found[atom] - found[other])
            assert near == pytest.approx(
                np.linalg.norm(positions[order][atom] - positions[order][other]), abs=0.12
            )


def test_an_enantiomer_is_embedded_as_its_smiles_says_and_others_as_lies_closest():
    for smiles, nearest in (("NC(C)C(=O)O", 0.0), ("N[C@@H](C)C(=O)O", 0.3)):
        numbers, positions, _ = structure(smiles)
        assert rmsd(embed_like(smiles, numbers, positions, seed=1), positions) < 1e-6
        mirrored = positions * [1, 1, -1]
        found = rmsd(embed_like(smiles, numbers, mirrored, seed=1), mirrored)
        assert (found < 1e-6) if nearest == 0 else (found > nearest)


def test_a_reference_bonded_otherwise_has_no_conformer():
    numbers, positions, _ = structure("CCO")
    assert embed_like("COC", numbers, positions, seed=1) is None
    torn = positions.copy()
    torn[8] += [0.0, 0.0, 4.0]
    assert embed_like("CCO", numbers, torn, seed=1) is None
    # Same bonds and elements, in two molecules rather than one.
    assert embed_like("C=C.C", *structure("CC.[C]")[:2], seed=1) is None


def test_a_ring_that_lacks_a_bond_is_another_molecule():
    _, positions, bonds = structure("C1C2CC12")  # bicyclobutane
    one, other = (atom for atom in range(4) if len(bonds.neighbours[atom]) == 4 and sum(
        bonds.numbers[n] == 6 for n in bonds.neighbours[atom]) == 3)  # fmt: skip
    opened = [list(others) for others in bonds.neighbours]
    opened[one].remove(other)
    opened[other].remove(one)
    assert closest(bonds, [positions], bonds, positions) is not None
    assert closest(bonds, [positions], Bonded(bonds.numbers, opened), positions) is None


def test_what_is_no_molecule_has_no_conformer():
    for text in ("", "not smiles", "InChI=1S/nonsense"):
        assert embed_like(text, np.array([8, 1, 1]), np.eye(3), seed=1) is None


def test_inchi_serves_where_there_is_no_smiles():
    numbers, positions, _ = structure("CCO")
    found = embed_like("InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3", numbers, positions, seed=1)
    assert rmsd(found, positions) < 0.6 and found.shape == positions.shape


def test_a_small_ring_s_close_atoms_are_not_bonded():
    # Bicyclo[1.1.1]pentane: its bridgeheads are 1.87 Å apart.
    numbers, positions, _ = structure("C1C2CC1C2")
    assert embed_like("C1C2CC1C2", numbers, positions, seed=2) is not None


@pytest.mark.parametrize("smiles", ["CCO.CCO", "O.O.O", "[Na+].[Cl-]", "[He].[He]", "[Xe].C"])
def test_fragments_are_embedded_beside_each_other(smiles):
    molecule = embed(smiles, seed=1)
    positions = molecule.GetConformer().GetPositions()
    fragments = [positions[list(atoms)] for atoms in Chem.GetMolFrags(molecule)]
    for index, one in enumerate(fragments):
        others = np.concatenate(fragments[:index] + fragments[index + 1 :])
        nearest = np.linalg.norm(one[:, None] - others, axis=2).min()
        assert 3.0 - 1e-6 < nearest < 6.0


def test_ten_equal_branches_are_paired_without_trying_all_their_orders():
    rng = np.random.default_rng(0)
    around = rng.normal(size=(10, 3))
    around /= np.linalg.norm(around, axis=1)[:, None]
    positions = np.concatenate([np.zeros((1, 3)), 2.0 * around])
    star = Bonded([40, *[9] * 10], [list(range(1, 11)), *[[0]] * 10])
    reference = positions[np.concatenate([[0], 1 + rng.permutation(10)])]
    begun = time.process_time()
    found = closest(star, [positions], star, reference)
    np.testing.assert_allclose(found, reference, atol=1e-9)
    assert time.process_time() - begun < 5  # 3,628,800 orders take twenty seconds


@pytest.mark.parametrize("smiles", ["CC(=O)Nc1ccccc1", "C1CCCCCCCCCCC1", "CC(=O)[O-].[NH4+]"])
def test_a_conformer_is_what_rdkit_makes_where_it_is_told_a_seed_alone(smiles):
    theirs = Chem.AddHs(Chem.MolFromSmiles(smiles))
    ours = Chem.Mol(theirs)
    assert rdDistGeom.EmbedMolecule(theirs, randomSeed=11) == 0 and etkdg(ours, 11)
    both = [one.GetConformer().GetPositions() for one in (theirs, ours)]
    np.testing.assert_array_equal(*both)


def test_embedding_ends_in_time(monkeypatch):
    """RDKit is told when."""
    told = []
    real = rdDistGeom.EmbedMolecule
    monkeypatch.setattr(
        rdDistGeom, "EmbedMolecule", lambda one, how: told.append(how.timeout) or real(one, how)
    )
    assert embed("CCO", 1) is not None and told == [EMBED_SECONDS]


def test_a_seed_may_be_any_whole_number():
    ours, theirs = (embed("CCO", seed).GetConformer().GetPositions() for seed in (5, 2**31 + 5))
    np.testing.assert_array_equal(ours, theirs)


def test_a_list_of_smiles_tries_again_from_random_places(monkeypatch):
    tried = []
    monkeypatch.setattr(
        rdDistGeom, "EmbedMolecule", lambda _, how: tried.append(how.useRandomCoords) or -1
    )
    assert "no conformer of 'CCO'" in structure_of(("CCO", "ethanol", {}), 1).reason
    assert tried == [False, True]


@pytest.mark.parametrize("smiles", ["CC(=O)OCC", "OB(O)c1ccccc1", "CC(=O)[O-].[NH4+]", "C" * 40])
def test_a_smiles_has_one_conformer_whoever_asks(smiles):
    """A file that relaxes, and a molecule that is packed or predicted by its SMILES."""
    read = structure_of((smiles, "one", {}), 11)
    packed = embed(smiles, 11).GetConformer().GetPositions()
    np.testing.assert_array_equal(read.positions, packed)
