"""Logs as they lie on disks: plain, compressed, in tar and zip archives, read as a stream."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

import zstandard

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LOG_BYTES = 1 << 27
MAX_RATIO = 1000
"""More decompressed bytes than this per compressed byte are a bomb; logs reach about 20."""

TAR_SUFFIXES = (".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tgz", ".tbz2", ".txz")
ARCHIVE_SUFFIXES = (*TAR_SUFFIXES, ".zip")
COMPRESSED_SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".tgz", ".tbz2", ".txz")
_DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, zstandard.ZstdError,
    EOFError, OSError, ValueError, RuntimeError, NotImplementedError,
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A log's path inside its source and its bytes; without bytes, the reason why."""

    name: str
    content: bytes | None
    reason: str = ""


class _BombError(OSError):
    """Decompression gives implausibly much."""


class _Guarded(io.RawIOBase):
    """A decompressed stream that stops at `limit` bytes."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self.stream, self.left = stream, limit

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Read into a buffer."""
        chunk = self.stream.read(len(buffer))
        self.left -= len(chunk)
        if self.left < 0:
            raise _BombError("it decompresses to implausibly much: a decompression bomb")
        buffer[: len(chunk)] = chunk
        return len(chunk)


@contextmanager
def _decompressed(raw: IO[bytes], name: str, size: int) -> Iterator[IO[bytes]]:
    """Give the decompressed stream of a file of `size` bytes, told by its name."""
    suffix = name.lower()
    stream: IO[bytes]
    if suffix.endswith((".gz", ".tgz")):
        stream = gzip.GzipFile(fileobj=raw)  # type: ignore[assignment]
    elif suffix.endswith((".bz2", ".tbz2")):
        stream = bz2.BZ2File(raw)
    elif suffix.endswith((".xz", ".txz")):
        stream = lzma.LZMAFile(raw)  # noqa: SIM115
    elif suffix.endswith(".zst"):
        stream = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True)
    else:
        yield raw
        return
    yield io.BufferedReader(_Guarded(stream, size * MAX_RATIO + (1 << 20)), 1 << 18)


def plain_name(name: str) -> str:
    """Return a file's name without the suffix of a compression."""
    return name.rsplit(".", 1)[0] if name.lower().endswith(COMPRESSED_SUFFIXES) else name


def _entry(name: str, raw: IO[bytes], size: int) -> Entry:
    """Return a log, decompressed when its name says that it is compressed."""
    if size > MAX_LOG_BYTES:
        return Entry(name, None, f"larger than {MAX_LOG_BYTES} bytes")
    try:
        with _decompressed(raw, name, size) as stream:
            content = stream.read(MAX_LOG_BYTES + 1)
    except _DAMAGE as error:
        return Entry(name, None, f"cannot be decompressed ({error or type(error).__name__})")
    if len(content) > MAX_LOG_BYTES:
        return Entry(name, None, f"larger than {MAX_LOG_BYTES} bytes")
    return Entry(name, content)


def _unsafe(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts


def _tar_entries(source: Path) -> Iterator[Entry]:
    with (
        source.open("rb") as raw,
        _decompressed(raw, source.name, source.stat().st_size) as stream,
        tarfile.open(fileobj=stream, mode="r|", bufsize=1 << 18) as archive,
    ):
        for member in archive:
            if member.isdir():
                continue
            if not member.isfile():
                yield Entry(member.name, None, "a link or device, which is not followed")
            elif _unsafe(member.name):
                yield Entry(member.name, None, "the path leaves the archive")
            else:
                handle = archive.extractfile(member)
                assert handle is not None
                yield _entry(member.name, handle, member.size)
            archive.members = []  # type: ignore[attr-defined]  # or every header stays in memory


def _zip_entries(source: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            mode = member.external_attr >> 16
            if mode & 0o170000 == 0o120000:
                yield Entry(member.filename, None, "a link or device, which is not followed")
            elif _unsafe(member.filename):
                yield Entry(member.filename, None, "the path leaves the archive")
            elif member.file_size > MAX_RATIO * member.compress_size + (1 << 20):
                yield Entry(member.filename, None, "a decompression bomb")
            else:
                try:
                    with archive.open(member) as handle:
                        entry = _entry(member.filename, handle, member.file_size)
                except _DAMAGE as error:
                    entry = Entry(member.filename, None, f"cannot be decompressed ({error})")
                yield entry


def _folder_entries(source: Path) -> Iterator[Entry]:
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_symlink():
            yield Entry(name, None, "a link or device, which is not followed")
        elif path.is_file():
            try:
                with path.open("rb") as raw:
                    entry = _entry(name, raw, path.stat().st_size)
            except OSError as error:
                entry = Entry(name, None, f"cannot be read ({error.strerror})")
            yield entry


def iterate_logs(source: Path) -> Iterator[Entry]:
    """Yield every log of a folder, a tar or zip archive or a single file, in their order.

    Nothing is unpacked to disk, links are not followed, and what decompresses to implausibly
    much is refused. An archive that ends in damage yields what came before, then an entry that
    says so. `UserError` when there is no such source.
    """
    if not source.exists():
        raise UserError(f"{source}: no such archive, file or folder")
    name = source.name.lower()
    if source.is_dir():
        yield from _folder_entries(source)
        return
    try:
        if name.endswith(TAR_SUFFIXES):
            yield from _tar_entries(source)
        elif name.endswith(".zip"):
            yield from _zip_entries(source)
        else:
            with source.open("rb") as raw:
                yield _entry(source.name, raw, source.stat().st_size)
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        yield Entry("", None, f"the archive cannot be read any further ({reason})")


def read_file(path: Path) -> bytes:
    """Return a log file's bytes, decompressed; `OSError` when it cannot be read."""
    with path.open("rb") as raw:
        entry = _entry(path.name, raw, path.stat().st_size)
    if entry.content is None:
        raise OSError(entry.reason)
    return entry.content
