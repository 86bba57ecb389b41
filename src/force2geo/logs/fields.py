"""Pieces of text shared by the parsers."""

from __future__ import annotations

import re

import numpy as np

from force2geo.elements import atomic_number
from force2geo.logs.log import LogError

ORIGIN = re.compile(r"Written by force2geo (?:\S+ )?from ([^\n]*\S)", re.IGNORECASE)


def search(pattern: re.Pattern[str], text: str, what: str) -> re.Match[str]:
    """Return the first match, or raise `LogError` naming what is missing."""
    match = pattern.search(text)
    if match is None:
        raise LogError(f"no {what}")
    return match


def find(pattern: re.Pattern[str], text: str, default: str = "") -> str:
    """Return the first group of the first match, stripped, or `default`."""
    match = pattern.search(text)
    return match.group(1).strip() if match else default


def table(row: re.Pattern[str], text: str, start: int) -> list[tuple[str, ...]]:
    """Return the groups of consecutive matching lines from the first match after `start`."""
    rows = []
    match = row.search(text, start)
    while match:
        rows.append(match.groups())
        match = row.match(text, match.end())
    return rows


def numbers(values: list[str], offset: int) -> list[float]:
    """Return floats of printed numbers; overflow stars raise `LogError`."""
    try:
        return [float(value.replace("D", "E").replace("d", "e")) for value in values]
    except ValueError:
        bad = next(value for value in values if not re.fullmatch(r"[-+.\dEeDd]+", value))
        raise LogError(f"not a number: '{bad}'", offset) from None


def symbols_to_numbers(symbols: list[str], offset: int) -> np.ndarray:
    """Return atomic numbers (n,) of element symbols or `LogError`."""
    try:
        return np.array([atomic_number(re.sub(r"\d+$", "", s)) for s in symbols], dtype=np.uint8)
    except KeyError as error:
        raise LogError(f"unknown element {error}", offset) from None


def stack_steps(
    steps: list[tuple[np.ndarray, float, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions (T,n,3), energies (T,) and gradients (T,n,3) of complete steps."""
    if not steps:
        raise LogError("no complete step (geometry, energy and gradient)")
    positions, energies, gradients = zip(*steps, strict=True)
    return np.array(positions), np.array(energies), np.array(gradients)
