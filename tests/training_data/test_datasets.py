"""Data sets: what their files say, and what is said of files that are missing or others."""

import gzip
import hashlib
import json
import shutil
import sys

import h5py
import numpy as np
import pytest

from force2geo.cli import main
from force2geo.datasets import rmd17
from force2geo.errors import UserError
from force2geo.training_data import registry
from force2geo.training_data.dataset import File

OWN = '''"""A foreign data set: springs of two atoms about 0.74 Å."""
from dataclasses import dataclass
import numpy as np
from force2geo.settings import setting
from force2geo.training_data.dataset import About, DataSet, Frames, Molecule

@dataclass(frozen=True)
class SpringsSettings:
    stiffness: float = setting("eV/Å^2", 20.0)

class Springs(DataSet):
    Settings = SpringsSettings
    kinds = ("snapshots", "molecules")
    units = {"gap": "eV"}
    about = About("springs", "springs", "nobody", "none", "nowhere")

    def files(self):
        return []

    def read_from(self):
        return []

    def snapshots(self):
        for part, length in (("train", 0.8), ("val", 0.7), ("test", 0.9)):
            positions = np.array([[[0, 0, 0], [0, 0, length]]])
            slope = self.settings.stiffness * (length - 0.74)
            forces = np.array([[[0, 0, slope], [0, 0, -slope]]])
            energy = np.array([0.5 * self.settings.stiffness * (length - 0.74) ** 2])
            yield Frames("h2", np.array([1, 1]), positions, energy, forces, part, "springs")

    def molecules(self):
        geometry = np.array([[0, 0, 0], [0, 0, 0.74]])
        found = {"dft": geometry}, {"gap": 10.0}, "[H][H]"
        yield Molecule("dihydrogen one", np.array([1, 1]), *found)

DATASET = Springs
'''


@pytest.fixture
def springs(tmp_path, monkeypatch):
    (tmp_path / "springs_set.py").write_text(OWN)
    info = tmp_path / "springs_set-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: springs-set\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[force2geo.datasets]\nsprings = springs_set:Springs\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("springs_set", None)


def written(folder, entry):
    (folder / "entry.json").write_text(json.dumps(entry))
    out = folder / "out.h5"
    assert main(["data", "--settings", str(folder / "entry.json"), "--out", str(out)]) == 0
    with h5py.File(out) as file:
        columns = {}
        file.visititems(
            lambda name, item: (
                columns.update({name: item[:]}) if isinstance(item, h5py.Dataset) else None
            )
        )
        return columns, dict(file.attrs)


def test_another_package_s_data_set_is_packed_both_ways(springs, capsys):
    assert main(["datasets"]) == 0
    assert "springs: springs, springs; snapshots or molecules" in capsys.readouterr().out
    columns, attributes = written(springs, {"from": "springs", "stiffness": 10.0})
    np.testing.assert_allclose(columns["energy"], [5 * 0.06**2, 5 * 0.04**2, 5 * 0.16**2])
    np.testing.assert_allclose(
        columns["forces"][:, 2], [0.6, -0.6, -0.4, 0.4, 1.6, -1.6], rtol=1e-6
    )
    assert columns["split"].tolist() == [0, 1, 2] and columns["cid"].tolist() == 3 * [b"h2"]
    assert list(attributes["packed_levels"]) == ["springs"]
    columns, _ = written(springs, {"from": "springs", "as": "molecules", "seed": 3})
    # A name is not cut to the length of a CID.
    assert columns["cid"].tolist() == [b"dihydrogen one"] and columns["ptr"].tolist() == [0, 2]
    np.testing.assert_allclose(columns["geometry/dft"], [[0, 0, 0], [0, 0, 0.74]])
    embedded = columns["geometry/rdkit"]
    assert 0.6 < np.linalg.norm(embedded[1] - embedded[0]) < 0.9
    assert "geometry/hf" not in columns  # it has none


def test_a_foreign_set_s_settings_are_checked_by_name(springs):
    with pytest.raises(UserError, match="data set springs: it takes no 'stifness'"):
        registry.build({"from": "springs", "stifness": 1.0})


