"""Diversity picking, splits, superposition and conformers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem, DataStructs
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from scipy.spatial.transform import Rotation

from force2geo.errors import UserError
from force2geo.select.embed import embed_like
from force2geo.select.leakage import read_test_sets
from force2geo.select.maxmin import maxmin
from force2geo.select.splits import choose_subset, pretraining_split, scaffold_split, select
from force2geo.select.superpose import rmsd, superpose

SMILES = ["C", "CC", "CCO", "c1ccccc1", "CC(=O)O", "CCN", "C1CC1", "c1ccncc1", "CCCC", "OCCO"]


def test_maxmin_picks_the_farthest_each_time():
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in SMILES]
    picked = maxmin(SMILES, 6, np.random.default_rng(3))
    assert len(set(picked)) == 6
    for place in range(1, 6):
        rest = [i for i in range(len(SMILES)) if i not in picked[:place]]
        nearest = {
            i: max(DataStructs.TanimotoSimilarity(prints[i], prints[j]) for j in picked[:place])
            for i in rest
        }
        assert nearest[picked[place]] == min(nearest.values())


def test_maxmin_start_depends_on_the_seed():
    firsts = {maxmin(SMILES, 2, np.random.default_rng(seed))[0] for seed in range(30)}
    assert len(firsts) > 3
    with pytest.raises(UserError, match="d_opt_size"):
        maxmin(SMILES, 11, np.random.default_rng(0))


@pytest.fixture
def index():
    rng = np.random.default_rng(1)
    rows = []
    for number in range(60):
        smiles = SMILES[number % len(SMILES)] + "C" * (number // len(SMILES))
        rows.append({
            "cid": f"{number:09d}", "smiles": smiles, "gap": rng.uniform(3, 9),
            "inchikey": f"KEY{number % 50:011d}-A", "scaffold": f"s{number % 13}" * (number % 3),
            "dft_1st_steps": 5 if number < 50 else 0, "dft_converged": 1,
        })  # fmt: skip
    return pd.DataFrame(rows)


def test_selection_is_by_molecule_and_reproducible(index):
    settings_ = {
        "seed": 5, "subset_size": 40, "subset_snapshots": None, "d_opt_size": 3,
        "fractions": {"train": 0.8, "val": 0.1, "test": 0.1},
    }  # fmt: skip
    one, two = select(index, settings_), select(index, settings_)
    assert one == two and len(one["subset"]) == 40
    for name in ("random", "scaffold"):
        parts = [set(one[name][part]) for part in ("train", "val", "test")]
        assert set.union(*parts) == set(one["subset"])
        assert sum(map(len, parts)) == 40 and all(parts)
    assert set(one["d_opt"]) <= set(one["random"]["test"]) and len(set(one["d_opt"])) == 3
    assert select(index, settings_ | {"seed": 6})["hash"] != one["hash"]


def test_no_scaffold_in_two_parts(index):
    split = scaffold_split(index, {"train": 0.8, "val": 0.1, "test": 0.1})
    scaffold = index.set_index("cid")["scaffold"]
    parts = {part: {scaffold[cid] for cid in cids} for part, cids in split.items()}
    assert not parts["train"] & parts["val"] and not parts["train"] & parts["test"]
    assert not parts["val"] & parts["test"]


def test_pretraining_never_sees_downstream_molecules_or_their_skeletons(index):
    held = {"train": [], "val": ["000000003"], "test": ["000000004"]}
    other = {"train": [], "val": ["000000005"], "test": []}
    split = pretraining_split(index, [held, other], held)
    # 53, 54 and 55 share the InChIKey skeletons of 3, 4 and 5.
    banned = {f"{n:09d}" for n in (3, 4, 5, 53, 54, 55)}
    assert not banned & set(split["train"]) and len(split["train"]) == 60 - 6
    assert split["val"] == held["val"] and split["test"] == held["test"]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31), st.integers(3, 30))
def test_superposition_undoes_rigid_motion(seed, atoms):
    rng = np.random.default_rng(seed)
    fixed = rng.normal(size=(atoms, 3))
    moved = fixed @ Rotation.random(random_state=seed).as_matrix() + rng.normal(size=3)
    np.testing.assert_allclose(superpose(moved, fixed), fixed, atol=1e-9)
    noisy = moved + 0.1 * rng.normal(size=moved.shape)
    assert rmsd(noisy, fixed) <= np.sqrt(((noisy - fixed) ** 2).sum(axis=1).mean()) + 1e-12


def test_mirror_image_is_not_superposed():
    chiral = np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 3.0]])
    assert rmsd(chiral * [-1, 1, 1], chiral) > 0.3


def test_conformer_follows_the_reference_atom_order(ethanol):
    numbers, positions = ethanol
    shuffle = np.random.default_rng(0).permutation(len(numbers))
    found = embed_like("CCO", numbers[shuffle], positions[shuffle], seed=1)
    assert found is not None
    reference = np.linalg.norm(positions[shuffle][:, None] - positions[shuffle], axis=2)
    distances = np.linalg.norm(found[:, None] - found, axis=2)
    bonded = (reference > 0) & (reference < 1.2)
    assert np.abs(distances - reference)[bonded].max() < 0.15


def test_conformer_of_another_molecule_is_refused(ethanol):
    assert embed_like("CCN", *ethanol, seed=1) is None
    assert embed_like("not smiles", *ethanol, seed=1) is None


def test_subset_has_the_molecules_and_snapshots_asked_for():
    rng = np.random.default_rng(0)
    steps = rng.geometric(1 / 30.4, 50_000)  # the mean of the published first DFT stage
    # PubChemQCR-S takes 36.7 snapshots a molecule where the whole set has 30.4.
    for size, wanted in ((590, 21_653), (590, 15_000), (20_000, 734_200)):
        chosen = choose_subset(steps, size, wanted, np.random.default_rng(1))
        assert len(set(chosen.tolist())) == size and steps[chosen].sum() == wanted
    again = choose_subset(steps, 590, 21_653, np.random.default_rng(1))
    first = choose_subset(steps, 590, 21_653, np.random.default_rng(1))
    np.testing.assert_array_equal(first, again)
    # What cannot be had is approached as far as it goes.
    most = choose_subset(steps[:100], 10, 10**9, np.random.default_rng(1))
    assert steps[most].sum() == np.sort(steps[:100])[-10:].sum()


def test_other_test_sets_are_kept_out_of_pretraining(index, tmp_path):
    (tmp_path / "molecule3d.csv").write_text("smiles\nCCO\n")
    (tmp_path / "other.csv").write_text("inchi,note\nInChI=1S/H2O/h1H2,water\n")
    keys = read_test_sets([tmp_path / "molecule3d.csv", tmp_path / "other.csv"])
    assert keys == {"LFQSCWFLJHTTHZ", "XLYOFNOQVPJJNP"}
    settings_ = {
        "seed": 5, "subset_size": 40, "subset_snapshots": None, "d_opt_size": 3,
        "fractions": {"train": 0.8, "val": 0.1, "test": 0.1},
    }  # fmt: skip
    free = select(index, settings_)
    train = free["pretrain"]["train"]
    key = index.set_index("cid")["inchikey"][train[0]][:14]
    guarded = select(index, settings_, frozenset([key]))
    skeletons = index.set_index("cid")["inchikey"].str.slice(0, 14)
    assert key not in set(skeletons[guarded["pretrain"]["train"]])
    assert len(guarded["pretrain"]["train"]) < len(train)
    assert guarded["counts"]["test_set_skeletons"] == 1
    (tmp_path / "bad.csv").write_text("smiles\nC(\n")
    with pytest.raises(UserError, match="line 2"):
        read_test_sets([tmp_path / "bad.csv"])
    (tmp_path / "none.csv").write_text("name\nx\n")
    with pytest.raises(UserError, match="needs a column"):
        read_test_sets([tmp_path / "none.csv"])
