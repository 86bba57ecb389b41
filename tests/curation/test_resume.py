"""Curations that were interrupted, run twice at once, or meet odd names."""

import csv
import io
import itertools
import json
import subprocess
import sys
import tarfile
import threading

import numpy as np
import pandas as pd
import pytest

from force2geo.cli import main
from force2geo.curation import curate as module
from force2geo.curation.curate import curate
from force2geo.curation.identifiers import Identifiers
from force2geo.curation.statistics import statistics
from force2geo.errors import UserError
from force2geo.interchange.export import logs_of
from force2geo.logs.log import Log
from force2geo.store.lmdb_store import read_shard


class KilledError(BaseException):
    """Stands for a kill: nothing of the package catches it."""


@pytest.fixture
def put_logs(trajectories):
    """Writes logs of water under a CID to a folder, of all stages or one."""

    def put(folder, cid, stages=("pm3", "hf", "dft_1st")):
        trajectory = trajectories[1]
        trajectory.cid = cid
        for name, text in logs_of(trajectory, "smash"):
            if name.split(".")[1] in stages:
                path = folder / cid / name.rsplit("/", 1)[1]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)

    return put


def run(source, folder, pattern, progress=lambda _: None):
    paths = folder / "s.lmdb", folder / "s.csv", folder / "s.parquet"
    counts = curate(source, *paths, pattern, Identifiers(None), progress)
    return counts, {t.cid: list(t.stages) for t in read_shard(folder / "s.lmdb")}


def kill_after(count):
    """A progress that ends the run after so many logs."""
    seen = itertools.count(1)

    def progress(_):
        if next(seen) == count:
            raise KilledError

    return progress


def test_what_changed_in_a_subfolder_since_a_kill_is_read(tmp_path, put_logs, pattern, monkeypatch):
    monkeypatch.setattr(module, "_COMMIT_LOGS", 1)
    logs = tmp_path / "logs/deep"
    for cid in ("000000002", "000000003"):
        put_logs(logs, cid)
    with pytest.raises(KilledError):
        run(tmp_path / "logs", tmp_path, pattern, kill_after(4))
    assert (tmp_path / ".s.lmdb.partial").exists()
    # Sorted before what was done: counting alone would skip it and read another one twice.
    put_logs(logs, "000000001")
    counts, found = run(tmp_path / "logs", tmp_path, pattern)
    everything = ["pm3", "hf", "dft_1st"]
    assert found == {f"{n:09d}": everything for n in (1, 2, 3)}
    assert (counts.read, counts.rejected) == (9, 0)


def test_a_run_is_taken_up_only_by_the_same_readers(tmp_path, put_logs, pattern, monkeypatch):
    monkeypatch.setattr(module, "_COMMIT_LOGS", 1)
    for cid in ("000000002", "000000003"):
        put_logs(tmp_path / "logs", cid)

    def logs_read():
        """How many logs a run reads that follows one killed after four."""
        with pytest.raises(KilledError):
            run(tmp_path / "logs", tmp_path, pattern, kill_after(4))
        read = []
        run(tmp_path / "logs", tmp_path, pattern, read.append)
        return len(read)

    assert logs_read() == 6 - 3  # the fourth was never committed
    versions = iter(["older", "newer"])
    asked = []

    def version(*parts):
        asked.append(parts)
        return next(versions)

    monkeypatch.setattr(module, "source_hash", version)
    assert logs_read() == 6
    # All that is imported to read, but for what only writes files and talks.
    code = "import sys, force2geo.curation.curate as _; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = {name.split(".")[1] for name in found.stdout.split() if "force2geo." in name}
    parts = {part.removesuffix(".py") for part in asked[0]}
    assert imported - parts == {"errors", "files", "locks"} and parts <= imported


def test_two_curations_of_one_target_do_not_meet(tmp_path, put_logs, pattern):
    put_logs(tmp_path / "logs", "000000002")
    inside, go_on = threading.Event(), threading.Event()

    def wait(_):
        inside.set()
        assert go_on.wait(60)

    first = threading.Thread(target=run, args=(tmp_path / "logs", tmp_path, pattern, wait))
    first.start()
    try:
        assert inside.wait(60)
        with pytest.raises(UserError, match="is writing it"):
            run(tmp_path / "logs", tmp_path, pattern)
    finally:
        go_on.set()
        first.join(60)
    assert {t.cid for t in read_shard(tmp_path / "s.lmdb")} == {"000000002"}
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"logs", "s.lmdb", "s.csv", "s.parquet"}