@pytest.fixture
def frames(tmp_path, monkeypatch):
    """Write two files in rMD17's format, of water; return its folder and energies."""
    rng = np.random.default_rng(0)
    listed = {}
    energies = {"train": -76.0 + rng.normal(size=1000), "test": -77.0 + rng.normal(size=1000)}
    for part, values in energies.items():
        lines = []
        for number, energy in enumerate(values):
            lines += [
                "3",
                f'Lattice="50.0 0.0 0.0" Properties=species:S:1 Energy={float(energy)!r}',
            ]
            lines += [
                f"{symbol}\t{number}.5\t0.0\t{k}.25\t0.125\t-{number}.75\t{k}.0"
                for k, symbol in enumerate("OHH")
            ]
        content = gzip.compress("\n".join(lines).encode() + b"\n", mtime=0)
        (tmp_path / f"water_{part}_01.xyz.gz").write_bytes(content)
        listed[part] = (len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(rmd17, "_FILES", {"water": (listed["train"], listed["test"])})
    return tmp_path, energies


def test_frames_are_cut_into_parts_that_do_not_meet(frames):
    folder, energies = frames
    entry = {"from": "rmd17", "folder": str(folder), "molecules": ["water"]}
    columns, _ = written(folder, entry | {"train": 30, "validation": 20, "test": 10})
    train, test = energies["train"], energies["test"]
    np.testing.assert_array_equal(
        columns["energy"], np.concatenate([train[:30], train[-20:], test[:10]])
    )
    assert columns["split"].tolist() == 30 * [0] + 20 * [1] + 10 * [2]
    last = columns["positions"].reshape(-1, 3, 3)[49], columns["forces"].reshape(-1, 3, 3)[49]
    np.testing.assert_array_equal(last[0][:, 0], np.float32([999.5] * 3))
    np.testing.assert_array_equal(last[0][:, 2], np.float32([0.25, 1.25, 2.25]))
    np.testing.assert_array_equal(last[1][:, 1], np.float32([-999.75] * 3))
    assert columns["atomic_numbers"][:3].tolist() == [8, 1, 1]


def test_a_file_that_is_missing_cut_or_another_is_named(frames, capsys):
    folder, _ = frames
    entry = {"from": "rmd17", "folder": str(folder), "molecules": ["water"]}
    (folder / "e.json").write_text(json.dumps(entry))
    call = ["data", "--settings", str(folder / "e.json"), "--out", str(folder / "o.h5")]
    path = folder / "water_test_01.xyz.gz"
    good = path.read_bytes()
    for content, said in (
        (None, f"no such file; rMD17 is to be had from {rmd17.DATASET.about.source}, put water"),
        (good[:-1], f"{len(good) - 1} bytes, published are {len(good)}"),
        (good[:-1] + b"\1", "another SHA-256 than the published file's"),
    ):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        assert main(call) == 2
        error = capsys.readouterr().err
        assert f"{path}: {said}" in error and error.count("\n") == 1
        path.write_bytes(good)
    assert not (folder / "o.h5").exists()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"from": "rmd17", "folder": "x", "molecules": ["water"]}, "no molecule 'water', only"),
        ({"from": "rmd17", "folder": "x", "train": 960}, "more than 1000 frames"),
        ({"from": "rmd17"}, "'folder' is missing"),
        ({"from": "qm99"}, "data set: unknown name 'qm99', choose one of .*pubchemqcr"),
    ],
)
def test_settings_that_cannot_be_are_said(entry, said):
    with pytest.raises(UserError, match=said):
        registry.build(entry)


def test_the_store_is_asked_for_where_a_set_needs_it(tmp_path, capsys):
    for entry, more, said in (
        ({"from": "pubchemqcr"}, [], "--store: data set pubchemqcr needs it"),
        ({"from": "rmd17", "folder": "x"}, ["--store", "s"], "--store: data set rmd17 takes no it"),
        ({"folder": "x"}, [], "'from' is missing"),
    ):
        (tmp_path / "e.json").write_text(json.dumps(entry))
        call = ["data", "--settings", str(tmp_path / "e.json"), *more, "--out", "o.h5"]
        assert main(call) == 2
        assert said.replace("takes no it", "takes no") in capsys.readouterr().err


