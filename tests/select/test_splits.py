"""Diversity picking, splits by molecule, and what pretraining must not see."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem, DataStructs
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator

from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.select.leakage import read_test_sets
from force2geo.select.maxmin import maxmin, pick_d_opt
from force2geo.select.splits import (
    COLUMNS,
    choose_subset,
    ineligible,
    pretraining_split,
    random_split,
    scaffold_split,
    select,
)

SMILES = ["C", "CC", "CCO", "c1ccccc1", "CC(=O)O", "CCN", "C1CC1", "c1ccncc1", "CCCC", "OCCO"]
MOLECULES = [Chem.MolFromSmiles(smiles) for smiles in SMILES]
PARTS = {"train": 0.8, "val": 0.1, "test": 0.1}
SETTINGS = {
    "seed": 5, "subset_size": 40, "subset_snapshots": None, "fractions": PARTS,
}  # fmt: skip


def test_maxmin_picks_the_farthest_each_time():
    generator = GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(Chem.MolFromSmiles(s)) for s in SMILES]
    picked = maxmin(MOLECULES, 6, 4)
    assert picked[0] == 4 and len(set(picked)) == 6
    for place in range(1, 6):
        rest = [i for i in range(len(SMILES)) if i not in picked[:place]]
        nearest = {
            i: max(DataStructs.TanimotoSimilarity(prints[i], prints[j]) for j in picked[:place])
            for i in rest
        }
        assert nearest[picked[place]] == min(nearest.values())


def test_the_first_of_d_opt_depends_on_the_seed(index):
    """Each of four test molecules is the first as often as chance has it, and is a readable one."""
    index["smiles"] = [s if n % 2 else "C((" for n, s in enumerate(index["smiles"])]
    ranks = []
    for seed in range(60):
        selection = select(index, SETTINGS | {"seed": seed})
        readable = [cid for cid in selection["random"]["test"] if int(cid) % 2]
        if readable:
            ranks.append(readable.index(selection["d_opt_first"]) / len(readable))
        else:
            assert selection["d_opt_first"] is None
    assert len(ranks) > 40 and 0.15 < np.mean(ranks) < 0.4  # of halves, thirds and quarters


@pytest.fixture
def index():
    rng = np.random.default_rng(1)
    rows = []
    for number in range(60):
        smiles = SMILES[number % len(SMILES)] + "C" * (number // len(SMILES))
        rows.append({
            "cid": f"{number:09d}", "smiles": smiles, "inchi": "", "charge": 0,
            "multiplicity": 1, "gap": rng.uniform(3, 9),
            "inchikey": f"KEY{number % 50:011d}-A", "scaffold": f"s{number % 13}" * (number % 3),
            "dft_1st_steps": 5 if number < 50 else 0, "dft_converged": True,
        })  # fmt: skip
    return pd.DataFrame(rows)


def test_selection_is_by_molecule_and_reproducible(index):
    one, two = select(index, SETTINGS), select(index, SETTINGS)
    assert one == two and len(one["subset"]) == 40
    for name in ("random", "scaffold"):
        parts = [set(one[name][part]) for part in ("train", "val", "test")]
        assert set.union(*parts) == set(one["subset"])
        assert sum(map(len, parts)) == 40 and all(parts)
    assert select(index, SETTINGS | {"seed": 6})["hash"] != one["hash"]


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
    free = select(index, SETTINGS)
    train = free["pretrain"]["train"]
    key = index.set_index("cid")["inchikey"][train[0]][:14]
    guarded = select(index, SETTINGS, frozenset([key]))
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


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("dft_converged", False, "no DFT stage converged"),
        ("dft_converged", None, "no DFT stage converged"),
        ("gap", np.nan, "no orbital energies, so no gap"),
        ("dft_1st_steps", 0, "no first DFT stage"),
        ("inchikey", "", "no readable SMILES or InChI"),
        ("scaffold", None, "no readable SMILES or InChI"),
    ],
)
def test_what_cannot_be_in_the_subset_is_not_and_the_reason_is_counted(
    index, column, value, reason
):
    index = index.iloc[:30].copy()
    index[column] = index[column].astype(object)
    index.loc[3:6, column] = value
    bad = set(index["cid"][3:7])
    result = select(index, SETTINGS | {"subset_size": None})
    assert set(result["subset"]) == set(index["cid"]) - bad
    for name in ("random", "scaffold"):
        assert not bad & {cid for part in result[name].values() for cid in part}
    assert result["counts"]["ineligible"] == {reason: 4} and result["counts"]["eligible"] == 26
    assert set(ineligible(index)[3:7]) == {reason} and (ineligible(index)[7:] == "").all()


def test_without_identifiers_nothing_is_eligible_and_the_error_says_so(index):
    index["smiles"], index["inchikey"], index["scaffold"] = "", "", None
    with pytest.raises(UserError, match=r"50 have no readable SMILES or InChI.*raw\.identifiers"):
        select(index, SETTINGS)


def test_one_bad_smiles_stops_nothing(index):
    """With a key from its InChI a molecule is eligible, but has no fingerprint."""
    index.loc[:45, "smiles"] = "C(("
    settings_ = SETTINGS | {"subset_size": None}
    seeds = range(40)
    picked = set()
    for seed in seeds:
        result = select(index, settings_ | {"seed": seed})
        try:
            d_opt = pick_d_opt(index, result, 1)
        except UserError as error:
            assert "the test set has 0 readable ones" in str(error)
            continue
        picked |= set(d_opt)
        assert set(d_opt) <= set(result["random"]["test"])
    assert picked and picked <= set(index["cid"][46:50])


def test_molecules_that_only_have_an_inchi_are_picked(index):
    index["inchi"] = [Chem.MolToInchi(Chem.MolFromSmiles(s)) for s in index["smiles"]]
    expected = pick_d_opt(index, select(index, SETTINGS), 3)
    index["smiles"] = ""
    assert pick_d_opt(index, select(index, SETTINGS), 3) == expected


def test_d_opt_is_what_it_was_and_a_larger_one_begins_with_it(index):
    selection = select(index, SETTINGS)
    # Picked by the version that drew and picked in one go.
    assert pick_d_opt(index, selection, 3) == ["000000011", "000000004", "000000009"]
    assert pick_d_opt(index, selection, 4)[:3] == ["000000011", "000000004", "000000009"]
    chains = [Chem.MolFromSmiles("C" * n + "O" * (n % 3) + "N" * (n % 2)) for n in range(1, 60)]
    whole = maxmin(chains, 40, 17)
    assert all(maxmin(chains, count, 17) == whole[:count] for count in range(1, 40))


def test_the_command_picks_d_opt(index, tmp_path, capsys):
    index.to_parquet(tmp_path / "i.parquet")
    (tmp_path / "s.json").write_text(json.dumps(select(index, SETTINGS)))

    def call(size):
        (tmp_path / "d_opt.json").write_text(json.dumps({"size": size}))
        files = ["--selection", tmp_path / "s.json", "--index", tmp_path / "i.parquet"]
        command = ["d-opt", "--settings", tmp_path / "d_opt.json", *files]
        return main([*map(str, command), "--out", str(tmp_path / "o.json")])

    assert call(3) == 0
    found = json.loads((tmp_path / "o.json").read_text())
    assert found["d_opt"] == ["000000011", "000000004", "000000009"]
    assert call(5) == 2
    assert "select.d_opt_size: 5 asked for, the test set has 4" in capsys.readouterr().err
    (tmp_path / "s.json").write_text(json.dumps({"random": {"test": []}}))
    assert call(1) == 2 and "s.json: not a selection of this version" in capsys.readouterr().err


@pytest.mark.parametrize(
    "fractions",
    [
        {"train": 0.6, "val": 0.5, "test": 0.6}, {"train": 0.8, "val": 0.1, "test": 0.2},
        {"train": 0.5, "val": 0.1, "test": 0.1}, {"train": 1.0, "val": 0.0, "test": 0.0},
        {"train": 1.2, "val": -0.3, "test": 0.1}, {"train": 0.9, "test": 0.1},
        {"train": float("nan"), "val": 0.1, "test": 0.1}, {"train": "0.8", "val": 0.1, "test": 0.1},
    ],
)  # fmt: skip
def test_fractions_that_are_no_parts_of_one_whole_are_refused(index, fractions):
    with pytest.raises(UserError, match=r"select\.fractions.*add up to 1"):
        select(index, SETTINGS | {"fractions": fractions})


def test_a_split_part_that_is_empty_is_an_error(index):
    index["scaffold"] = ["a", "b"] * 30
    with pytest.raises(UserError, match="scaffold split of 40 molecules with 2 scaffolds leaves"):
        select(index, SETTINGS)
    # Nobody asked for it: the others are made, and it is not there.
    result = select(index, SETTINGS | {"splits": ["random"]})
    assert "scaffold" not in result and len(result["random"]["test"]) == 4
    with pytest.raises(UserError, match="leaves train empty"):
        select(
            index,
            SETTINGS
            | {"subset_size": 3, "fractions": {"train": 0.1, "val": 0.45, "test": 0.45}}
            | {"subset_size": 4},
        )


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([10, 1, 1], (10, 1, 1)),
        ([1, 1, 1, 1, 1], (3, 1, 1)),
        ([5, 2, 1, 1, 1], (8, 1, 1)),
        ([2, 2, 2, 2, 2], (6, 2, 2)),
        ([30, 20, 10, 10, 10, 10, 5, 3, 2], (80, 10, 10)),
        ([97, 1, 1, 1], (97, 1, 2)),
    ],
)
def test_scaffold_split_fills_its_parts_common_scaffolds_first(sizes, expected):
    rows = [
        {"cid": f"{place:04d}{i:05d}", "scaffold": f"s{place}"}
        for place, size in enumerate(sizes)
        for i in range(size)
    ]
    molecules = pd.DataFrame(rows).sample(frac=1.0, random_state=1)
    split = scaffold_split(molecules, PARTS)
    assert tuple(map(len, split.values())) == expected
    assert sorted(itertools.chain(*split.values())) == sorted(molecules["cid"])
    # The largest go to training.
    groups = {part: {cid[:4] for cid in cids} for part, cids in split.items()}
    assert max(groups["train"]) < min(groups["val"] | groups["test"])


def test_pretraining_is_kept_from_every_downstream_test_set(index):
    """Worked out by hand from the splits: no validation or test molecule, no skeleton of one."""
    result = select(index, SETTINGS)
    train = set(result["pretrain"]["train"])
    outside = {
        cid
        for name in ("random", "scaffold")
        for part in ("val", "test")
        for cid in result[name][part]
    }
    assert outside - set(result["random"]["val"] + result["random"]["test"])  # scaffold adds some
    keys = dict(zip(index["cid"], index["inchikey"].str[:14], strict=True))
    banned = {keys[cid] for cid in outside}
    assert train == {cid for cid in index["cid"] if keys[cid] not in banned}
    assert result["pretrain"]["val"] == result["random"]["val"] != result["random"]["train"]
    assert result["pretrain"]["test"] == result["random"]["test"]
    for name in ("random", "scaffold"):
        parts = [set(result[name][part]) for part in ("train", "val", "test")]
        assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]
    assert not train & (set(result["pretrain"]["val"]) | set(result["pretrain"]["test"]))


def test_molecules_without_a_key_stay_out_of_pretraining(index):
    index.loc[55:, "inchikey"] = ""
    train = select(index, SETTINGS)["pretrain"]["train"]
    assert train and not set(train) & set(index["cid"][55:])


def test_charged_molecules_are_counted(index):
    index.loc[10:14, "charge"] = -1
    index.loc[14:16, "multiplicity"] = 2
    counts = select(index, SETTINGS | {"subset_size": None})["counts"]
    assert counts["subset_charged_or_open_shell"] == 7


def test_a_fingerprint_sees_two_bonds_far():
    """Of long chains, where other radii give other distances, each pick is the farthest."""
    rng = np.random.default_rng(11)
    chains = ["".join(rng.choice(list("CCCNO"), 9)) for _ in range(40)]
    molecules = [Chem.MolFromSmiles(chain) for chain in chains]

    def shortfall(picked, radius):
        """How much nearer than the farthest the picks are, at most."""
        generator = GetMorganGenerator(radius=radius, fpSize=2048)
        prints = [generator.GetFingerprint(molecule) for molecule in molecules]
        nearest, worst = np.full(len(prints), 2.0), 0.0
        for place, pick in enumerate(picked):
            if place:
                worst = max(worst, nearest.max() - nearest[pick])
            similar = DataStructs.BulkTanimotoSimilarity(prints[pick], prints)
            nearest = np.minimum(nearest, 1 - np.array(similar))
        return worst

    found = maxmin([*molecules, None], 10, 33)
    assert len(set(found)) == 10
    assert shortfall(found, 2) < 1e-9 < 1e-3 < min(shortfall(found, 1), shortfall(found, 3))


def test_unreadable_molecules_are_never_picked():
    molecules = [None, *MOLECULES, None]
    for first in range(1, len(MOLECULES) + 1):
        picked = maxmin(molecules, len(MOLECULES), first)
        assert picked[0] == first and sorted(picked) == list(range(1, len(MOLECULES) + 1))


def test_test_sets_in_other_encodings_and_empty_lines(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes("name,smiles\nMéthanol,CO\n".encode("latin-1"))
    assert read_test_sets([path]) == {"OKKJLVBELUTLKV"}
    path.write_text("name,smiles\nnothing,\n")
    with pytest.raises(UserError, match="line 2: no readable molecule"):
        read_test_sets([path])


def test_the_command_reads_the_index_and_writes_the_selection(index, tmp_path, capsys):
    index[list(COLUMNS)].assign(other=1).to_parquet(tmp_path / "index.parquet")
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS | {"test_sets": []}))
    assert main([
        "select", "--settings", str(tmp_path / "settings.json"), "--index",
        str(tmp_path / "index.parquet"), "--out", str(tmp_path / "selection.json"),
    ]) == 0  # fmt: skip
    written = json.loads((tmp_path / "selection.json").read_text())
    assert written == json.loads(json.dumps(select(index, SETTINGS)))
    assert json.loads(capsys.readouterr().out)["eligible"] == 50


@pytest.mark.parametrize(
    ("count", "sizes"), [(40, [32, 4, 4]), (10, [8, 1, 1]), (26, [20, 3, 3]), (4, [2, 1, 1])]
)
def test_a_random_split_has_the_parts_asked_for(count, sizes):
    cids = [f"{i:09d}" for i in range(count)]
    split = random_split(cids, PARTS, np.random.default_rng(2))
    assert [len(split[part]) for part in ("train", "val", "test")] == sizes
    assert sorted(itertools.chain(*split.values())) == cids
    assert count < 10 or split["train"] != cids[: sizes[0]]


def test_the_counts_are_those_of_the_lists(index):
    index["dft_1st_steps"] = [3 + 7 * k % 11 if k < 50 else 0 for k in range(60)]
    index.loc[[2, 5], "gap"] = np.nan
    found = select(index, SETTINGS | {"subset_snapshots": None}, frozenset(["KEY00000000007"]))
    steps = dict(zip(index["cid"], index["dft_1st_steps"], strict=True))
    used = {*found["pretrain"]["train"], *found["random"]["val"], *found["random"]["test"]}
    assert found["counts"] == {
        "molecules": 60, "eligible": 48, "subset": 40, "subset_charged_or_open_shell": 0,
        "ineligible": {"no first DFT stage": 10, "no orbital energies, so no gap": 2},
        "subset_snapshots": sum(steps[cid] for cid in found["subset"]),
        "subset_snapshots_wanted": None, "pretrain": len(found["pretrain"]["train"]),
        "kept_from_pretraining": sum(cid not in used for cid in index["cid"]),
        "test_set_skeletons": 1,
    }  # fmt: skip
    assert found["counts"]["subset_snapshots"] > 40 * 3
    assert found["counts"]["kept_from_pretraining"] > 2
