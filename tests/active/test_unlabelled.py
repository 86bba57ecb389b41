"""Geometries of a pool without labels: those chosen, and what is left alone."""

import csv
import json

import h5py
import numpy as np
import pandas as pd
import pytest
from active_potentials import potentials
from ase import Atoms

from force2geo.active import unlabelled as module
from force2geo.active.choice import read_choice
from force2geo.cli import main
from force2geo.potentials.checkpoint import load
from force2geo.superposition import farthest

POOL = ("cid,smiles,inchi\n000000280,O=C=O,\n000000297,C,\n000000702,CCO,\n000000962,O,\n"
        "000000784,OO,\n000000999,not smiles,\n")  # fmt: skip


def typed(frames, out, store, workers, about):
    """Labels in no time: a molecule's geometries alone."""
    for cid in {frame.molecule.cid for frame in frames}:
        own = [frame.molecule.positions for frame in frames if frame.molecule.cid == cid]
        np.savez(out / f"{cid}.npz", extra_pos=own)
    return [""] * len(frames)


def rattled(rows, out, seed, workers, points):
    """Labels of molecules drawn at random in no time: as many as each is asked for."""
    for row in rows:
        np.savez(out / f"{row['cid']}.npz", extra_pos=np.zeros((points[row["cid"]], 1, 3)))
    return {}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Label chosen geometries of the pool; returned are the exit status, the choice and folder."""
    monkeypatch.setattr(module, "label_frames", typed)
    monkeypatch.setattr(module, "label", rattled)
    monkeypatch.setitem(module.write_paths.__globals__["RELAXED"], "max_steps", 12)
    (tmp_path / "pool.csv").write_text(POOL)
    models = [str(path) for path in potentials(tmp_path, 3)]

    def labelled(name, *more, random=False):
        out = tmp_path / name
        given = ["--choose", "random"] if random else ["--model", *models]
        status = main(["label", "--molecules", str(tmp_path / "pool.csv"), "--out", str(out),
                       *given, *more])  # fmt: skip
        found = read_choice(out / "choice.csv") if (out / "choice.csv").exists() else None
        return status, found, out

    return labelled


def paths_of(out):
    """The paths (T,n,3) of a folder's relaxations, and the elements (n,), by CID."""
    with h5py.File(out / "paths.h5") as file:
        numbers = np.split(file["atomic_numbers"][:], file["ptr"][1:-1])
        positions = np.split(file["frame_positions"][:], file["frame_offset"][1:-1])
        cids = file["cid"][:].astype(str)
    return {
        cid: (own.reshape(-1, len(z), 3), z)
        for cid, own, z in zip(cids, positions, numbers, strict=True)
    }


def spreads_of(out, models):
    """The spread of each geometry on the paths, (cid, frame): by members asked one by one."""
    found = {}
    asked = [load(path) for path in models]
    for cid, (path, numbers) in paths_of(out).items():
        frames = [Atoms(numbers, positions) for positions in path]
        rows = [model.predict(frames) for model in asked]
        forces = np.array([[row["forces"] for row in one] for one in rows])
        largest = np.linalg.norm(forces.std(axis=0, ddof=1), axis=2).max(axis=1)
        found |= {(cid, frame): value for frame, value in enumerate(largest)}
    return found


def test_the_least_sure_of_all_paths_are_labelled(run, tmp_path, capsys):
    status, chosen, out = run("out", "--budget", "7", "--distance", "0", "--per-molecule", "2")
    assert status == 0 and len(chosen) == 7
    spread = spreads_of(out, sorted(tmp_path.glob("member*.pt")))
    expected, count = [], {}
    for (cid, frame), value in sorted(spread.items(), key=lambda item: -item[1]):
        if count.get(cid, 0) < 2 and len(expected) < 7:
            count[cid] = count.get(cid, 0) + 1
            expected.append((cid, frame, value))
    assert [one[:2] for one in chosen] == [one[:2] for one in expected]
    assert [one.spread for one in chosen] == pytest.approx([one[2] for one in expected], rel=1e-6)
    assert max(count.values()) == 2 and len(count) >= 4
    with (out / "labels.csv").open(newline="") as file:
        assert [row["reason"] for row in csv.DictReader(file)] == [""] * 7
    assert "7 geometries are labelled, 0 have no label" in capsys.readouterr().out


def test_a_kill_anywhere_changes_no_choice(run, tmp_path):
    options = ("--budget", "6", "--distance", "0")
    _, _, out = run("out", *options)
    files = {name: (out / name).read_bytes() for name in ("choice.csv", "labels.csv")}
    for lost in (["labels.csv"], ["labels.csv", "choice.csv"], [*files, "paths.h5"]):
        for name in lost:
            (out / name).unlink()
        assert run("out", *options)[0] == 0
        assert {name: (out / name).read_bytes() for name in files} == files


