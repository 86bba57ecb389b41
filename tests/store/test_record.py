"""Records keep every digit, decode by stage and tell damage."""

import base64
import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from force2geo.store import dictionaries, fixed_point
from force2geo.store.record import Record, RecordError, decode, encode

# Water, two steps, the second without gradient, as version 2 wrote it.
VERSION_2 = (
    "MlwfI0&D;P04TLD{a`%+6$1b?1A93(GB`3ZEFx}iUuSY*WNBq?bRs%iF<mWkaA9<Eb!9a$HGO@3EFwrUPcLXONHQXQ"
    "4<InYvY-zK<Od`y_Vjk0;s}==AqxrmabODs$ulTjf{-Ch>fl$%l}z<`S17eF{UChh0svG5*F|<pEE-e5#Yz@IEdT%z"
    "06;$gKR*Bf&;USR06$*<0L%asFaU%A6JY=&0OyYY000640Du6mKLD^l0K@>Z;sXEx0SX}S-T??0=mIU-9;Ta?X>5%F"
    "_yq"
)


def test_records_of_version_2_are_read():
    found = decode(base64.b85decode(VERSION_2))
    assert (found.cid, found.smiles, found.inchi) == ("000000962", "O", "InChI=1S/H2O/h1H2")
    assert (found.charge, found.multiplicity) == (0, 1)
    assert found.atomic_numbers.tolist() == [8, 1, 1]
    stage = found.stages["dft_1st"]
    assert (stage.program, stage.version, stage.functional) == ("smash", "3.0.2", "b3lyp(vwn-rpa)")
    assert (stage.spherical, stage.converged, stage.homo, stage.lumo) == (True, True, -0.25, 0.05)
    assert stage.energies.tolist() == [-76.4089533, -76.4090121] and stage.notes == []
    assert stage.positions[1].tolist() == [[0, 0, 0.119], [0, 0.764, -0.477], [0, -0.764, -0.477]]
    assert stage.gradients[0, 1].tolist() == [0.0, -0.0023, -0.0061728]
    assert np.isnan(stage.gradients[1]).all()


def test_dictionaries_never_change():
    """A changed dictionary would make every header written with it unreadable."""
    digests = {n: hashlib.sha256(text).hexdigest()[:16] for n, text in dictionaries.TEXTS.items()}
    assert digests == {1: "5f202282e9e42c85"}


def test_a_record_names_its_dictionary(trajectories, monkeypatch):
    old = encode(trajectories[0])
    monkeypatch.setitem(dictionaries.TEXTS, 2, b'"another":"example","cid":"000000000"' * 4)
    monkeypatch.setattr("force2geo.store.record.NEWEST", 2)
    new = encode(trajectories[0])
    assert (old[4], old[5], new[4], new[5]) == (3, 1, 3, 2)
    for record in (old, new):
        assert decode(record).cid == trajectories[0].cid
    with pytest.raises(RecordError, match="dictionary 9, unknown here: update force2geo"):
        decode(old[:5] + b"\x09" + old[6:])
    with pytest.raises(RecordError, match="version 04, this reads 02 and 03: update force2geo"):
        decode(old[:4] + b"\x04" + old[5:])


