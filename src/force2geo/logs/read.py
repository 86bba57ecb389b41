"""One door to all parsers: the program is recognised by its banner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from force2geo.logs import extended_xyz, gamess, mopac, pyscf, smash
from force2geo.logs.log import Log, LogError
from force2geo.logs.runs import drop_repeated_steps, join_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PARSERS: tuple[tuple[tuple[bytes, ...], Callable[[bytes], Log]], ...] = (
    (gamess.BANNERS, gamess.parse),
    (smash.BANNERS, smash.parse),
    (pyscf.BANNERS, pyscf.parse),
    (mopac.AUX_BANNERS, mopac.parse_aux),
    (mopac.OUT_BANNERS, mopac.parse_out),
    (extended_xyz.BANNERS, extended_xyz.parse),
)
READER_FAILED = "the reader failed, which is a fault of force2geo: please report it"
_READ_CR = (gamess.parse, smash.parse)
_ONE_RUN = (mopac.parse_out, extended_xyz.parse)
_HEAD = 40_000
_LINE_ENDS = 4_000  # bytes at either end that show the kind of line ends


def _program(data: bytes) -> tuple[bytes, Callable[[bytes], Log]]:
    for banners, parse in _PARSERS:
        for banner in banners:
            if data.find(banner, 0, _HEAD) >= 0:
                return banner, parse
    raise LogError(
        f"no banner of GAMESS, Firefly, SMASH, PySCF or MOPAC in the first {_HEAD // 1000} kB"
        if data.strip()
        else "the log is empty"
    )


def _runs(data: bytes, banner: bytes) -> list[tuple[int, int]]:
    """Return where each run begins and ends, told by its banner, boxed or at a line's start."""
    found = data.find(banner)
    line = data.rfind(b"\n", 0, found) + 1
    if data[line:found].strip(b" *"):
        return [(0, len(data))]
    # With all that stands before it on its line: the longer a text, the faster it is searched.
    boxed = data[line : found + len(banner)]
    begins = [0]
    again = data.find(boxed, line + 1)
    while again >= 0:
        begins.append(again)
        again = data.find(boxed, again + len(boxed))
    return list(zip(begins, [*begins[1:], len(data)], strict=True))


def _parse_each(
    data: bytes, runs: list[tuple[int, int]], parse: Callable[[bytes], Log]
) -> Iterator[Log | LogError]:
    for begin, end in runs:
        try:
            yield parse(data[begin:end] if len(runs) > 1 else data)
        except LogError as error:
            error.offset += begin
            yield error
        except Exception as error:  # a reader's own mistake must not end the shard
            yield LogError(f"{READER_FAILED} ({type(error).__name__}: {error})", begin)


def parse_log(content: bytes) -> Log:
    """Return what a log's bytes say; `LogError` (with offset and reason) when unusable."""
    data = content
    try:
        banner, parse = _program(content)
        windows = b"\r\n" in content[:_LINE_ENDS] or b"\r\n" in content[-_LINE_ENDS:]
        if windows and parse not in _READ_CR:
            data = content.translate(None, b"\r")
        runs = [(0, len(data))] if parse in _ONE_RUN else _runs(data, banner)
        results = list(_parse_each(data, runs, parse))
        logs = [result for result in results if isinstance(result, Log)]
        if not logs:
            raise next(result for result in results if isinstance(result, LogError))
        log = drop_repeated_steps(join_runs(logs))
        log.notes += [f"a run left out: {r}" for r in results if isinstance(r, LogError)]
        electrons = int(log.atomic_numbers.sum()) - log.charge
        if (electrons - log.multiplicity) % 2 == 0 or log.multiplicity < 1:
            raise LogError(
                f"charge {log.charge} and multiplicity {log.multiplicity} do not fit the atoms",
                atoms=len(log.atomic_numbers),
                steps=len(log.energies),
            )
    except LogError as error:
        if len(data) != len(content):
            error.offset += data.count(b"\n", 0, error.offset)
        raise
    return log


def read_log(path: str | Path) -> Log:
    """Return what a log file says, also a compressed one.

    `LogError` when unusable, `OSError` when unreadable.
    """
    from force2geo.logs.archives import read_file

    return parse_log(read_file(Path(path)))
