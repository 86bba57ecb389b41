"""A molecule whose stages came in several archives is one molecule everywhere."""

import csv
import itertools
import json
import resource
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from force2geo.cli import main
from force2geo.curation.index import write_index
from force2geo.curation.joined import joined, joined_with_sources
from force2geo.curation.merge import merge
from force2geo.errors import UserError
from force2geo.interchange import pubchemqcr
from force2geo.store import lmdb_store
from force2geo.store.lmdb_store import Shard
from force2geo.trajectory import Trajectory
from force2geo.units import HARTREE_TO_EV

STAGES = ("pm3", "hf", "dft_1st")


@pytest.fixture
def by_stage(tmp_path, trajectories, write_shard_file):
    """A store of one shard a stage, with indices and empty rejects, as archives by stage give."""
    for name in STAGES:
        parts = [replace(t, stages={name: t.stages[name]}) for t in trajectories]
        path = write_shard_file(tmp_path / f"{name}.lmdb", parts)
        write_index(path, tmp_path / f"{name}.index.parquet", path.name)
        (tmp_path / f"{name}.rejects.csv").write_text(
            "source,file,cid,stage,offset,reason,atoms,steps\n"
        )
    return tmp_path


def test_stages_of_several_archives_come_together(by_stage, trajectories, same_stage):
    paths = [by_stage / f"{name}.lmdb" for name in ("dft_1st", "pm3", "hf")]
    found = list(joined(paths))
    assert [t.cid for t in found] == ["000000297", "000000962"]
    for trajectory, expected in zip(found, trajectories, strict=True):
        assert list(trajectory.stages) == list(STAGES)  # the protocol's order, not the shards'
        for name in STAGES:
            same_stage(trajectory.stages[name], expected.stages[name])
    only = list(joined(paths, ["hf"], {"000000962"}))
    assert [(t.cid, list(t.stages)) for t in only] == [("000000962", ["hf"])]


def test_index_pack_conformers_and_export_see_all_stages(by_stage, trajectories, capsys):
    for trajectory in trajectories:
        for name in ("homo", "lumo"):
            assert getattr(trajectory.stages["dft_1st"], name) is not None
    p = lambda name: str(by_stage / name)  # noqa: E731
    settings = {"shards": list(STAGES), "seed": 1}
    use = {"split": "random", "sources": ["hf", "dft_1st"]}
    (by_stage / "settings.json").write_text(json.dumps(settings))
    shards = {"from": "pubchemqcr", "shards": settings["shards"]}
    (by_stage / "pack.json").write_text(json.dumps(shards | use))
    molecules = shards | {"as": "molecules", "split": "subset", "seed": settings["seed"]}
    (by_stage / "molecules.json").write_text(json.dumps(molecules))
    split = {"train": ["000000297"], "val": ["000000962"], "test": []}
    subset = {"random": split, "subset": ["000000297", "000000962"]}
    (by_stage / "selection.json").write_text(json.dumps(subset))
    common = ["--settings", p("settings.json"), "--store", p("")]
    assert main([
        "statistics", *common, "--index", p("index.parquet"), "--rejects", p("rejects.csv"),
        "--out", p("statistics.json"),
    ]) == 0  # fmt: skip
    index = pd.read_parquet(by_stage / "index.parquet").set_index("cid")
    assert index.index.tolist() == ["000000297", "000000962"]
    row, water = index.loc["000000962"], trajectories[1].stages
    assert (row["pm3_steps"], row["hf_steps"], row["dft_1st_steps"]) == (4, 3, 5)
    assert row["pm3_energy_last"] == water["pm3"].energies[-1]
    assert row["dft_1st_energy_first"] == water["dft_1st"].energies[0]
    assert row["shard"] == "pm3.lmdb hf.lmdb dft_1st.lmdb" and row["dft_converged"]
    numbers = json.loads((by_stage / "statistics.json").read_text())
    assert (numbers["trajectories"], numbers["snapshots"]) == (2, 24)
    assert (by_stage / "rejects.csv").read_text().count("\n") == 1

    selected = ["--store", p(""), "--selection", p("selection.json")]
    assert main(["data", "--settings", p("pack.json"), *selected, "--out", p("x.h5")]) == 0
    with h5py.File(by_stage / "x.h5") as file:
        expected = [
            energy * HARTREE_TO_EV
            for trajectory in trajectories
            for name in ("hf", "dft_1st")
            for energy in trajectory.stages[name].energies
        ]
        np.testing.assert_allclose(file["energy"][:], expected, rtol=1e-12)
        assert file["source"][:].tolist() == 2 * [0, 0, 0, 1, 1, 1, 1, 1]
    settings = ["--settings", p("molecules.json")]
    assert main(["data", *settings, *selected, "--out", p("downstream.h5")]) == 0
    with h5py.File(by_stage / "downstream.h5") as file:
        assert file["cid"][:].tolist() == [b"000000297", b"000000962"]
        stages = [t.stages["dft_1st"] for t in trajectories]
        for name, step in (("dft", -1), ("hf", 0)):
            expected = np.concatenate([stage.positions[step] for stage in stages])
            np.testing.assert_array_equal(file[f"geometry/{name}"][:], expected)
        np.testing.assert_allclose(file["target/gap"][:], 0.30 * HARTREE_TO_EV)
    shards = [p(f"{name}.lmdb") for name in STAGES]
    assert main(["published", "export", *shards, "--out", p("out.lmdb")]) == 0
    published = dict(pubchemqcr.read_published(by_stage / "out.lmdb"))
    assert list(published["000000962"].stages) == list(STAGES)
    capsys.readouterr()


