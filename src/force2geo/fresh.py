"""New Pythons to work in.

They import nothing of the caller's script, so that scripts need no guard, and copy none of its
threads: a fork of a process with threads (BLAS, torch) can hang.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

_LOOK = 5.0  # seconds between looks for the parent


def started(
    main: str, environment: dict[str, str] | None = None, quiet: bool = False
) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Return a new Python that runs `module:function(connection, parent)`, and a socket to it.

    `connection` is to the same socket and `parent` this process's number. What is printed is lost
    with `quiet`; `environment` is added to this process's.
    """
    module, function = main.split(":")
    ours, theirs = socket.socketpair()
    code = (
        f"from multiprocessing.connection import Connection; from {module} import {function}; "
        f"{function}(Connection({theirs.fileno()}), {os.getpid()})"
    )
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else None,
            env=os.environ | (environment or {}) | {"PYTHONPATH": paths},
        )
    return process, ours


def connected(end: socket.socket) -> Connection:
    """Return a connection through a socket, which is closed by itself."""
    return Connection(os.dup(end.fileno()))


def end_with(parent: int) -> None:
    """Let this process end soon after its parent, however that ends and whatever it is at."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()
