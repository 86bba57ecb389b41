"""The published format, both ways, and what must not come in with it."""

import gzip
import os
import pickle
import pickletools

import lmdb
import numpy as np
import pytest

from force2geo.cli import main
from force2geo.interchange import plain_pickle
from force2geo.interchange.pubchemqcr import PublishedFormatError, decode, encode
from force2geo.interchange.published import export_shards
from force2geo.store.lmdb_store import Shard, StoreWriter
from force2geo.trajectory import Trajectory


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


@pytest.mark.parametrize("key", [b"mol1", b"223_0", b"1234567890123", b"", b"\xff", b"-1", b"1 "])
def test_keys_that_are_no_cids_are_rejected(trajectories, key):
    with pytest.raises(PublishedFormatError, match="key is not a CID"):
        decode(key, encode(trajectories[0]))


def test_leading_zeros_of_a_key_do_not_count(trajectories):
    for key in (b"962", b"000000962", b"0000000000962"):
        assert decode(key, encode(trajectories[1])).cid == "000000962"


@pytest.fixture
def import_one(tmp_path):
    """Imports records by key with a table of identifiers; gives the store's folder."""

    def run(records, table):
        with (
            lmdb.open(str(tmp_path / "D.lmdb"), subdir=False) as environment,
            environment.begin(write=True) as transaction,
        ):
            for key, trajectory in records.items():
                transaction.put(key, encode(trajectory))
        (tmp_path / "t.csv").write_text(table)
        arguments = ["--identifiers", str(tmp_path / "t.csv"), "--store", str(tmp_path / "store")]
        assert main(["published", "import", str(tmp_path / "D.lmdb"), *arguments]) == 0
        return tmp_path / "store"

    return run


def test_ions_and_radicals_have_their_charge_and_spin(import_one, make_stage, capsys):
    def molecule(*numbers):
        stages = {"dft_1st": make_stage(2, len(numbers))}
        return Trajectory("", np.array(numbers, dtype=np.uint8), stages=stages)

    records = {
        b"1": molecule(7, 1, 1, 1, 1),  # ammonium, InChI with a proton added
        b"2": molecule(6, 8, 8, 1),  # formate, proton taken away
        b"3": molecule(11),  # sodium ion, layer q
        b"4": molecule(8, 1),  # hydroxyl radical
        b"5": molecule(7, 1, 1, 1, 1),  # by SMILES
        b"6": molecule(7, 1, 1, 1, 1),  # nothing known
        b"7": molecule(8, 1, 1),  # nothing known, and nothing unpaired
    }
    store = import_one(
        records,
        "cid,smiles,inchi\n1,,InChI=1S/H3N/h1H3/p+1\n"
        '2,,"InChI=1S/CH2O2/c2-1-3/h1H,(H,2,3)/p-1"\n'
        "3,,InChI=1S/Na/q+1\n4,,InChI=1S/HO/h1H\n5,[NH4+],\n",
    )
    assert "7 molecules, 0 rejected" in capsys.readouterr().out
    shard = Shard(store / "D.lmdb")
    states = [(shard[cid].charge, shard[cid].multiplicity) for cid in shard]
    assert states == [(1, 1), (-1, 1), (1, 1), (0, 2), (1, 1), (0, 2), (0, 1)]
    notes = [shard[cid].stages["dft_1st"].notes for cid in shard]
    assert [bool(note) for note in notes] == [False] * 5 + [True, False]


def test_two_keys_of_one_cid_do_not_overwrite_each_other(import_one, trajectories, capsys):
    trajectories[0].stages.pop("dft_points")
    records = {b"000000297": trajectories[0], b"297": trajectories[0], b"mol1": trajectories[1]}
    store = import_one(records, "cid,smiles\n297,C\n")
    assert "1 molecules, 2 rejected" in capsys.readouterr().out
    rejects = (store / "D.rejects.csv").read_text()
    assert "the same CID as an earlier key" in rejects and "mol1" in rejects
    assert Shard(store / "D.lmdb").cids() == ["000000297"]


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
    told = []
    found = export_shards([tmp_path / "s.lmdb"], tmp_path / "again.lmdb", told.append)
    assert found == (1, 1) and told == [1, 1]
