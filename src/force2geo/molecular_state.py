"""Charge and spin multiplicity that ASE atoms carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.errors import UserError

if TYPE_CHECKING:
    from ase import Atoms

# `spin` is the multiplicity where OMol25's models and torch-sim read it, and so it is here.
_CHARGE = ("charge", "total_charge")
_MULTIPLICITY = ("multiplicity", "spin_multiplicity", "spin")
# Printed partial charges and moments add up to a whole number to about this.
_ROUNDING = 0.02


def molecular_state(atoms: Atoms) -> tuple[int, int]:
    """Return the charge (e) and the multiplicity 2S+1 of atoms.

    The charge is `info["charge"]` (or `total_charge`), or the sum of the initial charges; the
    multiplicity is `info["multiplicity"]` (or `spin_multiplicity`, or `spin`, which is the
    multiplicity, too), or one more than the sum of the initial magnetic moments. Arrays of zeros
    say nothing. Without a charge it is 0, without a multiplicity the lowest that the number of
    electrons allows, 1 or 2. `UserError` when two of them disagree, when a number is not whole,
    when moments cancel, or when the electrons do not fit.
    """
    charges, moments = _per_atom(atoms, "initial_charges"), _per_atom(atoms, "initial_magmoms")
    given = _named(atoms.info, _CHARGE)
    if charges is not None:
        given["the initial charges' sum"] = _whole(float(charges.sum()), "the initial charges' sum")
    charge = _agreed(given, "charge") or 0
    electrons = int(atoms.numbers.sum()) - charge
    given = _named(atoms.info, _MULTIPLICITY)
    if moments is not None:
        unpaired = abs(_whole(float(moments.sum()), "the initial magnetic moments' sum"))
        if not unpaired:
            raise UserError("initial magnetic moments cancel: give info['multiplicity'] instead")
        given["the initial magnetic moments"] = unpaired + 1
    multiplicity = _agreed(given, "multiplicity")
    if multiplicity is None:
        multiplicity = 1 + electrons % 2
    if multiplicity < 1:
        raise UserError(f"multiplicity {multiplicity}: it is 2S+1, 1 for a closed shell")
    if electrons < multiplicity - 1 or (electrons - multiplicity) % 2 == 0:
        raise UserError(
            f"charge {signed(charge)} and multiplicity {multiplicity} do not fit "
            f"{electrons} electrons"
        )
    return charge, multiplicity


def _per_atom(atoms: Atoms, name: str) -> np.ndarray | None:
    """Return an array (n,) of the atoms, None where it is absent or says nothing."""
    values = atoms.arrays.get(name)
    if values is None or not np.any(values):
        return None
    if values.ndim != 1:
        raise UserError(f"{name}: vectors, give one number for each atom")
    return np.asarray(values, dtype=float)


def _named(info: dict[Any, Any], names: tuple[str, ...]) -> dict[str, int]:
    return {f"{name!r}": _whole(info[name], f"{name!r}") for name in names if name in info}


def _whole(value: Any, name: str) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise UserError(f"{name} is {value!r}, not a number") from None
    if not np.isfinite(number) or abs(number - round(number)) > _ROUNDING:
        raise UserError(f"{name} is {number:g}, not a whole number")
    return round(number)


def _agreed(given: dict[str, int], what: str) -> int | None:
    if len(set(given.values())) > 1:
        said = ", ".join(f"{name}: {value}" for name, value in given.items())
        raise UserError(f"{what} is given twice and differs ({said})")
    return next(iter(given.values()), None)


def signed(charge: int) -> str:
    """Return a charge as it is told: `+1`, `-1`, and `0` without a sign."""
    return f"{charge:+d}" if charge else "0"
