"""Where a run's logs are: shards, and when one has changed."""

import os

import pytest

from force2geo.config import fingerprint, generated_shards, own_molecules, shard_sources
from force2geo.errors import UserError


def test_a_folder_s_fingerprint_tells_of_every_file_in_it(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a.log").write_text("a")
    seen = {fingerprint(str(tmp_path))}
    (tmp_path / "deep/b.log").write_text("b")
    seen.add(fingerprint(str(tmp_path)))
    os.utime(tmp_path / "deep/b.log", ns=(1, 1))
    seen.add(fingerprint(str(tmp_path)))
    (tmp_path / "deep/b.log").rename(tmp_path / "deep/c.log")
    seen.add(fingerprint(str(tmp_path)))
    assert len(seen) == 4 and fingerprint(str(tmp_path)) in seen
    assert fingerprint(str(tmp_path / "deep/a.log")) == ""


def test_shards_are_archives_or_folders_of_logs_or_generated(tmp_path):
    (tmp_path / "many").mkdir()
    for name in ("b.tar.xz", "a.tar", "c.zip", "notes.txt"):
        (tmp_path / "many" / name).touch()
    (tmp_path / "plain").mkdir()
    logs = [str(tmp_path / "many"), str(tmp_path / "plain")]
    config = {"run": "x", "raw": {"logs": logs}}
    assert list(shard_sources(config)) == ["a", "b", "c", "plain"]
    with pytest.raises(UserError, match="two shards"):
        shard_sources(config | {"raw": {"logs": [*logs, logs[0]]}})
    assert shard_sources(config | {"raw": {"logs": []}}) == {} == shard_sources({"run": "x"})
    (tmp_path / "mine.smi").write_text("O\nC\nN water\n")
    config |= {"raw": {"logs": []}}
    config["generate"] = {"molecules": str(tmp_path / "mine.smi"), "shard_size": 2}
    shards = generated_shards(config)
    assert {name: len(cids) for name, cids in shards.items()} == {
        "generated_00000": 2, "generated_00001": 1,
    }  # fmt: skip
    assert [cid for cids in shards.values() for cid in cids] == list(own_molecules(config))
    assert list(own_molecules(config).values()) == ["O", "C", "N"]
    assert shard_sources(config)["generated_00001"] == "results/x/generated/generated_00001.tar"