def test_member_names_of_any_encoding_are_curated(tmp_path, put_logs, pattern):
    put_logs(tmp_path / "logs", "000000002")
    with tarfile.open(tmp_path / "shard.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        bad = tarfile.TarInfo(b"R\xe9sultats.txt".decode("utf-8", "surrogateescape"))
        bad.size = 2
        archive.addfile(bad, io.BytesIO(b"no"))
        good = tarfile.TarInfo(
            b"\xe9t\xe9/000000002/000000002.hf.log".decode("utf-8", "surrogateescape")
        )
        content = (tmp_path / "logs/000000002/000000002.hf.log").read_bytes()
        good.size = len(content)
        archive.addfile(good, io.BytesIO(content))
        broken = tarfile.TarInfo(
            b"\xe9t\xe9/000000002/000000002.pm3.log".decode("utf-8", "surrogateescape")
        )
        archive.addfile(broken)
    _, found = run(tmp_path / "shard.tar", tmp_path, pattern)
    assert found == {"000000002": ["hf"]}
    with (tmp_path / "s.csv").open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [(row["file"], row["kind"]) for row in rows] == [
        (r"R\xe9sultats.txt", "file"), (r"\xe9t\xe9/000000002/000000002.pm3.log", "log"),
    ]  # fmt: skip


def test_rejected_logs_are_logs(tmp_path, put_logs, pattern, monkeypatch):
    logs = tmp_path / "logs"
    put_logs(logs, "000000002")
    (logs / "README").write_text("hello")
    (logs / "000000002/000000002.dft_2nd.log").write_text("not a log")
    again = logs / "z/000000002"
    again.mkdir(parents=True)
    whole = (logs / "000000002/000000002.dft_1st.log").read_text()
    (again / "000000002.dft_1st.log").write_text(whole)
    cut = whole[: whole.rindex("Gradient (Hartree/Bohr)")]
    (logs / "000000002/000000002.dft_1st.log").write_text(cut)
    read = module.parse_log

    def parse(content: bytes) -> Log:
        log = read(content)
        if log.method == "hf":
            log.notes = ["a run left out: cut inside a table"]
        return log

    monkeypatch.setattr(module, "parse_log", parse)
    counts, found = run(logs, tmp_path, pattern)
    assert found == {"000000002": ["pm3", "hf", "dft_1st"]}
    # PM3, HF and one of two DFT logs, of which the cut one gave way; each of six files counts once.
    assert (counts.read, counts.rejected) == (3, 3)
    numbers = statistics(tmp_path / "s.parquet", tmp_path / "s.csv")
    assert numbers["rejected_logs"] == 2
    assert numbers["other_rejects"] == {"file": 1, "note": 1}
    assert any("gave way" in reason for reason in numbers["reject_reasons"])
    assert numbers["trajectories_with_breaks"] == 0
    rows = pd.read_csv(tmp_path / "s.csv", keep_default_na=False)
    note = rows[rows["kind"] == "note"].iloc[0]
    assert note["reason"] == "a run left out: cut inside a table"
    assert note["file"].endswith("000000002.hf.log")
    index = pd.read_parquet(tmp_path / "s.parquet")
    assert index["notes"][0] == "hf: a run left out: cut inside a table"
    (trajectory,) = read_shard(tmp_path / "s.lmdb")
    assert trajectory.stages["hf"].notes == ["a run left out: cut inside a table"]
    assert not trajectory.stages["pm3"].notes


def test_provenance_names_a_folders_state_and_the_identifiers(tmp_path, put_logs, pattern):
    put_logs(tmp_path / "logs", "000000002")
    table = tmp_path / "molecules.csv"
    table.write_text("cid,smiles\n2,O\n")
    (tmp_path / "curate.json").write_text(json.dumps({"name_pattern": pattern.compiled.pattern}))

    def inputs():
        assert main([
            "curate", "--settings", str(tmp_path / "curate.json"), "--logs",
            str(tmp_path / "logs"), "--identifiers", str(table), "--store",
            str(tmp_path / "s.lmdb"), "--index", str(tmp_path / "s.parquet"), "--rejects",
            str(tmp_path / "s.csv"),
        ]) == 0  # fmt: skip
        return json.loads((tmp_path / "s.lmdb.provenance.json").read_text())["inputs"]

    before = inputs()
    assert set(before) == {str(tmp_path / "logs"), str(table)}
    put_logs(tmp_path / "logs", "000000003", ("hf",))
    after = inputs()
    assert after[str(table)] == before[str(table)]
    assert after[str(tmp_path / "logs")] != before[str(tmp_path / "logs")]


def test_a_missing_source_is_said_before_anything_is_written(tmp_path, pattern):
    with pytest.raises(UserError, match="no such archive"):
        run(tmp_path / "none.tar", tmp_path / "out", pattern)
    assert not (tmp_path / "out").exists()


def test_positions_of_a_resumed_molecule_are_its_own(tmp_path, put_logs, pattern, monkeypatch):
    """A molecule whose logs lie on both sides of a commit keeps the stages of both."""
    monkeypatch.setattr(module, "_COMMIT_LOGS", 2)
    put_logs(tmp_path / "logs", "000000002")
    with pytest.raises(KilledError):
        run(tmp_path / "logs", tmp_path, pattern, kill_after(3))
    _, found = run(tmp_path / "logs", tmp_path, pattern)
    assert found == {"000000002": ["pm3", "hf", "dft_1st"]}
    (trajectory,) = read_shard(tmp_path / "s.lmdb")
    assert np.isfinite(trajectory.stages["dft_1st"].gradients).all()
