"""Bytes of printed decimals, worked out on paper."""

import numpy as np
import pytest

from force2geo.store.fixed_point import RAW, decode, encode, size

# Values, and as what they stand: bytes, and decimals, differences, planes and the bytes of signs.
ON_PAPER = {
    # 1, −2 and then 2 and 0 more; n ≥ 0 is written as 2n and −n as 2n − 1.
    "differences": ([[1e-7, -2e-7], [3e-7, -2e-7]], "02030400", [7, 1, 1]),
    # 300 is 600, 0x0258, and −1 is 1: low bytes first.
    "planes": ([[300e-7, -1e-7]], "58010200", [7, 0, 2]),
    # 1, −1 and 1: differences would be longer.
    "jumps": ([[1e-7], [-1e-7], [1e-7]], "020102", [7, 0, 1]),
    "nine decimals": ([[2e-9]], "04", [9, 0, 1]),
    # The first and the third of four are −0.
    "signs of zeros": ([[-0.0, 0.0, -0.0, 1e-7]], "00000002a0", [7, 0, 1, 1]),
    # The float64 0x3fd5555555555555, doubled.
    "no decimal": ([[1 / 3]], "aaaaaaaaaaaaaa7f", [RAW, 0, 8]),
    "nothing": ([[0.0, 0.0]], "", [7, 0, 0]),
}


@pytest.mark.parametrize("name", ON_PAPER)
def test_numbers_stand_as_on_paper(name):
    values, text, code = ON_PAPER[name]
    assert encode(np.array(values)) == (bytes.fromhex(text), code)
    found = decode(memoryview(bytes.fromhex(text)), np.shape(values), code)
    assert found.tolist() == values
    assert np.signbit(found).tolist() == np.signbit(values).tolist()
    assert size(np.shape(values), code) == len(text) // 2


def test_bytes_of_another_number_of_values_are_refused():
    for text in ("000000a0", "0000000200a0"):
        with pytest.raises(ValueError, match="bytes, 5 expected"):
            decode(memoryview(bytes.fromhex(text)), (1, 4), [7, 0, 1, 1])
