"""The published format, both ways, and what must not come in with it."""

import gzip
import os
import pickle
import pickletools

import lmdb
import numpy as np
import pytest

from force2geo.cli import main
from force2geo.store import plain_pickle
from force2geo.store.lmdb_store import Shard, StoreWriter
from force2geo.store.pubchemqcr import PublishedFormatError, decode, encode


def published_loader(value):
    """What the published dataset card tells users to do."""
    return pickle.loads(gzip.decompress(value))


def test_export_is_what_the_published_loader_reads(trajectories):
    trajectory = trajectories[1]
    trajectory.stages["dft_1st"].program = "smash"
    trajectory.stages["hf"].gradients[1] = np.nan
    record = published_loader(encode(trajectory))
    assert list(record) == ["pm3", "hf", "DFT_1st", "DFT_2nd"] and record["DFT_2nd"] is None
    step, stage = record["pm3"][2], trajectory.stages["pm3"]
    assert step["energy"] == stage.energies[2]
    assert step["coordinates"][0] == {
        "atom": "O", "charge": 8.0,
        **dict(zip("xyz", stage.positions[2, 0].tolist(), strict=True)),
    }  # fmt: skip
    assert list(step["gradient"][1].values())[2:] == stage.gradients[2, 1].tolist()
    assert list(step["gradient"][1]) == ["atom", "charge", "dx", "dy", "dz"]
    assert "charge" not in record["DFT_1st"][0]["coordinates"][0]
    assert record["hf"][1]["gradient"] is None
    assert encode(trajectory) == encode(trajectory)


def test_import_gives_back_what_was_exported(trajectories):
    for trajectory in trajectories:
        trajectory.stages["dft_1st"].gradients[0] = np.nan
        found = decode(trajectory.cid.encode(), encode(trajectory))
        assert found.cid == trajectory.cid and list(found.stages) == ["pm3", "hf", "dft_1st"]
        for name, stage in found.stages.items():
            for key in ("positions", "energies", "gradients"):
                np.testing.assert_array_equal(
                    getattr(stage, key), getattr(trajectory.stages[name], key)
                )
    assert encode(found) == encode(trajectory)


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/force2geo-was-here",)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value", [Evil(), os.system, {1, 2}, frozenset({1}), complex(1), np.float64(1), bytearray(b"x")]
)
def test_anything_but_plain_data_is_refused(value, protocol):
    data = pickle.dumps({"pm3": [value]}, protocol)
    with pytest.raises(plain_pickle.PlainPickleError):
        plain_pickle.loads(data)
    with pytest.raises(PublishedFormatError):
        decode(b"000000001", gzip.compress(data))


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_come_in(protocol):
    value = {"a": [1, -2.5, None, True, "x", (1, 2), (), 10**30, {"b": []}], "c": 70_000 * [0.5]}
    assert plain_pickle.loads(pickle.dumps(value, protocol)) == value


def test_memory_bombs_and_damage_are_refused():
    place = (1 << 31).to_bytes(4, "little")
    for bad in (
        b"\x80\x02]r" + place + b".", b"]p99999999999\n.", b"", b".", b"\x80\x04", b"(((((",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", b"cos\nsystem\n(S'x'\ntR.", b"]]",
    ):  # fmt: skip
        with pytest.raises(plain_pickle.PlainPickleError):
            plain_pickle.loads(bad)
    whole = pickle.dumps([{"a": 1.5}] * 3)
    for end in range(len(whole)):
        with pytest.raises(plain_pickle.PlainPickleError):
            plain_pickle.loads(whole[:end])
    with pytest.raises(PublishedFormatError, match="more than"):
        decode(b"1", gzip.compress(bytes(1 << 30), 1))
    assert {code.name for code in pickletools.opcodes} >= set(plain_pickle._ALLOWED)


def test_commands_import_and_export(tmp_path, trajectories, capsys):
    with (
        lmdb.open(str(tmp_path / "Data01.lmdb"), subdir=False) as environment,
        environment.begin(write=True) as transaction,
    ):
        for trajectory in trajectories:
            transaction.put(trajectory.cid.encode(), encode(trajectory))
        transaction.put(b"000000003", gzip.compress(pickle.dumps(Evil())))
        transaction.put(b"000000004", b"garbage")
    table = tmp_path / "molecules.csv"
    table.write_text("cid,smiles,inchi\n962,O,InChI=1S/H2O/h1H2\n297,N,InChI=1S/H3N/h1H3\n")
    store = tmp_path / "store"
    arguments = ["--identifiers", str(table), "--store", str(store)]
    assert main(["published", "import", str(tmp_path / "Data01.lmdb"), *arguments]) == 0
    assert "1 molecules, 3 rejected" in capsys.readouterr().out
    rejects = (store / "Data01.rejects.csv").read_text()
    assert "those of the InChI H3N" in rejects and "not plain data" in rejects
    shard = Shard(store / "Data01.lmdb")
    assert shard["000000962"].smiles == "O"
    out = tmp_path / "again.lmdb"
    assert main(["published", "export", str(store / "Data01.lmdb"), "--out", str(out)]) == 0
    with (
        lmdb.open(str(out), subdir=False, readonly=True, lock=False) as environment,
        environment.begin() as transaction,
    ):
        assert transaction.get(b"000000962") == encode(trajectories[1])


def test_points_alone_have_no_place_in_the_format(tmp_path, trajectories):
    trajectories[0].stages = {"dft_points": trajectories[0].stages["dft_points"]}
    writer = StoreWriter(tmp_path / "s.lmdb")
    for trajectory in trajectories:
        writer.put(trajectory)
    writer.finish()
    out = tmp_path / "out.lmdb"
    assert main(["published", "export", str(tmp_path / "s.lmdb"), "--out", str(out)]) == 0
    with lmdb.open(str(out), subdir=False, readonly=True, lock=False) as environment:
        assert environment.stat()["entries"] == 1
