"""Molecules matched in processes: limits, what a kill leaves, and what chance depends on."""

import json
import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

from force2geo.training_data import matches as module
from force2geo.training_data.conformers import own_splits, read_conformers
from force2geo.training_data.dataset import Molecule
from force2geo.training_data.embed import embed, match
from force2geo.training_data.matches import matches

SMILES = ("CCO", "C1CC1", "O", "C#C", "N[C@@H](C)C(=O)O", "C[N+](C)(C)C.[Cl-]", "not smiles")


def molecule(number, text=None):
    """A molecule named by its number, its geometry an embedded one's."""
    text = text or SMILES[number % len(SMILES)]
    built = embed(text if text != "not smiles" else "C", seed=1)
    numbers = np.array([atom.GetAtomicNum() for atom in built.GetAtoms()], dtype=np.uint8)
    positions = built.GetConformer().GetPositions()
    return Molecule(f"m{number}", numbers, {"dft": positions}, {}, text)


def same(one, other):
    assert (one.reason, one.skeleton) == (other.reason, other.skeleton)
    for name in ("conformer", "places"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.graph is None) == (other.graph is None)
    for name in ("atoms", "bonds", "orders") if one.graph is not None else ():
        np.testing.assert_array_equal(getattr(one.graph, name), getattr(other.graph, name))


def test_what_was_done_is_taken_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 3)
    molecules = [molecule(number) for number in range(8)]
    whole = dict(zip(range(8), matches(molecules, 5, 2, tmp_path / "a", [1]), strict=True))
    assert sorted(p.name for p in (tmp_path / "a").glob("*.npz")) == ["0.npz", "1.npz"]
    asked = []
    monkeypatch.setattr(module, "task_of", lambda one, *more, real=module.task_of: (
        asked.append(one.name), real(one, *more))[1])  # fmt: skip
    again = list(matches(molecules, 5, 1, tmp_path / "a", [1]))
    assert asked == ["m6", "m7"]  # those of no whole block
    for number, (one, found) in enumerate(again):
        assert one.name == f"m{number}"
        same(found, whole[number][1])
    assert whole[6][1].reason == "no SMILES or InChI that can be read"
    assert whole[4][1].conformer is not None and whole[4][1].skeleton == "QNAYBMKLOCPYGJ"
    # What it is made of is another thing: nothing of it counts.
    asked.clear()
    list(matches(molecules, 5, 1, tmp_path / "a", [2]))
    assert len(asked) == 8
    # Cut off in its writing, a block is done again, and so is what follows.
    (tmp_path / "a/0.npz").write_bytes((tmp_path / "a/0.npz").read_bytes()[:-40])
    asked.clear()
    for (_, found), (_, other) in zip(
        matches(molecules, 5, 1, tmp_path / "a", [2]), again, strict=True
    ):
        same(found, other)
    assert len(asked) == 8


def test_chance_is_in_seed_and_name_and_not_in_the_place(tmp_path):
    flexible = [molecule(number, "CCCCCO") for number in range(3)]

    def conformers(molecules, seed):
        found = matches(molecules, seed, 1, tmp_path / f"{len(molecules)}.{seed}", [])
        return {one.name: matched.conformer for one, matched in found}

    one, other = conformers(flexible, 5), conformers(flexible[::-1][:2], 5)
    for name, positions in other.items():
        np.testing.assert_array_equal(positions, one[name])
    assert np.abs(one["m0"] - one["m1"]).max() > 0.1
    assert np.abs(one["m0"] - conformers(flexible, 6)["m0"]).max() > 0.1


def slow(task):
    if task.text == "C1CC1":
        time.sleep(60)
    return match(task.text, task.atomic_numbers, task.reference, task.seed, task.conform)


def test_a_molecule_that_takes_too_long_is_one_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_work", slow)
    monkeypatch.setattr("force2geo.limited._START", 20.0)
    begun = time.monotonic()
    found = list(matches([molecule(n) for n in range(4)], 5, 1, tmp_path / "a", [], seconds=2))
    assert [one.reason for _, one in found] == ["", "took longer than 2 s", "", ""]
    assert found[1][1].graph is None and time.monotonic() - begun < 45


def test_few_molecules_are_read_ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 2)
    read = []

    def molecules():
        for number in range(12):
            read.append(number)
            yield molecule(number, "O")

    for place, _ in enumerate(matches(molecules(), 5, 1, tmp_path / "a", [])):
        assert len(read) <= place + 8


