"""Files that several processes and hosts write, and what tells that inputs changed."""

import hashlib
import os
import subprocess
import sys
import time

import pytest

from force2geo import files
from force2geo.errors import UserError
from force2geo.files import (
    atomic_path,
    folder_files,
    folder_fingerprint,
    hash_file,
    hash_value,
    known_hash,
    printable,
    source_hash,
    write_table,
)
from force2geo.locks import locked

OLD = time.time() - 30 * 24 * 3600


@pytest.fixture
def dead():
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def leave(folder, owner, age=0.0):
    part = folder / f".x.json.part-{owner}_0"
    part.write_text("half")
    if age:
        os.utime(part, (time.time() - age,) * 2)
    return part


def write(path, text):
    with atomic_path(path) as part:
        part.write_text(text)


def test_parts_of_living_writers_are_left_alone(tmp_path, dead):
    """On a shared disk another host's process cannot be looked up here."""
    here, day = files.this_host(), 24 * 3600.0
    mine = leave(tmp_path, f"{here}+{os.getppid()}", 30 * day)
    foreign = leave(tmp_path, f"node17-0123abcd+{dead}", 2 * day)
    lost = leave(tmp_path, f"{here}+{dead}")
    stale = leave(tmp_path, f"node18-0123abcd+{os.getppid()}", 30 * day)
    older = tmp_path / f".x.json.part{dead}"  # as older versions named them
    older.write_text("half")
    partial = tmp_path / ".x.json.partial"  # a curation's, to be taken up
    partial.write_text("half")
    os.utime(partial, (OLD, OLD))
    write(tmp_path / "x.json", "whole")
    assert mine.exists() and foreign.exists() and older.exists() and partial.exists()
    assert not lost.exists() and not stale.exists()
    assert (tmp_path / "x.json").read_text() == "whole"


def test_the_host_tells_boots_and_containers_apart(monkeypatch):
    one = files.this_host()
    files.this_host.cache_clear()
    monkeypatch.setattr(files.socket, "gethostname", lambda: "elsewhere")
    other = files.this_host()
    files.this_host.cache_clear()
    assert other.startswith("elsewhere-") and other.rpartition("-")[2] == one.rpartition("-")[2]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    target = tmp_path / "x.json"
    with atomic_path(target) as one:
        one.write_text("first")
        with atomic_path(target) as two:
            two.write_text("second")
        assert one != two and target.read_text() == "second"
    assert target.read_text() == "first"
    with pytest.raises(RuntimeError), atomic_path(target) as part:
        part.write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert target.read_text() == "first"


HOLD = """
import sys, time
from pathlib import Path
from force2geo.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_one_processs_and_ends_with_it(tmp_path):
    target = tmp_path / "s.lmdb"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(target)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(UserError, match=f"process {process.pid} on .* is writing it"),
            locked(target),
        ):
            pass
        with locked(tmp_path / "other.lmdb"):
            pass
    finally:
        process.kill()
        process.wait()
    entered = False
    with locked(target):  # what was killed holds nothing
        entered = True
    assert entered and not list(tmp_path.iterdir())


def test_without_locks_on_the_disk_the_holder_named_decides(tmp_path, monkeypatch, dead):
    from force2geo import locks

    def none(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    target, file = tmp_path / "s.lmdb", tmp_path / ".s.lmdb.lock"
    with locked(target):
        assert file.read_text() == f"{files.this_host()} {os.getpid()}"
        with pytest.raises(UserError, match="no locks"), locked(target):
            pass
    file.write_text(f"{files.this_host()} {dead}")
    with locked(target):
        pass
    file.write_text(f"node17-0123abcd {dead}")
    with pytest.raises(UserError, match=r"node17 .*delete .*\.lock"), locked(target):
        pass


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match=r"file/s\.lmdb: cannot be written"),
        locked(tmp_path / "file/s.lmdb"),
    ):
        pass


def test_a_folders_fingerprint_sees_every_file_at_any_depth(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    for name in ("a/b/one.log", "a/two.log", "three.log"):
        (tmp_path / name).write_text("1")
    listed = [str(path.relative_to(tmp_path)) for path in folder_files(tmp_path)]
    assert listed == ["a/b/one.log", "a/two.log", "three.log"]
    seen = [folder_fingerprint(tmp_path)]
    assert folder_fingerprint(tmp_path) == seen[0]
    deep = tmp_path / "a/b/one.log"
    for change in (
        lambda: (tmp_path / "a/b/four.log").write_text(""),
        lambda: deep.write_text("11"),
        lambda: os.utime(deep, (OLD, OLD)),
        lambda: (tmp_path / "a/two.log").rename(tmp_path / "a/b/two.log"),
        lambda: deep.unlink(),
        lambda: (tmp_path / "a/link").symlink_to(tmp_path / "a/b"),  # one more entry of a resume
    ):
        change()
        seen.append(folder_fingerprint(tmp_path))
        assert seen.count(seen[-1]) == 1
    assert known_hash(tmp_path) == seen[-1]


def test_the_hash_of_sources_covers_whole_folders(tmp_path, monkeypatch):
    package = tmp_path / "force2geo"
    (package / "logs/deep").mkdir(parents=True)
    for name in ("files.py", "logs/a.py", "logs/deep/b.py", "other.py"):
        (package / name).write_text("x = 1\n")
    monkeypatch.setattr(files, "__file__", str(package / "files.py"))
    now = lambda: source_hash.__wrapped__("logs", "files.py")  # noqa: E731
    first = now()
    (package / "other.py").write_text("x = 2\n")
    assert now() == first
    for name in ("logs/deep/b.py", "files.py"):
        (package / name).write_text("x = 2\n")
        assert now() != first
        (package / name).write_text("x = 1\n")
    assert now() == first


def test_names_of_any_bytes_can_be_written(tmp_path):
    name = b"H\xe9.log".decode("utf-8", "surrogateescape")
    assert printable(name) == r"H\xe9.log" and printable("Hé\ud800") == r"Hé\ud800"
    assert printable("Ünï/x.log") == "Ünï/x.log"
    write_table(tmp_path / "x.csv", ["file"], [{"file": name}, {"file": "Ü"}])
    assert (tmp_path / "x.csv").read_bytes().decode("utf-8").split() == [
        "file",
        "H\\udce9.log",
        "Ü",
    ]


def test_hashes_are_the_beginning_of_sha_256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    # Of FIPS 180-2, appendix B.1.
    assert hash_file(tmp_path / "x") == known_hash(tmp_path / "x") == "ba7816bf8f01cfea"
    large = b"x" * (3 << 20) + b"y"  # in several blocks
    (tmp_path / "x").write_bytes(large)
    assert hash_file(tmp_path / "x") == hashlib.sha256(large).hexdigest()[:16]
    text = b'{"a": [2, 1.5], "b": null}'
    assert hash_value({"b": None, "a": [2, 1.5]}) == hashlib.sha256(text).hexdigest()[:16]
