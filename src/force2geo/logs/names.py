"""Which molecule and stage a log belongs to, told by its path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from force2geo.errors import UserError
from force2geo.logs.archives import plain_name
from force2geo.trajectory import PATH_STAGES, POINT_SETS

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class LogName:
    """The nine-digit CID, the stage and, for single points, where the geometry comes from."""

    cid: str
    stage: str
    origin: str


class NamePattern:
    """Reads paths by a regular expression with the groups `cid`, `stage` and perhaps `origin`.

    What the group `stage` finds is a stage's name or is turned into one by `stage_names`.
    """

    def __init__(self, pattern: str, stage_names: Mapping[str, str] | None = None) -> None:
        try:
            self.compiled = re.compile(pattern)
        except re.error as error:
            raise UserError(f"curate.name_pattern: not a regular expression ({error})") from None
        if not {"cid", "stage"} <= set(self.compiled.groupindex):
            raise UserError("curate.name_pattern: must have the groups (?P<cid>…) and (?P<stage>…)")
        self.stages = dict(stage_names or {})
        known = PATH_STAGES + POINT_SETS
        for name in self.stages.values():
            if name not in known:
                raise UserError(f"curate.stage_names: no stage '{name}'; known: {', '.join(known)}")
        self.text = repr((pattern, sorted(self.stages.items())))

    def read(self, path: str) -> LogName | None:
        """Return what a path says, a compression's suffix aside, None when it is not a log's."""
        match = self.compiled.search(plain_name(path))
        if match is None or not match["cid"].isdigit() or len(match["cid"]) > 9:
            return None
        stage = self.stages.get(match["stage"], match["stage"])
        if stage not in PATH_STAGES + POINT_SETS:
            return None
        return LogName(match["cid"].zfill(9), stage, match.groupdict().get("origin") or "")