def test_of_one_stage_in_two_shards_the_better_counts(tmp_path, make_stage, write_shard_file):
    z = np.array([8, 1, 1], dtype=np.uint8)
    stages = {
        "one": make_stage(9, 3, converged=False), "two": make_stage(4, 3),
        "three": make_stage(5, 3, converged=False),
    }  # fmt: skip
    paths = [
        write_shard_file(
            tmp_path / f"{name}.lmdb", [Trajectory("000000001", z, stages={"dft_1st": stage})]
        )
        for name, stage in stages.items()
    ]
    said = []
    found = list(joined_with_sources(paths, left_out=lambda *row: said.append(row)))
    np.testing.assert_array_equal(found[0][0].stages["dft_1st"].energies, stages["two"].energies)
    assert [path.name for path in found[0][1]] == ["one.lmdb", "two.lmdb"]
    assert [(row[1], row[2].name) for row in said] == [
        ("dft_1st", "two.lmdb"), ("dft_1st", "three.lmdb"),
    ]  # fmt: skip
    assert "gave way" in said[0][3] and "no better" in said[1][3]


def test_another_molecule_under_the_same_cid_is_left_out_and_said(by_stage, make_stage):
    z = np.array([7, 1, 1, 1], dtype=np.uint8)
    writer = lmdb_store.StoreWriter(by_stage / "hf.lmdb")
    writer.put(Trajectory("000000962", z, stages={"hf": make_stage(2, 4, "hf")}))
    writer.finish()
    write_index(by_stage / "hf.lmdb", by_stage / "hf.index.parquet", "hf.lmdb")
    merge(by_stage, STAGES, by_stage / "i.parquet", by_stage / "r.csv")
    index = pd.read_parquet(by_stage / "i.parquet").set_index("cid")
    row = index.loc["000000962"]
    assert (row["formula"], row["hf_steps"], row["dft_1st_steps"]) == ("H2O", 0, 5)
    assert row["shard"] == "pm3.lmdb dft_1st.lmdb"
    with (by_stage / "r.csv").open(newline="") as handle:
        rejects = list(csv.DictReader(handle))
    assert [(r["source"], r["stage"], r["kind"]) for r in rejects] == [("hf.lmdb", "hf", "stage")]
    assert "atoms differ" in rejects[0]["reason"]
    # What is packed is what the index says, also when the first shard's stage is not asked for.
    paths = [by_stage / f"{name}.lmdb" for name in STAGES]
    found = {t.cid: t for t in joined(paths, ["hf", "dft_1st"])}
    assert list(found["000000962"].stages) == ["dft_1st"]


def test_any_molecules_in_any_shards_are_joined(tmp_path, make_stage, write_shard_file):
    rng = np.random.default_rng(3)
    z = np.array([8, 1, 1], dtype=np.uint8)
    names, shards = ("pm3", "hf", "dft_1st"), 12
    expected: dict[str, dict[str, np.ndarray]] = {}
    contents: list[list[Trajectory]] = [[] for _ in range(shards)]
    for number in rng.choice(200, 80, replace=False):
        cid = f"{number:09d}"
        for name in rng.permutation(names)[: rng.integers(1, 4)]:
            stage = make_stage(2, 3, {"dft_1st": "b3lyp"}.get(name, name))
            expected.setdefault(cid, {})[name] = stage.energies
            place = contents[rng.integers(shards)]
            same = next((t for t in place if t.cid == cid), None)
            if same is None:
                place.append(same := Trajectory(cid, z))
            same.stages[name] = stage
    paths = [write_shard_file(tmp_path / f"{i}.lmdb", c) for i, c in enumerate(contents)]
    found = list(joined(paths))
    assert [t.cid for t in found] == sorted(expected)
    for trajectory in found:
        assert {k: s.energies.tolist() for k, s in trajectory.stages.items()} == {
            k: e.tolist() for k, e in expected[trajectory.cid].items()
        }
    for path in paths:
        write_index(path, tmp_path / f"{path.stem}.index.parquet", path.name)
        (tmp_path / f"{path.stem}.rejects.csv").write_text("source\n")
    merge(tmp_path, [path.stem for path in paths], tmp_path / "i.parquet", tmp_path / "r.csv")
    index = pd.read_parquet(tmp_path / "i.parquet").set_index("cid")
    assert sorted(index.index) == sorted(expected)
    for name in names:
        present = set(index.index[index[f"{name}_steps"] == 2])
        assert present == {cid for cid, stages in expected.items() if name in stages}


