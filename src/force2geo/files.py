"""Files that appear whole or not at all, and their hashes."""

from __future__ import annotations

import contextlib
import csv
import glob
import hashlib
import itertools
import json
import os
import socket
import subprocess
import time
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


_ABANDONED = 7 * 24 * 3600.0
"""Seconds after which a part file that nobody wrote to is taken for a dead writer's."""
_serial = itertools.count()


@lru_cache(maxsize=1)
def this_host() -> str:
    """Return a name for the processes among which process ids can be compared.

    The host's name and, hashed, its boot and this process's namespace of ids: two containers of
    one name are not one host, and an id says nothing after a reboot.
    """
    traits = []
    with contextlib.suppress(OSError):
        traits.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        traits.append(str(Path("/proc/self/ns/pid").readlink()))
    return f"{socket.gethostname()}-{hash_value(traits)[:8]}"


def alive(process: int) -> bool:
    """Tell whether a process of this host exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True  # another user's, or no process id at all: not ours to judge
    return True


def _abandoned(part: Path) -> bool:
    """Tell whether nobody writes a part file any more.

    Another host's process cannot be asked, and its file may be alive on a shared disk: only its
    age tells. So it does for names that do not say whose they are.
    """
    owner, _, process = part.name.rpartition(".part-")[2].rpartition("+")
    process = process.partition("_")[0]
    if owner == this_host() and process.isdigit():
        return not alive(int(process))
    try:
        return time.time() - part.stat().st_mtime > _ABANDONED
    except OSError:
        return False


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block succeeds.

    The name is this block's alone, on every host and in every thread; what killed writers of
    `path` left is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.part*"):
        # `.partial` is a curation's, which is taken up again.
        if left.name != f".{path.name}.partial" and _abandoned(left):
            left.unlink(missing_ok=True)
    owner = f"{this_host()}+{os.getpid()}_{next(_serial)}"
    part = path.with_name(f".{path.name}.part-{owner}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


_MISREAD = (OSError, ValueError, KeyError, TypeError, EOFError, csv.Error, zipfile.BadZipFile)
"""What readers of JSON, CSV, Parquet, HDF5 and NumPy files raise where they find something else."""


@contextlib.contextmanager
def reading(path: Path, kind: str) -> Iterator[None]:
    """Make what a reader raises a `UserError` that names the file and its `kind` ("an index")."""
    try:
        yield
    except _MISREAD as error:
        if not path.exists():
            raise UserError(f"{path}: no such file") from None
        said = error.args[0] if isinstance(error, KeyError) and error.args else error
        why = (str(said).strip() or type(error).__name__).splitlines()[0][:200]
        raise UserError(f"{path}: not {kind} ({why})") from None


def read_json(path: Path, kind: str = "a JSON object") -> dict[str, Any]:
    """Return the object that a JSON file holds; `UserError` where it holds none."""
    with reading(path, kind):
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError(f"a {type(found).__name__}")
    return found


def printable(text: str) -> str:
    """Return a text that UTF-8 can hold, with the bytes of a name that are none as escapes."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_table(path: Path, columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as CSV, whole or not at all."""
    with (
        atomic_path(path) as part,
        part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as handle,
    ):
        writer = csv.DictWriter(handle, list(columns))
        writer.writeheader()
        writer.writerows(rows)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, the first 16 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def hash_value(value: Any) -> str:
    """Return the hash of a plain value, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def folder_files(folder: Path) -> list[Path]:
    """Return what lies in a folder and its subfolders, links not followed, sorted by path."""
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        found += [Path(root) / name for name in names]
        # A link to a folder is not entered, but it is there.
        found += [path for name in folders if (path := Path(root) / name).is_symlink()]
    return sorted(found)


def folder_fingerprint(folder: Path) -> str:
    """Return what changes when a file in a folder, at any depth, is added, changed or removed.

    It is made of the files' paths, sizes and times of change, not of their bytes.
    """
    digest = hashlib.sha256()
    for path in folder_files(folder):
        try:
            stat = path.lstat()
        except FileNotFoundError:  # removed since it was listed
            continue
        name = os.fsencode(path.relative_to(folder))
        digest.update(b"%s\0%d %d\n" % (name, stat.st_size, stat.st_mtime_ns))
    return digest.hexdigest()[:16]


@lru_cache
def source_hash(*parts: str) -> str:
    """Return a hash of some of the package's sources: files, or folders with all they hold."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for part in parts:
        place = root / part
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return the package's version and a hash of its source files."""
    from force2geo import __version__

    root = Path(__file__).parent
    version = f"{__version__} source {source_hash('.')[:12]}"
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        commit = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
        return f"{version} commit {commit}"
    return version


def known_hash(path: Path) -> str:
    """Return a file's hash, from its provenance record when that is at least as new.

    A folder's is its fingerprint.
    """
    if path.is_dir():
        return folder_fingerprint(path)
    record = provenance_path(path)
    if record.exists() and record.stat().st_mtime_ns >= path.stat().st_mtime_ns:
        return str(json.loads(record.read_text(encoding="utf-8"))["output_hash"])
    return hash_file(path)


def provenance(stage: str, settings: dict[str, Any], inputs: Sequence[Path]) -> dict[str, Any]:
    """Return what names the origin of an artifact: stage, settings, code and input hashes."""
    return {
        "stage": stage,
        "code": code_version(),
        "settings": settings,
        "settings_hash": hash_value(settings),
        "inputs": {str(path): known_hash(Path(path)) for path in inputs},
    }


def provenance_path(artifact: Path) -> Path:
    """Return where an artifact's provenance record lies."""
    return artifact.with_name(artifact.name + ".provenance.json")


def record_provenance(
    artifact: Path, stage: str, settings: dict[str, Any], inputs: Sequence[Path]
) -> None:
    """Write the provenance record of an artifact beside it."""
    record = provenance(stage, settings, inputs)
    write_json(provenance_path(artifact), {**record, "output_hash": hash_file(artifact)})
