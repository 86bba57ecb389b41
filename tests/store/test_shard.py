"""Shards: commits, kills, full disks, many processes."""

import multiprocessing
import os
import pickle
import resource

import lmdb
import numpy as np
import pytest

from force2geo.errors import UserError
from force2geo.store.lmdb_store import Shard, StoreWriter, read_shard


def write(path, trajectories):
    writer = StoreWriter(path)
    for trajectory in trajectories:
        writer.put(trajectory)
    writer.finish()


def test_shard_holds_molecules_and_nothing_else(tmp_path, trajectories, same_stage):
    writer = StoreWriter(tmp_path / "s.lmdb")
    writer.put(trajectories[1])
    writer.rows.append({"reason": "x"})
    writer.commit({"done": 1})
    assert writer.state() == {"done": 1} and list(writer.read_rows()) == [{"reason": "x"}]
    writer.put(trajectories[0])
    writer.finish()
    with (
        lmdb.open(str(tmp_path / "s.lmdb"), subdir=False, lock=False) as environment,
        environment.begin() as transaction,
    ):
        keys = list(transaction.cursor().iternext(values=False))
    assert keys == [b"000000297", b"000000962"]
    shard = Shard(tmp_path / "s.lmdb")
    assert len(shard) == 2 and shard.cids() == ["000000297", "000000962"]
    same_stage(shard["000000962"].stages["hf"], trajectories[1].stages["hf"])
    with pytest.raises(KeyError):
        shard["000000001"]
    assert [list(t.stages) for t in read_shard(tmp_path / "s.lmdb", ["hf"])] == [["hf"]] * 2


def test_what_was_committed_survives_and_is_told(tmp_path, trajectories):
    writer = StoreWriter(tmp_path / "s.lmdb")
    writer.put(trajectories[0])
    writer.rows.append({"n": 1})
    writer.commit({"done": 7})
    writer.put(trajectories[1])  # never committed
    writer.close()
    successor = StoreWriter(tmp_path / "s.lmdb")
    assert successor.state() == {"done": 7} and successor.get("000000962") is None
    successor.rows.append({"n": 2})
    successor.commit({"done": 8})
    assert [row["n"] for row in successor.read_rows()] == [1, 2]
    successor.finish()
    assert Shard(tmp_path / "s.lmdb").cids() == ["000000297"]


def test_map_grows(tmp_path, trajectories):
    writer = StoreWriter(tmp_path / "s.lmdb", map_size=1 << 16)
    for number in range(200):
        trajectories[0].cid = f"{number:09d}"
        writer.put(trajectories[0])
        writer.commit()
    writer.finish()
    assert len(Shard(tmp_path / "s.lmdb")) == 200


def _fill(path, trajectories):
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, 1 << 19))
    writer = StoreWriter(path)
    for number in range(10_000):
        trajectories[0].cid = f"{number:09d}"
        writer.put(trajectories[0])
        if number % 10 == 9:
            writer.commit({"done": number})


def _fill_and_report(path, trajectories, report):
    try:
        _fill(path, trajectories)
    except UserError as error:
        report.write_text(str(error))


def test_no_room_is_one_clear_line_and_keeps_what_was_committed(tmp_path, trajectories):
    report = tmp_path / "report"
    context = multiprocessing.get_context("fork")
    worker = context.Process(
        target=_fill_and_report, args=(tmp_path / "s.lmdb", trajectories, report)
    )
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0
    assert "kept there" in report.read_text() and "\n" not in report.read_text()
    writer = StoreWriter(tmp_path / "s.lmdb")
    done = writer.state()["done"]
    writer.finish()
    cids = Shard(tmp_path / "s.lmdb").cids()
    assert cids == [f"{number:09d}" for number in range(done + 1)] and done > 20


def _read(shard, cid):
    return os.getpid(), float(shard[cid].stages["hf"].energies[0])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_readers_work_in_other_processes(tmp_path, trajectories, method):
    write(tmp_path / "s.lmdb", trajectories)
    shard = Shard(tmp_path / "s.lmdb")
    expected = shard["000000962"].stages["hf"].energies[0]  # open before the fork
    assert len(pickle.dumps(shard)) < 500
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.starmap(_read, [(shard, "000000962")] * 8)
    assert {energy for _, energy in found} == {float(expected)}
    assert os.getpid() not in {process for process, _ in found}


def test_a_shard_may_be_opened_twice_and_replaced(tmp_path, trajectories):
    write(tmp_path / "s.lmdb", trajectories)
    one, two = Shard(tmp_path / "s.lmdb"), Shard(tmp_path / "s.lmdb")
    assert len(one) == len(two) == 2
    write(tmp_path / "new.lmdb", trajectories[:1])
    (tmp_path / "new.lmdb").replace(tmp_path / "s.lmdb")
    assert len(Shard(tmp_path / "s.lmdb")) == 1 and len(one) == 2


def test_unreadable_shard_is_named(tmp_path):
    (tmp_path / "s.lmdb").write_bytes(np.random.default_rng(0).bytes(100_000))
    with pytest.raises(UserError, match=r"s\.lmdb"):
        len(Shard(tmp_path / "s.lmdb"))


def test_what_waits_is_counted_in_bytes(tmp_path, trajectories):
    writer = StoreWriter(tmp_path / "s.lmdb")
    assert writer.pending_bytes == 0
    for trajectory in (*trajectories, trajectories[0]):  # the last in place of the first
        writer.put(trajectory)
    writer.commit()
    assert writer.pending_bytes == 0
    for trajectory in trajectories:
        writer.put(trajectory)
    waiting = writer.pending_bytes
    writer.close()
    with (
        lmdb.open(str(tmp_path / "s.lmdb"), subdir=False, lock=False) as environment,
        environment.begin() as transaction,
    ):
        assert waiting == sum(len(value) for _, value in transaction.cursor())
