"""PCQM4Mv2: archives in its format, made of real molecules."""

import gzip
import hashlib
import io
import os
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from published_sdf import printed, record

from force2geo.datasets import pcqm4mv2
from force2geo.errors import UserError
from force2geo.training_data import registry

NAMES = ("0007", "0047", "0078", "0091", "0106", "0112", "0168", "0187")
COUNTS = {"train": 8, "valid": 1, "test-dev": 2, "test-challenge": 1}


@pytest.fixture(scope="module")
def real(shared_data):
    """Return numbers, positions and SMILES of eight relaxed molecules."""
    found = []
    for name in NAMES:
        with np.load(shared_data / f"dft_trajectories/{name}.npz") as one:
            found.append((one["z"], one["dft_pos"][-1], str(one["smiles"])))
    return found


@pytest.fixture
def archives(tmp_path, real, monkeypatch):
    """Return a function that writes the archives, of given records, lines and split."""
    monkeypatch.setattr(pcqm4mv2, "_COUNTS", COUNTS)

    def write(texts=None, lines=None, split=None, **entry):
        texts = [record(z, x) for z, x, _ in real] if texts is None else texts
        lines = table(real) if lines is None else lines
        with tarfile.open(tmp_path / "pcqm4m-v2-train.sdf.tar.gz", "w:gz") as archive:
            content = "".join(texts).encode()
            member = tarfile.TarInfo("pcqm4m-v2-train.sdf")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        with zipfile.ZipFile(tmp_path / "pcqm4m-v2.zip", "w") as archive:
            archive.writestr("pcqm4m-v2/RELEASE_v1.txt", "")
            packed = gzip.compress("\n".join(["idx,smiles,homolumogap", *lines, ""]).encode())
            archive.writestr("pcqm4m-v2/raw/data.csv.gz", packed)
            archive.writestr(
                "pcqm4m-v2/split_dict.pt", saved(published() if split is None else split)
            )
        for name in ("_ARCHIVE", "_STRUCTURES"):
            file = getattr(pcqm4mv2, name)
            digest = hashlib.md5((tmp_path / file.path).read_bytes()).hexdigest()
            monkeypatch.setattr(pcqm4mv2, name, file._replace(md5=digest))
        entry = {"validation": 2, "test": 1} | entry
        data = registry.build({"from": "pcqm4mv2", "folder": str(tmp_path)} | entry)
        data.check_files()
        return data

    return write


def table(real):
    """Return the rows: eight with a structure, one to validate on, three without gaps."""
    lines = [f"{row},{smiles},{5 + row / 10}" for row, (_, _, smiles) in enumerate(real)]
    return [*lines, "8,CCO,7.5", "9,CO,", "10,CN,", "11,CF,"]


def published():
    ends = np.cumsum([0, *COUNTS.values()])
    return {name: np.arange(*ends[n : n + 2]) for n, name in enumerate(COUNTS)}


