"""Pickles of plain data alone: containers, numbers, strings; anything else is refused.

Opcodes are checked one by one before the interpreter's own unpickler sees the bytes, because a
pickle can name functions to call and can also make it allocate memory without bound.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from typing import Any

_ALLOWED = (
    "PROTO", "FRAME", "STOP", "MARK", "POP", "POP_MARK", "DUP",
    "NONE", "NEWTRUE", "NEWFALSE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4",
    "FLOAT", "BINFLOAT",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "EMPTY_LIST", "LIST", "APPEND", "APPENDS",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "EMPTY_DICT", "DICT", "SETITEM", "SETITEMS",
    "PUT", "BINPUT", "LONG_BINPUT", "GET", "BINGET", "LONG_BINGET", "MEMOIZE",
)  # fmt: skip


class PlainPickleError(ValueError):
    """The pickle holds something other than plain data, or is damaged."""


def _table() -> tuple[list[int], list[int], list[int]]:
    """Return per opcode the fixed bytes behind it (-1: a line; -2: refused) and length prefixes."""
    fixed, prefix, lines = [-2] * 256, [0] * 256, [0] * 256
    for code in pickletools.opcodes:
        if code.name not in _ALLOWED:
            continue
        size = code.arg.n if code.arg is not None else 0
        index = ord(code.code)
        if size >= 0:
            fixed[index] = size
        elif size == pickletools.UP_TO_NEWLINE:
            fixed[index], lines[index] = -1, 1
        else:  # taken from the name of the argument: 1, 4 or 8 bytes of length come first
            prefix[index] = {
                pickletools.TAKEN_FROM_ARGUMENT1: 1,
                pickletools.TAKEN_FROM_ARGUMENT4: 4,
                pickletools.TAKEN_FROM_ARGUMENT4U: 4,
                pickletools.TAKEN_FROM_ARGUMENT8U: 8,
            }[size]
            fixed[index] = 0
    return fixed, prefix, lines


_FIXED, _PREFIX, _LINES = _table()
_LONG_BINPUT = pickle.LONG_BINPUT[0]
_PUT = pickle.PUT[0]
_STOP = pickle.STOP[0]


def _check(data: bytes) -> None:
    """Raise `PlainPickleError` at the first opcode that plain data has no need of."""
    position, size = 0, len(data)
    fixed, prefix = _FIXED, _PREFIX
    while position < size:
        code = data[position]
        position += 1
        width = fixed[code]
        if width > 0:
            if code == _LONG_BINPUT:
                # Memo places are numbered in order, so none can lie beyond the data's length.
                place = int.from_bytes(data[position : position + 4], "little")
                if place > size:
                    raise PlainPickleError(f"memo place {place} in a pickle of {size} bytes")
            position += width
        elif width == 0:
            if code == _STOP:
                if position != size:
                    raise PlainPickleError("bytes behind the end of the pickle")
                return
            length = prefix[code]
            if length:
                taken = int.from_bytes(data[position : position + length], "little")
                position += length + taken
        elif width == -1:
            end = data.find(b"\n", position)
            if end < 0 or end - position > 32:
                raise PlainPickleError("a line too long for a number")
            if code == _PUT and not data[position:end].strip().isdigit():
                raise PlainPickleError("a memo place that is no number")
            if code == _PUT and int(data[position:end]) > size:
                raise PlainPickleError("a memo place beyond the pickle")
            position = end + 1
        else:
            raise PlainPickleError(f"opcode 0x{code:02x} is not plain data")
    raise PlainPickleError("the pickle has no end")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise PlainPickleError(f"the pickle names {module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        raise PlainPickleError("the pickle names a persistent object")


def loads(data: bytes) -> Any:
    """Return the plain value of a pickle; `PlainPickleError` for any other."""
    _check(data)
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except PlainPickleError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its last opcode met
        raise PlainPickleError(f"damaged pickle ({error})") from None
