"""Files that appear whole or not at all, and their hashes."""

from __future__ import annotations

import contextlib
import csv
import glob
import hashlib
import json
import os
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; rename it to `path` when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.part*"):
        # Of a writer that was killed. No two processes write one artifact at a time.
        if not Path(f"/proc/{left.name.rpartition('.part')[2]}").exists():
            left.unlink(missing_ok=True)
    part = path.with_name(f".{path.name}.part{os.getpid()}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with atomic_path(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_text(path, json.dumps(value, indent=1) + "\n")


def write_table(path: Path, columns: Iterable[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as CSV, whole or not at all."""
    with atomic_path(path) as part, part.open("w", newline="") as handle:
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
    found = (Path(root) / name for root, _, names in os.walk(folder) for name in names)
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


@lru_cache(maxsize=1)
def code_version() -> str:
    """Return the package's version and a hash of its source files."""
    from force2geo import __version__

    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        commit = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
        return f"{__version__} source {digest.hexdigest()[:12]} commit {commit}"
    return f"{__version__} source {digest.hexdigest()[:12]}"


def known_hash(path: Path) -> str:
    """Return a file's hash, from its provenance record when that is at least as new."""
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
