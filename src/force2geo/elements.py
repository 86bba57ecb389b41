"""Element symbols and atomic numbers."""

from ase.data import atomic_numbers as _numbers
from ase.data import chemical_symbols as _symbols

MAX_ATOMIC_NUMBER = 100
SYMBOLS: tuple[str, ...] = tuple(_symbols[: MAX_ATOMIC_NUMBER + 1])
_BY_UPPER = {symbol.upper(): _numbers[symbol] for symbol in SYMBOLS}


def atomic_number(symbol: str) -> int:
    """Return the atomic number of an element symbol in any case (`KeyError` when unknown)."""
    return _BY_UPPER[symbol.upper()]