def test_the_sign_of_a_zero_is_kept(trajectories):
    trajectory = trajectories[0]
    stage = trajectory.stages["hf"]
    stage.gradients[:, 0] = [-0.0, 0.0, -0.0]
    stage.gradients[1, 1, 1] = -0.0
    stage.positions[0, 2] = [0.0, -0.0, 0.0]
    found = decode(encode(trajectory)).stages["hf"]
    for key in ("positions", "gradients", "energies"):
        expected = getattr(stage, key)
        np.testing.assert_array_equal(getattr(found, key), expected)
        np.testing.assert_array_equal(np.signbit(getattr(found, key)), np.signbit(expected))
    # A bit a value, and nothing where there is no such zero.
    shape = stage.gradients.reshape(3, -1).shape
    data, code = fixed_point.encode(stage.gradients.reshape(shape))
    plain, plain_code = fixed_point.encode(np.abs(stage.gradients.reshape(shape)))
    assert code[3:] == [-(-stage.gradients.size // 8)] and len(plain_code) == 3
    assert len(data) - len(plain) == (code[2] - plain_code[2]) * stage.gradients.size + code[3]


def test_notes_travel(trajectories):
    trajectories[0].stages["hf"].notes = ["a run left out: cut"]
    found = decode(encode(trajectories[0]))
    assert found.stages["hf"].notes == ["a run left out: cut"] and not found.stages["pm3"].notes


def test_headers_are_compressed_by_their_dictionary(trajectories):
    record = encode(trajectories[0])
    (length,) = struct.unpack_from("<I", record, 6)
    assert length < 450


def test_record_is_lossless(trajectories, same_stage):
    for trajectory in trajectories:
        found = decode(encode(trajectory))
        for key in ("cid", "smiles", "inchi", "charge", "multiplicity"):
            assert getattr(found, key) == getattr(trajectory, key)
        np.testing.assert_array_equal(found.atomic_numbers, trajectory.atomic_numbers)
        assert list(found.stages) == list(trajectory.stages)
        for name, expected in trajectory.stages.items():
            same_stage(found.stages[name], expected)


def test_missing_numbers_stay_missing(trajectories, same_stage):
    stage = trajectories[0].stages["dft_1st"]
    stage.gradients[2] = np.nan
    stage.energies[4] = np.nan
    same_stage(decode(encode(trajectories[0])).stages["dft_1st"], stage)


def test_a_stage_is_decoded_alone(trajectories, same_stage):
    record = bytearray(encode(trajectories[0]))
    whole = Record(bytes(record))
    begin, end = whole._frames["pm3"]
    record[begin:end] = bytes(end - begin)
    damaged = Record(bytes(record))
    same_stage(damaged.stage("dft_1st"), trajectories[0].stages["dft_1st"])
    assert list(decode(bytes(record), ["hf", "dft_2nd"]).stages) == ["hf"]
    with pytest.raises(RecordError, match="stage pm3"):
        damaged.stage("pm3")


def test_damaged_records_are_told(trajectories):
    record = encode(trajectories[0])
    for bad in (b"", b"pickle", record[:4] + b"\x09" + record[5:], record[:-30], record[:40]):
        with pytest.raises(RecordError):
            decode(bad)
    rng = np.random.default_rng(0)
    for _ in range(500):
        bad = bytearray(record)
        bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
        try:
            decode(bytes(bad))
        except RecordError:
            continue


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_decimals_and_other_floats_come_back_exactly(data):
    steps, width = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 5))
    count = steps * width
    if data.draw(st.booleans()):
        decimals = data.draw(st.integers(0, 13))
        limit = 2**52 if decimals < 12 else 10**14
        whole = data.draw(st.lists(st.integers(-limit, limit), min_size=count, max_size=count))
        values = np.array(whole) / 10.0**decimals
    else:
        floats = st.floats(width=64)
        values = np.array(data.draw(st.lists(floats, min_size=count, max_size=count)))
    values = values.reshape(steps, width)
    encoded, code = fixed_point.encode(values)
    found = fixed_point.decode(memoryview(encoded), values.shape, code)
    np.testing.assert_array_equal(found, values)
    same = (np.signbit(found) == np.signbit(values)) | np.isnan(values)
    assert same.all()


def test_smaller_than_the_published_format(shared_data):
    from force2geo.interchange import pubchemqcr
    from force2geo.interchange.protocol import read_protocol

    ours = theirs = 0
    paths = sorted((shared_data / "dft_trajectories").glob("*.npz"))[:40]
    for path in paths:
        trajectory = read_protocol(path, "000000001")
        trajectory.stages.pop("dft_points", None)
        for stage in trajectory.stages.values():  # the digits that logs print
            stage.positions = stage.positions.round(10)
            stage.gradients = stage.gradients.round(7)
            stage.energies = stage.energies.round(10)
        ours += len(encode(trajectory))
        theirs += len(pubchemqcr.encode(trajectory))
    # The eight that ship with the tests are smaller than most, and heads weigh more.
    assert ours < (0.40 if len(paths) == 40 else 0.43) * theirs


def test_decoded_stages_share_nothing(trajectories):
    data = encode(trajectories[0])
    first = decode(data).stages["hf"]
    first.notes.append("of this one")
    first.origin.append("of this one")
    other = decode(data)
    assert not any("of this one" in s.notes + s.origin for s in other.stages.values())
