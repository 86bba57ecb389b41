"""One writer at a time for what is taken up again after a kill."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import TYPE_CHECKING

from force2geo.errors import UserError
from force2geo.files import alive, this_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


@contextlib.contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of a file to be written; `UserError` that names the holder when it is taken.

    The system lets go of it when its process dies, on every host that shares the disk. Where a
    disk has no such locks, the holder's host and process id in the lock file decide.
    """
    path = target.with_name(f".{target.name}.lock")
    while True:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise UserError(f"{target}: cannot be written ({error.strerror})") from None
        try:
            _take(handle, path, target)
            # The holder before may have removed the file between our opening and our locking it.
            if path.exists() and os.fstat(handle).st_ino == path.stat().st_ino:
                break
            os.close(handle)
        except BaseException:
            os.close(handle)
            raise
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{this_host()} {os.getpid()}".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _take(handle: int, path: Path, target: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        host, _, process = os.pread(handle, 300, 0).decode("utf-8", "replace").rpartition(" ")
        who = f"process {process} on {host.rpartition('-')[0]}" if host else "another process"
        if error.errno in _HELD:
            raise UserError(
                f"{target}: {who} is writing it: wait until it has ended, or write elsewhere"
            ) from None
        if host and not (host == this_host() and process.isdigit() and not alive(int(process))):
            raise UserError(
                f"{target}: {who} is writing it, or was; this disk has no locks that tell: when "
                f"that process is gone, delete {path} and run the same command again"
            ) from None
