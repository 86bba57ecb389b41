"""Which molecule and stage a log belongs to, told by its path."""

from __future__ import annotations

import re
from dataclasses import dataclass

from force2geo.errors import UserError
from force2geo.trajectory import PATH_STAGES, POINT_SETS


@dataclass(frozen=True)
class LogName:
    """The nine-digit CID, the stage and, for single points, where the geometry comes from."""

    cid: str
    stage: str
    origin: str


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return the compiled pattern; it must name the groups `cid` and `stage`."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UserError(f"curate.name_pattern: not a regular expression ({error})") from None
    if not {"cid", "stage"} <= set(compiled.groupindex):
        raise UserError("curate.name_pattern: must have the groups (?P<cid>…) and (?P<stage>…)")
    return compiled


def read_name(pattern: re.Pattern[str], path: str) -> LogName | None:
    """Return what a path says, or None when it is not a log's."""
    match = pattern.search(path)
    if match is None or match["stage"] not in PATH_STAGES + POINT_SETS:
        return None
    origin = match.groupdict().get("origin") or ""
    return LogName(match["cid"].zfill(9), match["stage"], origin)