def test_a_folder_is_one_choice_s_until_another_is_made_anew(run, tmp_path, capsys):
    _, _, out = run("out", "--budget", "2", "--distance", "0")
    before = (out / "choice.csv").read_bytes()
    assert run("out", "--budget", "3", "--distance", "0")[0] == 2
    assert "labels of another choice are there (another chosen), give" in capsys.readouterr().err
    assert (out / "choice.csv").read_bytes() == before
    (out / "000000001.npz").touch()
    status, chosen, _ = run("out", "--budget", "3", "--distance", "0", "--anew")
    assert status == 0 and len(chosen) == 3
    assert {path.stem for path in out.glob("*.npz")} == {one.cid for one in chosen}
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain/000000001.npz").touch()
    assert run("plain", "--budget", "3", "--anew", random=True)[0] == 2
    assert "labels that nobody chose are there" in capsys.readouterr().err
    assert (tmp_path / "plain/000000001.npz").exists()


def test_what_is_kept_apart_is_never_labelled(run, tmp_path):
    (tmp_path / "test.csv").write_text("smiles\nOCC\n[13CH4]\n")
    (tmp_path / "more.csv").write_text("inchikey\nCURLTUGMZLYLDI-UHFFFAOYSA-N\n")
    apart = ("--apart", str(tmp_path / "test.csv"), str(tmp_path / "more.csv"))
    found = [run("paths", "--budget", "4", "--distance", "0", *apart)]
    found += [run("any", "--budget", "4", *apart, random=True)]
    parts = {"train": ["1"], "val": ["2"], "test": ["3"]}
    (tmp_path / "selection.json").write_text(json.dumps({"own": parts}))
    keys = ["XLYOFNOQVPJJNP-UHFFFAOYSA-N", "VNWKTOKETHGBQD-UHFFFAOYSA-N", "LFQSCWFLJHTTHZ-X"]
    pd.DataFrame({"cid": ["1", "2", "3"], "inchikey": keys}).to_parquet(tmp_path / "index")
    held = ("--selection", str(tmp_path / "selection.json"), "--index", str(tmp_path / "index"),
            "--split", "own", "--apart", str(tmp_path / "more.csv"))  # fmt: skip
    # Water is trained on, and may be labelled; methane and ethanol are validated and tested on.
    found += [run("own", "--budget", "4", *held, random=True)]
    for status, chosen, _ in found:
        assert status == 0 and len(chosen) == 4
        assert {one.cid for one in chosen} <= {"000000962", "000000784"}


def test_chance_has_the_same_number_of_labels(run, tmp_path):
    _, chosen, out = run("any", "--budget", "7", random=True)
    labels = {path.stem: len(np.load(path)["extra_pos"]) for path in out.glob("*.npz")}
    assert (out / "labels.csv").read_text().splitlines()[1] == f"{chosen[0].cid},0,,1,"
    assert (out / "labels.csv.provenance.json").exists()
    assert sum(labels.values()) == len(chosen) == 7 and sorted(labels.values()) == [1, 3, 3]
    assert "000000999" not in labels  # no molecule, and no label is spent on it
    others = [run(f"{seed}", "--budget", "3", "--seed", f"{seed}", random=True)[1]
              for seed in range(4)]  # fmt: skip
    assert len({other[0].cid for other in others}) > 1
    # Of molecules that have labels none is drawn again.
    status, again, _ = run("again", "--budget", "6", "--earlier", str(out), random=True)
    assert status == 0 and not {one.cid for one in again} & set(labels)
    _, frames, _ = run("paths", "--budget", "7", "--choose", "frames", "--distance", "0")
    assert len(set(frames)) == 7 and all(np.isnan(one.spread) for one in frames)


def test_geometries_that_have_labels_are_not_chosen_again(run):
    options = ("--budget", "3", "--distance", "0.01")
    _, first, out = run("out", *options)
    _, second, _ = run("next", *options, "--earlier", str(out))
    assert not {one[:2] for one in first} & {one[:2] for one in second}
    paths = {cid: path for cid, (path, _) in paths_of(out).items()}
    near = [farthest(paths[one.cid][[a.frame for a in first if a.cid == one.cid]],
                     paths[one.cid][one.frame]) for one in second]  # fmt: skip
    assert any(len(own) for own in near) and all((own >= 0.01).all() for own in near)


def test_chance_leaves_out_what_the_potentials_refuse(run, tmp_path):
    some = [str(path) for path in potentials(tmp_path, 2, elements=[1, 8])]
    _, chosen, _ = run("some", "--budget", "6", "--model", *some, random=True)
    assert {one.cid for one in chosen} == {"000000962", "000000784"}


@pytest.mark.parametrize(
    ("more", "random", "said"),
    [(("--budget", "0"), True, "--budget of 1 or more"),
     (("--distance", "0.1"), True, "--budget of 1 or more"),
     (("--budget", "5", "--points", "2"), True, "--points: a choice"),
     (("--budget", "5", "--index", "x"), True, "--selection: it goes together with --index"),
     (("--budget", "5", "--choose", "frames"), True, "--choose frames needs potentials"),
     (("--budget", "5", "--per-molecule", "0"), False, "--per-molecule: give 1 or more"),
     (("--budget", "900"), True, "900 labels are wanted and the pool has 15"),
     (("--budget", "900"), False, "900 labels are wanted and the pool has 9")],
)  # fmt: skip
def test_what_cannot_be_meant_is_one_line(run, capsys, more, random, said):
    assert run("out", *more, random=random)[0] == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
