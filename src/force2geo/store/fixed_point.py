"""Arrays of printed decimals as bytes that compress well: integers, differences, byte planes.

A column of numbers printed with d decimals is a column of integers over 10**d, which is how it is
kept, so that nothing is lost and nothing is added. Along a path the integers change little from
step to step: differences are kept where that is shorter. Signs go to the lowest bit (zigzag), and
byte k of all values stands together (byte plane k), high planes being mostly zeros.

Programs print "-0.0000000". Integers have one zero only, so that where there are negative ones a
bit a value follows the planes, and a fourth number in the code, the count of their bytes, says so.
"""

from __future__ import annotations

import numpy as np

RAW = 255
"""Decimals of an array that is not one of decimals: its float64 bytes, in planes."""
_EXACT = 2.0**53
_ONE = {4: np.uint32(1), 8: np.uint64(1)}
_POWERS = 10.0 ** np.arange(19)
# What the programs print comes first, fewer before more: fewer decimals are shorter.
_TRIED = (7, 9, 10, 12, 13, 8, 11)


def _integers(values: np.ndarray) -> tuple[np.ndarray, int]:
    """Return integers and decimals d with integers / 10**d equal to the values, or (…, RAW)."""
    if np.isfinite(values).all():
        for decimals in _TRIED:
            with np.errstate(over="ignore"):
                scaled = np.rint(values * 10.0**decimals)
            if np.abs(scaled).max(initial=0) < _EXACT and (scaled / 10.0**decimals == values).all():
                return scaled.astype(np.int64), decimals
    return values.view(np.int64), RAW


def encode(values: np.ndarray) -> tuple[bytes, list[int]]:
    """Return the bytes of (T,m) float64 values and their code.

    The code is `[decimals, differences (0 or 1), planes]`, and with negative zeros the number of
    bytes that say which zeros are.
    """
    values = np.ascontiguousarray(values, dtype=np.float64)
    integers, decimals = _integers(values)
    difference = 0
    if decimals != RAW and len(integers) > 1:
        steps = np.diff(integers, axis=0)
        if np.abs(steps).sum() < np.abs(integers[1:]).sum():
            integers, difference = np.concatenate([integers[:1], steps]), 1
    code = ((integers << 1) ^ (integers >> 63)).astype("<u8").ravel()
    planes = (int(code.max(initial=0)).bit_length() + 7) // 8
    data, about = code.view(np.uint8).reshape(-1, 8)[:, :planes].T.tobytes(), []
    negative = np.signbit(values) & (values == 0)
    if decimals != RAW and negative.any():
        bits = np.packbits(negative).tobytes()
        data, about = data + bits, [len(bits)]
    return data, [decimals, difference, planes, *about]


def size(shape: tuple[int, int], code: list[int]) -> int:
    """Return how many bytes `encode` made of (T,m) values."""
    return shape[0] * shape[1] * code[2] + (code[3] if len(code) > 3 else 0)


def decode(data: memoryview, shape: tuple[int, int], code: list[int]) -> np.ndarray:
    """Return the (T,m) values of bytes; `ValueError` when their number does not fit."""
    decimals, difference, planes = code[:3]
    count = shape[0] * shape[1]
    signs_of_zeros = None
    if len(code) > 3:
        if len(data) != size(shape, code):
            raise ValueError(f"{len(data)} bytes, {size(shape, code)} expected")
        signs_of_zeros, data = data[planes * count :], data[: planes * count]
    rows = np.frombuffer(data, dtype=np.uint8).reshape(planes, count)
    # A record is a few thousand numbers, so that each pass counts: few and narrow ones.
    width = 4 if planes <= 4 else 8
    unsigned = np.zeros(count, dtype=f"<u{width}")
    joined = unsigned.view(np.uint8).reshape(count, width)
    for plane in range(planes):
        joined[:, plane] = rows[plane]
    signs = unsigned & _ONE[width]
    unsigned >>= _ONE[width]
    integers = unsigned.view(f"<i{width}")
    integers ^= np.negative(signs.view(integers.dtype), out=signs.view(integers.dtype))
    integers = integers.reshape(shape)
    if decimals == RAW:
        return integers.astype(np.int64).view(np.float64)
    if difference:
        integers = np.add.accumulate(integers, axis=0, dtype=np.int64)
    values = integers / _POWERS[decimals]
    if signs_of_zeros is not None:
        bits = np.unpackbits(np.frombuffer(signs_of_zeros, dtype=np.uint8), count=count)
        values.reshape(-1)[np.flatnonzero(bits)] = -0.0
    return values
