"""Element symbols and atomic numbers."""

# Written out, so that what needs no more than this does not need ASE.
_IN_ORDER = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As "
    "Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd "
    "Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am "
    "Cm Bk Cf Es Fm"
)
SYMBOLS: tuple[str, ...] = tuple(_IN_ORDER.split())
MAX_ATOMIC_NUMBER = len(SYMBOLS) - 1
_BY_UPPER = {symbol.upper(): number for number, symbol in enumerate(SYMBOLS)}


def atomic_number(symbol: str) -> int:
    """Return the atomic number of an element symbol in any case (`KeyError` when unknown)."""
    return _BY_UPPER[symbol.upper()]
