"""One door to all parsers: the program is recognised by its banner."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from force2geo.logs import extended_xyz, gamess, mopac, pyscf, smash
from force2geo.logs.log import Log, LogError, NoLogError
from force2geo.logs.runs import drop_repeated_steps, join_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Program(NamedTuple):
    """How a program's runs are told in a file, and their reader.

    A run begins at the line of a banner with nothing but `before` before it, each step has
    `step`, and one that came to its end has `end`; no other program prints these.
    """

    banners: tuple[bytes, ...]
    before: re.Pattern[bytes]
    step: bytes
    end: bytes
    parse: Callable[[bytes], Log]


_PROGRAMS = (
    Program(gamess.BANNERS, re.compile(rb" +\* +"), gamess.STEP, gamess.END, gamess.parse),
    Program(smash.BANNERS, re.compile(rb" {4,}"), smash.STEP, smash.END, smash.parse),
    Program(pyscf.BANNERS, re.compile(rb""), pyscf.STEP, pyscf.END, pyscf.parse),
    Program(mopac.AUX_BANNERS, re.compile(rb" "), mopac.AUX_STEP, mopac.AUX_END, mopac.parse_aux),
    Program(
        mopac.OUT_BANNERS,
        re.compile(rb" +[A-Z0-9-]+"),
        mopac.OUT_STEP,
        mopac.OUT_END,
        mopac.parse_out,
    ),
    Program(extended_xyz.BANNERS, re.compile(rb".*"), b"", b"", extended_xyz.parse),
)
READER_FAILED = "the reader failed, which is a fault of force2geo: please report it"
_READ_CR = (gamess.parse, smash.parse)
_ONE_RUN = (extended_xyz.parse,)
_HEADS = (4_000, 40_000)  # bytes in which the first banner stands, nearly always and at most
_BOX = b"*" * 50  # above a banner of GAMESS or Firefly
_BOX_BYTES = 200  # from a box's first line to the end of its banner
_LINE_ENDS = 4_000  # bytes at either end that show the kind of line ends

Run = tuple[int, int, "Callable[[bytes], Log]"]


def _first_banner(data: bytes) -> tuple[int, bytes, Program]:
    """Return where the first banner stands, the banner and its program."""
    for head in _HEADS:
        found = [
            (place, banner, program)
            for program in _PROGRAMS
            for banner in program.banners
            if (place := data.find(banner, 0, head)) >= 0
        ]
        if found:
            return min(found, key=lambda item: item[0])
    if data.strip():
        raise NoLogError(
            f"no banner of GAMESS, Firefly, SMASH, PySCF or MOPAC in the first {head // 1000} kB"
        )
    raise NoLogError("the log is empty")


def _places(data: bytes, text: bytes, start: int, end: int) -> Iterator[int]:
    found = data.find(text, start, end)
    while found >= 0:
        yield found
        found = data.find(text, found + len(text), end)


def _begins(
    data: bytes, banner: bytes, program: Program, start: int, end: int
) -> Iterator[tuple[int, Program]]:
    """Yield where runs begin with a banner between two places."""
    for found in _places(data, banner, start, end):
        line = data.rfind(b"\n", 0, found) + 1
        if program.before.fullmatch(data[line:found]):
            yield line, program


def _runs(data: bytes) -> list[Run]:
    """Return where each run begins and ends, told by the programs' banners, and its reader."""
    first, banner, program = _first_banner(data)
    if program.parse in _ONE_RUN:
        return [(0, len(data), program.parse)]
    line = data.rfind(b"\n", 0, first) + 1
    begins = [(0, program)]
    behind = first + len(banner)
    boxed = data.find(_BOX, max(0, first - _BOX_BYTES), first) >= 0
    if data[line:first].strip(b" *"):
        begins += _begins(data, banner, program, behind, len(data))
    elif not boxed:
        # With all that stands before it on its line: the longer a text, the faster it is searched.
        begins += ((b, program) for b in _places(data, data[line:behind], behind, len(data)))
    # A program with the same steps can begin anywhere, others only behind the last step. Boxes are
    # found faster than what they hold.
    if boxed or len(program.banners) > 1:
        for box in _places(data, _BOX, behind, len(data)):
            for other in program.banners:
                if data.find(other, box, box + _BOX_BYTES) >= 0:
                    begins += _begins(data, other, program, box, box + _BOX_BYTES)
    begins = sorted(dict(begins).items())
    for begin, end in pairwise([*(begin for begin, _ in begins), len(data)]):
        last = data.rfind(program.end, begin, end)
        if last < 0:
            last = data.rfind(program.step, begin, end)
        tail = max(last, begin, behind)
        for other_program in _PROGRAMS:
            if other_program is not program and other_program.parse not in _ONE_RUN:
                for other in other_program.banners:
                    if data.find(other, tail, end) >= 0:
                        begins += _begins(data, other, other_program, tail, end)
    begins.sort(key=lambda item: item[0])
    ends = [*(begin for begin, _ in begins[1:]), len(data)]
    return [(b, end, program.parse) for (b, program), end in zip(begins, ends, strict=True)]


def _parse_each(data: bytes, runs: list[Run]) -> Iterator[Log | LogError]:
    for begin, end, parse in runs:
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
        runs = _runs(data)
        windows = b"\r\n" in content[:_LINE_ENDS] or b"\r\n" in content[-_LINE_ENDS:]
        if windows and any(parse not in _READ_CR for _, _, parse in runs):
            data = content.translate(None, b"\r")
            runs = _runs(data)
        results = list(_parse_each(data, runs))
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
