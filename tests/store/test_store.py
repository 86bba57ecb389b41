"""Records, shards, curation and packing."""

import csv
import json
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from force2geo.cli import main
from force2geo.datasets.export import logs_of, write_shard
from force2geo.datasets.protocol import read_protocol
from force2geo.logs.archives import iterate_logs
from force2geo.logs.names import compile_pattern, read_name
from force2geo.store.curate import curate
from force2geo.store.lmdb_store import read_shard
from force2geo.store.record import RecordError, decode, encode
from force2geo.trajectory import Stage, Trajectory
from force2geo.units import HARTREE_TO_EV

CONFIG = Path(__file__).resolve().parents[2] / "config.yaml"
DEFAULT_PATTERN = yaml.safe_load(CONFIG.read_text())["curate"]["name_pattern"]


def stage(rng, steps, atoms, method="b3lyp", **more):
    values = {
        "program": "firefly",
        "version": "8.0.1",
        "method": method,
        "basis": {"b3lyp": "6-31g*", "hf": "sto-6g", "pm3": "pm3"}[method],
        "converged": True,
        "positions": rng.normal(size=(steps, atoms, 3)).round(7),
        "energies": (rng.normal(size=steps) - 100).round(9),
        "gradients": (0.01 * rng.normal(size=(steps, atoms, 3))).round(7),
        "homo": -0.25,
        "lumo": 0.05,
        "dipole": [0.0, 0.5, -1.0],
    }
    return Stage(**(values | more))


@pytest.fixture
def trajectories():
    rng = np.random.default_rng(0)
    water = np.array([8, 1, 1], dtype=np.uint8)
    methane = np.array([6, 1, 1, 1, 1], dtype=np.uint8)
    result = []
    for cid, numbers, smiles in (("000000962", water, "O"), ("000000297", methane, "C")):
        n = len(numbers)
        points = stage(rng, 2, n, converged=True, origin=["rattle_0.03", "rattle_0.07"])
        stages = {
            "pm3": stage(rng, 4, n, "pm3"),
            "hf": stage(rng, 3, n, "hf"),
            "dft_1st": stage(rng, 5, n),
            "dft_points": points,
        }
        result.append(Trajectory(cid, numbers, smiles=smiles, inchi="", stages=stages))
    return result


def test_record_is_lossless(trajectories):
    for trajectory in trajectories:
        found = decode(encode(trajectory))
        assert found.cid == trajectory.cid and found.smiles == trajectory.smiles
        assert list(found.stages) == list(trajectory.stages)
        for name, expected in trajectory.stages.items():
            for key, value in expected.__dict__.items():
                np.testing.assert_array_equal(getattr(found.stages[name], key), value)


def test_damaged_records_are_told(trajectories):
    record = encode(trajectories[0])
    for bad in (b"", b"pickle", record[:4] + b"\x09" + record[5:], record[:-30], record[:40]):
        with pytest.raises(RecordError):
            decode(bad)


def test_curate_keeps_every_digit(tmp_path, trajectories):
    write_shard(trajectories, tmp_path / "shard.tar.xz")
    identifiers = {t.cid: (t.smiles, t.inchi) for t in trajectories}
    counts = curate(
        tmp_path / "shard.tar.xz", tmp_path / "shard.lmdb", DEFAULT_PATTERN, identifiers
    )
    assert counts.rejected == 0 and counts.read == 2 * 5
    found = {t.cid: t for t in read_shard(tmp_path / "shard.lmdb")}
    assert set(found) == set(identifiers)
    for trajectory in trajectories:
        assert found[trajectory.cid].smiles == trajectory.smiles
        for name, expected in trajectory.stages.items():
            got = found[trajectory.cid].stages[name]
            np.testing.assert_array_equal(got.positions, expected.positions)
            np.testing.assert_array_equal(got.energies, expected.energies)
            np.testing.assert_array_equal(got.gradients, expected.gradients)
        assert found[trajectory.cid].stages["dft_points"].origin == ["rattle_0.03", "rattle_0.07"]