def test_names_longer_than_a_file_holds_are_refused(tmp_path):
    from force2geo.training_data.packed import PackedWriter

    writer = PackedWriter(tmp_path / "x.h5", ["a"])
    one = np.zeros((1, 1, 3))
    writer.add("x" * 16, np.array([1]), one, np.zeros(1), one, "a", "train")
    with pytest.raises(UserError, match="more than 16 bytes"):
        writer.add("x" * 17, np.array([1]), one, np.zeros(1), one, "a", "train")


def test_the_published_files_are_those(shared_data, tmp_path):
    """The first and last frames of ethanol, as `zcat` prints them; eV and eV/Å."""
    folder = shared_data.whole("rmd17")
    data = registry.build({"from": "rmd17", "folder": str(folder)})
    data.check_files()
    assert [file.path for file in data.files()][:2] == [
        "aspirin_train_01.xyz.gz", "aspirin_test_01.xyz.gz",
    ]  # fmt: skip
    ethanol = registry.build({"from": "rmd17", "folder": str(folder), "molecules": ["ethanol"]})
    parts = {frames.part: frames for frames in ethanol.snapshots()}
    assert [len(parts[part].energies) for part in ("train", "val", "test")] == [950, 50, 1000]
    train, test = parts["train"], parts["test"]
    assert train.energies[0] == -4209.783455217897
    assert parts["val"].energies[0] == -4209.679257081994  # the 951st of the file
    assert train.positions[0, 0].tolist() == [-0.17406277, -0.48797864, 0.0185579]
    assert train.forces[0, 1].tolist() == [
        1.4691521838809332, 0.02024172923865383, -0.06583468952871277,
    ]  # fmt: skip
    assert train.atomic_numbers.tolist() == [6, 6, 8, 1, 1, 1, 1, 1, 1]
    # No net force: they are a molecule's.
    assert np.abs(test.forces.sum(axis=1)).max() < 1e-3
    shutil.copy(folder / "ethanol_train_01.xyz.gz", tmp_path)
    with pytest.raises(UserError, match="ethanol_test_01"):
        registry.build(
            {"from": "rmd17", "folder": str(tmp_path), "molecules": ["ethanol"]}
        ).check_files()


def test_every_data_set_says_what_it_is():
    for name in registry.names():
        found = registry.find(name)
        texts = (found.about.title, found.about.level, found.about.citation, found.about.licence)
        assert all(texts) and found.about.source and found.kinds
        assert set(found.kinds) <= {"snapshots", "molecules"}
        assert bool(found.units) is ("molecules" in found.kinds)


def test_what_to_download_is_listed(capsys):
    for name, said in (
        ("rmd17", "file aspirin_test_01.xyz.gz: bytes 942814, SHA-256 e424e8e5763ce269"),
        ("pcqm4mv2", "file pcqm4m-v2-train.sdf.tar.gz: MD5 fd72bce606e7ddf36c2a832badeec6ab"),
        ("molecule3d", "file properties.csv: size and checksum are not published"),
        ("nabladft", "file train_100k_v2_formation_energy_w_forces.db: MD5 2f8c2fc98bee9274c"),
    ):
        assert main(["datasets", name]) == 0
        out = capsys.readouterr().out
        assert said in out and "source: " in out and "setting folder: folder of " in out
    assert main(["datasets", "pubchemqcr"]) == 0
    assert "file " not in capsys.readouterr().out


def test_a_published_file_has_a_checksum_of_its_content(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2

    class One(rmd17.RMD17):
        def __init__(self):
            self.settings = type("S", (), {"folder": str(tmp_path)})

        def files(self):
            return [File("f", 3, known)]

    One().check_files()
