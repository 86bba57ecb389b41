"""One door to all parsers: the program is recognised by its banner."""

from __future__ import annotations

from pathlib import Path

from force2geo.logs import gamess, smash
from force2geo.logs.log import Log, LogError

_BANNERS = (
    (b"GAMESS VERSION", gamess.parse),
    (b"Firefly version", gamess.parse),
    (b"PC GAMESS version", gamess.parse),
    (b"SMASH Version", smash.parse),
)


def parse_log(content: bytes) -> Log:
    """Return what a log's bytes say; `LogError` (with offset and reason) when unusable."""
    head = content[:20_000]
    for banner, parse in _BANNERS:
        if banner in head:
            # The programs print ASCII; latin-1 keeps every stray byte where it is.
            return parse(content.decode("latin-1").replace("\r\n", "\n"))
    raise LogError("no banner of GAMESS, Firefly or SMASH in the first 20 kB")


def read_log(path: str | Path) -> Log:
    """Return what a log file says; `LogError` when unusable, `OSError` when unreadable."""
    return parse_log(Path(path).read_bytes())