def saved(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def test_molecules_are_those_with_a_structure(archives, real):
    data = archives()
    assert [file.path for file in data.files()] == ["pcqm4m-v2.zip", "pcqm4m-v2-train.sdf.tar.gz"]
    found = list(data.molecules())
    assert [one.name for one in found] == [f"pcqm4mv2-{row}" for row in range(8)]
    assert not data.notes
    for row, (one, (numbers, positions, smiles)) in enumerate(zip(found, real, strict=True)):
        np.testing.assert_array_equal(one.atomic_numbers, numbers)
        np.testing.assert_array_equal(one.geometries["dft"], printed(positions))
        assert one.targets == {"gap": pytest.approx(5 + row / 10)}
        assert one.smiles == smiles and (one.charge, one.multiplicity) == (0, 1)


def test_structures_follow_the_training_rows(archives, real):
    """Where these were not the first ones, records would belong to others."""
    lines = table(real)
    moved = [lines[8], *lines[:8], *lines[9:]]
    moved = [f"{row}," + line.split(",", 1)[1] for row, line in enumerate(moved)]
    split = published() | {"train": np.arange(1, 9)[::-1], "valid": np.array([0])}
    found = list(archives(lines=moved, split=split).molecules())
    assert [one.name for one in found] == [f"pcqm4mv2-{row}" for row in range(1, 9)]
    assert [one.smiles for one in found] == [smiles for _, _, smiles in real]
    tensors = {part: torch.as_tensor(rows.copy()) for part, rows in split.items()}
    again = list(archives(lines=moved, split=tensors).molecules())
    assert [one.name for one in again] == [one.name for one in found]


def test_published_validation_molecules_have_no_structure(archives):
    data = archives(published_validation=True, sample=6, validation=1)
    found = list(data.molecules())
    assert len(found) == 7
    ethanol = found[-1]
    assert ethanol.name == "pcqm4mv2-8" and ethanol.geometries == {}
    assert ethanol.atomic_numbers.tolist() == [6, 6, 8] + 6 * [1]
    assert ethanol.targets == {"gap": 7.5} and (ethanol.charge, ethanol.multiplicity) == (0, 1)
    splits = data.splits()
    assert splits["published"]["val"] == ["pcqm4mv2-8"] and splits["published"]["test"] == []
    assert splits["published"]["train"] == [one.name for one in found[:-1]]
    assert "pcqm4mv2-8" not in str(splits["random"])


def test_parts_are_drawn_by_the_seed(archives):
    data = archives(seed=3)
    names = {one.name for one in data.molecules()}
    split = data.splits()["random"]
    assert [len(split[part]) for part in ("train", "val", "test")] == [5, 2, 1]
    assert {name for part in split.values() for name in part} == names
    others = [archives(seed=seed).splits()["random"] for seed in range(4)]
    assert others[3] == split and len({str(one) for one in others}) > 1
    small = archives(seed=3, sample=5)
    assert len(list(small.molecules())) == 5
    drawn = small.splits()["random"]
    assert drawn["val"] == split["val"] and drawn["test"] == split["test"]
    assert len(drawn["train"]) == 2 and set(drawn["train"]) <= set(split["train"])


def test_bad_records_are_counted_and_in_no_part(archives, real):
    lines = table(real)
    lines[0] = "0,no smiles,5.0"
    lines[1] = lines[2].replace("2,", "1,", 1)  # another molecule's
    lines[3] = lines[3].rpartition(",")[0] + ","
    texts = [record(z, x) for z, x, _ in real]
    texts[4] = texts[4].replace("V2000", "V9999")
    data = archives(texts, lines)
    assert [one.name for one in data.molecules()] == [f"pcqm4mv2-{n}" for n in (2, 5, 6, 7)]
    assert sorted(data.notes) == [
        "1 molecules left out: RDKit cannot read it",
        "1 molecules left out: RDKit cannot read its SMILES",
        "1 molecules left out: its gap is no number",
        "1 molecules left out: its structure has other atoms than its SMILES",
    ]
    named = [name for part in data.splits()["random"].values() for name in part]
    assert sorted(named) == [f"pcqm4mv2-{n}" for n in (2, 5, 6, 7)]


class Evil:
    def __reduce__(self):
        return os.system, ("touch pickled-code-ran",)


def test_a_split_that_asks_for_code_runs_none(archives, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = archives(split={"train": Evil()})
    assert len(list(data.molecules())) == 8
    assert not (tmp_path / "pickled-code-ran").exists()
    assert len(data.notes) == 1 and "could not be read without running code" in data.notes[0]


def test_files_of_other_counts_are_refused(archives, real):
    texts = [record(z, x) for z, x, _ in real]
    for more, said in (
        ({"texts": texts[:-1]}, r"train\.sdf\.tar\.gz: has only 7, 8 molecules are published"),
        (
            {"texts": [*texts, texts[0]]},
            r"train\.sdf\.tar\.gz: has more, 8 molecules are published",
        ),
        ({"lines": table(real)[:-1]}, r"zip: 11 molecules in .*data\.csv\.gz, published are 12"),
        ({"lines": table(real)[1:]}, r"zip: not OGB's archive.*row 0 has the index '1'"),
        ({"split": published() | {"valid": np.arange(3)}}, "3 molecules in valid, published are 1"),
    ):
        with pytest.raises(UserError, match=said):
            list(archives(**more).molecules())


def test_what_is_no_archive_is_named(archives, tmp_path):
    data = archives()
    for name, kind in (("pcqm4m-v2-train.sdf.tar.gz", "structures"), ("pcqm4m-v2.zip", "archive")):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-700])
        with pytest.raises(UserError, match=f"{name}: not OGB's {kind}"):
            list(data.molecules())
        with pytest.raises(UserError, match=f"{name}: another MD5 than the published"):
            data.check_files()


def test_something_is_left_to_train_on():
    entry = {"from": "pcqm4mv2", "folder": "x", "sample": 20_000}
    with pytest.raises(UserError, match="of 20000 molecules none is left to train on"):
        registry.build(entry)


def test_published_counts_add_up():
    assert sum(pcqm4mv2._COUNTS.values()) == 3_746_620 and pcqm4mv2._COUNTS["train"] == 3_378_606