SET = """
from dataclasses import dataclass
import time
from pathlib import Path
import numpy as np
from force2geo.settings import setting
from force2geo.training_data import matches
from force2geo.training_data.dataset import About, DataSet, Molecule

matches._BLOCK = 2

@dataclass(frozen=True)
class Settings:
    count: int = setting("molecules", 9)

class Waters(DataSet):
    Settings = Settings
    kinds = ("molecules",)
    units = {"dipole": "D"}
    about = About("waters", "none", "nobody", "none", "nowhere")

    def files(self):
        return []

    def read_from(self):
        return []

    def molecules(self):
        place = np.array([[0, 0, 0], [0.97, 0, 0], [-0.24, 0.94, 0]])
        for number in range(self.settings.count):
            if number == 6 and not Path("go").exists():
                Path("waits").touch()
                time.sleep(60)
            given = {"dft": place + number} | ({"mm": place - number} if number in (3, 5) else {})
            yield Molecule(f"w{number}", np.array([8, 1, 1]), given, {"dipole": 1.8}, "O")

    def splits(self):
        names = [f"w{number}" for number in range(9)]
        return {"own": {"train": names[:6][::-1], "val": ["w6"], "test": ["w8", "w7", "lost"]}}

DATASET = Waters
"""


@pytest.fixture
def waters(tmp_path):
    (tmp_path / "waters_set.py").write_text(SET)
    info = tmp_path / "waters_set-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: waters-set\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[force2geo.datasets]\nwaters = waters_set:Waters\n")
    (tmp_path / "entry.json").write_text(json.dumps({"from": "waters", "seed": 3}))
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", "force2geo.cli", "data", "--settings", "entry.json", "--out",
               "w.h5", "--workers", "2"]  # fmt: skip
    return tmp_path, command, {"cwd": tmp_path, "env": environment}


def test_a_killed_packing_goes_on_and_gives_the_same_file(waters):
    folder, command, where = waters
    # One worker: of two the second may be done with the rest before the first has begun.
    with subprocess.Popen([*command[:-1], "1"], **where) as process:
        for _ in range(600):
            if (folder / ".w.h5.unfinished/0.npz").exists() and (folder / "waits").exists():
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
    kept = {path.name for path in (folder / ".w.h5.unfinished").glob("*.npz")}
    assert kept and not (folder / "w.h5").exists()
    (folder / "go").touch()
    done = subprocess.run(command, check=True, capture_output=True, text=True, **where)
    assert done.stdout.splitlines() == [
        "9 molecules", "7 without a geometry mm: the data set has none",
        "1 molecules of its splits could not be read",
    ]  # fmt: skip
    assert not (folder / ".w.h5.unfinished").exists()
    first = read_conformers(folder / "w.h5", graphs=True)
    subprocess.run(command, check=True, capture_output=True, **where)
    second = read_conformers(folder / "w.h5", graphs=True)
    for name, positions in first.geometry.items():
        np.testing.assert_array_equal(positions, second.geometry[name])
    assert list(first.geometry) == ["dft", "mm", "rdkit"]
    # Made after the first three rows were written, a geometry stands at its molecules all the same.
    there = np.isfinite(first.geometry["mm"]).all(axis=1).reshape(9, 3)
    assert there.all(axis=1).tolist() == [number in (3, 5) for number in range(9)]
    np.testing.assert_allclose(first.geometry["mm"][9], [-3, -3, -3])
    assert first.reason(3, "mm") == "" and first.reason(4, "mm") == "the data set has none"
    assert own_splits(folder / "w.h5") == ["own"]
    assert list(first.splits["own"]) == ["train", "val", "test"]
    assert first.splits["own"]["train"] == ["w5", "w4", "w3", "w2", "w1", "w0"]
    assert first.splits["own"]["test"] == ["w8", "w7"]
    assert first.skeletons.tolist() == ["XLYOFNOQVPJJNP"] * 9
    with h5py.File(folder / "w.h5") as file:
        assert file["smiles"][0] == b"O" and file["place"][:3].tolist() == [0, 1, 2]
    bonds = first.graphs.bonds.reshape(9, 2, 2)
    assert [sorted(map(sorted, one.tolist())) for one in bonds] == 9 * [[[0, 1], [0, 2]]]
