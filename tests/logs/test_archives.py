"""Compressed logs and archives, honest and hostile."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile

import pytest
import zstandard

from force2geo.errors import UserError
from force2geo.logs import archives
from force2geo.logs.archives import iterate_logs, read_file

TEXT = b"a log\n" * 50
COMPRESS = {
    "": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress,
    ".zst": zstandard.compress,
}  # fmt: skip


def tar_of(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def found(source):
    return {entry.name: entry.content or entry.reason for entry in iterate_logs(source)}


@pytest.mark.parametrize("outer", COMPRESS)
def test_tar_archives_of_compressed_logs(tmp_path, outer):
    files = {f"{i:09d}/x.log{inner}": COMPRESS[inner](TEXT) for i, inner in enumerate(COMPRESS)}
    source = tmp_path / f"shard.tar{outer}"
    source.write_bytes(COMPRESS[outer](tar_of(files)))
    assert found(source) == dict.fromkeys(files, TEXT)
    assert list(tmp_path.iterdir()) == [source]


def test_zip_folder_and_single_file(tmp_path):
    with zipfile.ZipFile(tmp_path / "shard.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/x.log", TEXT)
        archive.writestr("a/y.log.xz", lzma.compress(TEXT))
    assert found(tmp_path / "shard.zip") == {"a/x.log": TEXT, "a/y.log.xz": TEXT}
    folder = tmp_path / "logs" / "a"
    folder.mkdir(parents=True)
    (folder / "x.log.gz").write_bytes(gzip.compress(TEXT))
    assert found(tmp_path / "logs") == {"a/x.log.gz": TEXT}
    assert found(folder / "x.log.gz") == {"x.log.gz": TEXT}
    assert read_file(folder / "x.log.gz") == TEXT
    with pytest.raises(UserError, match="no such"):
        next(iterate_logs(tmp_path / "nothing.tar"))


def test_links_and_paths_that_leave_are_refused(tmp_path):
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        link = tarfile.TarInfo("000000001/000000001.hf.log")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for name in ("../../x.log", "/etc/x.log", "a/../../x.log"):
            member = tarfile.TarInfo(name)
            member.size = len(TEXT)
            archive.addfile(member, io.BytesIO(TEXT))
    reasons = found(tmp_path / "evil.tar")
    assert len(reasons) == 4
    assert all("link" in str(r) or "leaves" in str(r) for r in reasons.values())
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "x.log").symlink_to("/etc/passwd")
    assert "link" in str(found(folder)["x.log"])


def test_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAX_LOG_BYTES", 1 << 20)
    bomb = gzip.compress(bytes(1 << 23))
    (tmp_path / "shard.tar").write_bytes(tar_of({"a.log.gz": bomb, "b.log": TEXT}))
    entries = found(tmp_path / "shard.tar")
    assert "larger than" in str(entries["a.log.gz"]) and entries["b.log"] == TEXT
    monkeypatch.setattr(archives, "MAX_RATIO", 20)
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(tar_of({"a.log": bytes(1 << 25)})))
    assert "bomb" in str(found(tmp_path / "bomb.tar.gz"))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.log", bytes(1 << 25))
    assert "bomb" in str(found(tmp_path / "bomb.zip"))


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar.zst"])
def test_cut_archives_give_what_they_have(tmp_path, suffix):
    files = {f"{i}.log": os.urandom(30_000) for i in range(20)}
    whole = COMPRESS[suffix[4:]](tar_of(files))
    source = tmp_path / f"shard{suffix}"
    source.write_bytes(whole[: len(whole) * 2 // 3])
    entries = list(iterate_logs(source))
    good = [entry for entry in entries if entry.content is not None]
    # A block of bzip2 holds 900 kB: of this archive it gives all or nothing.
    assert len(good) >= (0 if suffix.endswith("bz2") else 5)
    assert all(files[entry.name] == entry.content for entry in good)
    assert any("cannot be" in entry.reason for entry in entries)


@pytest.mark.parametrize("content", [b"", b"not an archive", os.urandom(5000)])
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".zip", ".tar.bz2"])
def test_files_that_are_no_archives_are_told(tmp_path, suffix, content):
    source = tmp_path / f"shard{suffix}"
    source.write_bytes(content)
    assert all(entry.content is None and entry.reason for entry in iterate_logs(source))