def test_bad_logs_become_rejects_and_stop_nothing(tmp_path, trajectories):
    folder = tmp_path / "logs"
    for trajectory in trajectories:
        for name, text in logs_of(trajectory, "smash"):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    water = next(folder.rglob("000000962.pm3.log"))
    hf = water.with_name("000000962.hf.log")
    dft = water.with_name("000000962.dft_1st.log")
    dft.write_text(hf.read_text())
    water.write_text(water.read_text()[:3000])
    water.with_name("notes.txt").write_text("hello")
    water.with_name("000000962.dft_2nd.log").write_bytes(b"")
    counts = curate(folder, tmp_path / "s.lmdb", DEFAULT_PATTERN, {})
    reasons = {row["file"].rsplit("/", 1)[1]: row["reason"] for row in counts.rejects}
    assert set(reasons) == {
        "000000962.dft_1st.log", "000000962.pm3.log", "notes.txt", "000000962.dft_2nd.log",
    }  # fmt: skip
    assert "method is 'hf'" in reasons["000000962.dft_1st.log"]
    assert "name_pattern" in reasons["notes.txt"]
    found = {t.cid: t for t in read_shard(tmp_path / "s.lmdb")}
    assert set(found["000000962"].stages) == {"hf", "dft_points"}
    assert set(found["000000297"].stages) == {"pm3", "hf", "dft_1st", "dft_points"}


def test_archive_links_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        link = tarfile.TarInfo("000000001/000000001.hf.log")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert list(iterate_logs(tmp_path / "evil.tar")) == []


def test_default_pattern_reads_names():
    pattern = compile_pattern(DEFAULT_PATTERN)
    name = read_name(pattern, "Compound_x/000000962/000000962.dft_points.003.rattle_0.07.log")
    assert name is not None
    assert (name.cid, name.stage, name.origin) == ("000000962", "dft_points", "rattle_0.07")
    assert read_name(pattern, "000000962/000000963.hf.log") is None


def test_commands_from_logs_to_packed(tmp_path, trajectories):
    write_shard(trajectories, tmp_path / "shard.tar.xz")
    (tmp_path / "curate.json").write_text(json.dumps({"name_pattern": DEFAULT_PATTERN}))
    entry = {"split": "random", "sources": ["dft_1st", "dft_points"]}
    (tmp_path / "pack.json").write_text(json.dumps({"pretrain": entry}))
    split = {"train": ["000000297"], "val": ["000000962"], "test": []}
    (tmp_path / "selection.json").write_text(json.dumps({"random": split}))
    p = lambda name: str(tmp_path / name)  # noqa: E731
    assert main([
        "curate", "--settings", p("curate.json"), "--logs", p("shard.tar.xz"),
        "--store", p("s.lmdb"), "--index", p("s.csv"), "--rejects", p("r.csv"),
    ]) == 0  # fmt: skip
    assert main([
        "pack", "--settings", p("pack.json"), "--use", "pretrain", "--selection",
        p("selection.json"), "--shards", p("s.lmdb"), "--out", p("x.h5"),
    ]) == 0  # fmt: skip
    with (tmp_path / "s.csv").open() as handle:
        rows = {row["cid"]: row for row in csv.DictReader(handle)}
    assert rows["000000962"]["formula"] == "H2O" and rows["000000962"]["dft_1st_steps"] == "5"
    assert float(rows["000000962"]["gap"]) == pytest.approx(0.30 * HARTREE_TO_EV)
    methane = next(t for t in trajectories if t.cid == "000000297")
    with h5py.File(tmp_path / "x.h5") as file:
        assert len(file["energy"]) == 14
        expected = methane.stages["dft_1st"]
        np.testing.assert_allclose(file["energy"][:5], expected.energies * 27.211386, rtol=1e-8)
        forces = file["forces"][:5]
        np.testing.assert_allclose(forces, -expected.gradients[0] * 51.422067, rtol=1e-6)
        np.testing.assert_allclose(file["positions"][:5], expected.positions[0], atol=1e-6)


def test_protocol_files_export_to_logs_that_hold_them(shared_data):
    raw = shared_data / "dft_trajectories/0112.npz"
    trajectory = read_protocol(raw, "000000612")
    from force2geo.logs import parse_log

    for name, text in logs_of(trajectory, "firefly"):
        log = parse_log(text.encode())
        if name.endswith("dft_1st.log"):
            expected = trajectory.stages["dft_1st"]
            assert np.abs(log.positions - expected.positions).max() < 1e-9
            assert np.abs(log.energies - expected.energies).max() < 1e-9
            assert np.abs(log.gradients - expected.gradients).max() < 1e-6
            assert "PySCF" in log.origin