def test_only_shards_whose_cids_are_due_are_open(tmp_path, make_stage, write_shard_file):
    z, stage = np.array([8, 1, 1], dtype=np.uint8), make_stage(1, 3)
    paths = [
        write_shard_file(
            tmp_path / f"{i}.lmdb",
            [Trajectory(f"{10 * i + j:09d}", z, stages={"dft_1st": stage}) for j in range(3)],
        )
        for i in range(30)
    ]
    before = len(lmdb_store._OPEN)
    opened = [len(lmdb_store._OPEN) - before for _ in joined(list(reversed(paths)))]
    assert len(opened) == 90 and max(opened) <= 2


def test_a_damaged_record_is_named(by_stage):
    raw = lmdb_store.RawWriter(by_stage / "hf.lmdb")
    raw.pending[b"000000962"] = b"F2GR\x03\x01garbage"
    raw.commit()
    raw.close()
    with pytest.raises(UserError, match=r"hf\.lmdb, CID 000000962"):
        list(joined([by_stage / "pm3.lmdb", by_stage / "hf.lmdb"]))


def test_a_shard_is_a_mapping_of_cids(by_stage):
    shard = Shard(by_stage / "hf.lmdb")
    assert repr(shard) == f"Shard('{by_stage / 'hf.lmdb'}')"
    assert list(shard) == ["000000297", "000000962"] == shard.cids() and len(shard) == 2
    assert "000000962" in shard and 962 in shard and "962" in shard and "000000001" not in shard
    assert shard[962].cid == shard["000000962"].cid == "000000962"
    with pytest.raises(KeyError, match=r"000000001 is not in .*hf\.lmdb"):
        shard["000000001"]
    pairs = [(cid, read()) for cid, read in shard.walk()]
    assert [cid for cid, _ in pairs] == list(shard)
    for (cid, data), record in zip(pairs, shard.records(), strict=True):
        assert data == bytes(record._data) and record.header["cid"] == cid
    assert [a < b for a, b in itertools.pairwise(shard)] == [True]


def test_points_of_two_shards_are_joined_once(tmp_path, make_stage, write_shard_file):
    z = np.array([8, 1, 1], dtype=np.uint8)
    three = make_stage(3, 3, origin=["a", "b", "c"])

    def shard(name, *steps):
        steps = list(steps)
        part = replace(
            three, positions=three.positions[steps], energies=three.energies[steps],
            gradients=three.gradients[steps], origin=[three.origin[step] for step in steps],
        )  # fmt: skip
        molecule = Trajectory("000000001", z, stages={"dft_points": part})
        return write_shard_file(tmp_path / name, [molecule])

    (found,) = joined([shard("one.lmdb", 0, 1), shard("two.lmdb", 1, 2)])
    assert found.stages["dft_points"].origin == ["a", "b", "c"]
    np.testing.assert_array_equal(found.stages["dft_points"].energies, three.energies)
    np.testing.assert_array_equal(found.stages["dft_points"].positions, three.positions)


def test_index_rows_of_one_shard_stay_as_they_are(tmp_path, make_stage, write_shard_file):
    """Neighbouring CIDs in turn: no molecule is twice, and no record is opened."""
    z = np.array([8, 1, 1], dtype=np.uint8)
    rows = []
    for shard in range(2):
        molecules = [
            Trajectory(f"{2 * i + shard:09d}", z, stages={"hf": make_stage(i + 1, 3, "hf")})
            for i in range(10)
        ]
        path = write_shard_file(tmp_path / f"{shard}.lmdb", molecules)
        write_index(path, tmp_path / f"{shard}.index.parquet", path.name)
        (tmp_path / f"{shard}.rejects.csv").write_text("reason\nold row\n")
        rows.append(pd.read_parquet(tmp_path / f"{shard}.index.parquet"))
        path.unlink()
    merge(tmp_path, ["0", "1"], tmp_path / "i.parquet", tmp_path / "r.csv")
    found = pd.read_parquet(tmp_path / "i.parquet")
    assert found["cid"].tolist() == [f"{2 * i + s:09d}" for s in range(2) for i in range(10)]
    assert found["hf_steps"].tolist() == 2 * list(range(1, 11))
    # Tables of older versions say of no row what it is about: logs, as all were.
    kinds = pd.read_csv(tmp_path / "r.csv")[["reason", "kind"]].to_numpy().tolist()
    assert kinds == 2 * [["old row", "log"]]


def test_more_shards_than_files_that_may_be_open(tmp_path, make_stage, write_shard_file):
    """All hold the same molecule, so that all are open at once."""
    z = np.array([8, 1, 1], dtype=np.uint8)
    first = write_shard_file(
        tmp_path / "0.lmdb", [Trajectory("000000001", z, stages={"hf": make_stage(2, 3, "hf")})]
    )
    paths = [first]
    for number in range(1, 60):
        paths.append(tmp_path / f"{number}.lmdb")
        shutil.copy(first, paths[-1])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    fds = Path("/proc/self/fd")
    used = len(list(fds.iterdir())) if fds.exists() else 64
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        (found,) = joined(paths)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(found.stages["hf"]) == 2
