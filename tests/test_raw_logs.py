"""Where a run's logs are: shards, and when one has changed."""

import os

import pytest

from force2geo.config import (
    fingerprint,
    generated_shards,
    own_molecules,
    resolve,
    shard_identifiers,
    shard_sources,
)
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


def test_each_shard_has_the_table_of_its_entry(tmp_path):
    (tmp_path / "many").mkdir()
    for name in ("b.tar.xz", "a.tar"):
        (tmp_path / "many" / name).touch()
    logs = [str(tmp_path / "many"), str(tmp_path / "c.zip")]
    for given, found in (
        ("all.csv", {"a": "all.csv", "b": "all.csv", "c": "all.csv"}),
        (["m.csv", "c.csv"], {"a": "m.csv", "b": "m.csv", "c": "c.csv"}),
        (None, {}),
    ):
        config = {"run": "x", "raw": {"logs": logs, "identifiers": given}}
        assert shard_identifiers(config) == found
    (tmp_path / "mine.smi").write_text("O\n")
    config["generate"] = {"molecules": str(tmp_path / "mine.smi"), "shard_size": 2}
    assert shard_identifiers(config) == {"generated_00000": str(tmp_path / "mine.smi")}
    assert shard_identifiers({"run": "x"}) == {}


def test_tables_are_as_many_as_entries_and_there(tmp_path):
    (tmp_path / "a.tar").touch()
    logs = [str(tmp_path / "a.tar")]
    for given, said in (
        ([], "raw.identifiers: 0 tables for 1 entries"),
        ([logs[0], logs[0]], "raw.identifiers: 2 tables for 1 entries"),
        (["no.csv"], r"raw.identifiers\[0\]: no such file or folder 'no.csv'"),
        ("no.csv", "raw.identifiers: no such file or folder 'no.csv'"),
    ):
        with pytest.raises(UserError, match=said):
            resolve({"run": "x", "raw": {"logs": logs, "identifiers": given}}, models=False)


def test_labels_and_the_demo_are_read_in_one_run(repository, monkeypatch):
    monkeypatch.chdir(repository)
    folders = [f"workflow/resources/{name}" for name in ("demo", "labels")]
    tables = [f"{folder}/molecules.csv" for folder in folders]
    config = resolve({"run": "x", "raw": {"logs": folders, "identifiers": tables}}, models=False)
    sources, found = shard_sources(config), shard_identifiers(config)
    assert set(sources) == set(found) and {"shard_000", "labels_000"} <= set(sources)
    for shard, table in found.items():
        assert table.rpartition("/")[0] == sources[shard].rpartition("/")[0]
