"""The protocol on many molecules, some at a time."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TYPE_CHECKING

from force2geo.dft.generate import Report, Settings, generate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from force2geo.molecules import Molecule


def generate_all(
    molecules: Sequence[Molecule], folder: Path, settings: Settings, workers: int
) -> Iterator[Report]:
    """Yield the report of each molecule as it ends."""
    if workers <= 1 or len(molecules) <= 1:
        for molecule in molecules:
            yield generate(molecule, folder, settings)
        return
    # Spawned, not forked: the libraries' threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = [pool.submit(generate, molecule, folder, settings) for molecule in molecules]
        for future in as_completed(futures):
            yield future.result()
