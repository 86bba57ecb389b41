"""Symbols and atomic numbers, against RDKit's periodic table."""

import pytest
from rdkit import Chem

from force2geo.elements import MAX_ATOMIC_NUMBER, SYMBOLS, atomic_number


def test_symbols_have_their_numbers():
    table = Chem.GetPeriodicTable()
    assert MAX_ATOMIC_NUMBER == 100 and len(SYMBOLS) == 101
    for number in range(1, 101):
        symbol = table.GetElementSymbol(number)
        assert SYMBOLS[number] == symbol
        assert atomic_number(symbol) == atomic_number(symbol.upper()) == number
    with pytest.raises(KeyError):
        atomic_number("Xy")
