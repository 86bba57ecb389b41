"""Logs as they lie on disks: tar archives read as a stream, or folders."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from force2geo.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_LOG_BYTES = 1 << 28


def iterate_logs(source: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield `(name, content)` of every regular file, in the archive's order.

    Nothing is unpacked to disk and links are not followed; a file over `MAX_LOG_BYTES` yields
    None as content. `UserError` when the archive cannot be opened.
    """
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.is_file() and not p.is_symlink()):
            big = path.stat().st_size > MAX_LOG_BYTES
            yield path.relative_to(source).as_posix(), None if big else path.read_bytes()
        return
    try:
        with tarfile.open(source, "r|*") as archive:
            for member in archive:
                if not member.isfile():
                    continue
                handle = archive.extractfile(member)
                assert handle is not None
                yield member.name, None if member.size > MAX_LOG_BYTES else handle.read()
    except FileNotFoundError:
        raise UserError(f"{source}: no such archive") from None
    except (tarfile.TarError, EOFError, OSError) as error:
        raise UserError(f"{source}: not a readable tar archive ({error})") from error
