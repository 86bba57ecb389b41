"""Orbitals on the grid computed once for all cycles of a self-consistent field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from force2geo.dft.kernels import import_pyscf

import_pyscf()
from pyscf.dft.numint import NumInt  # noqa: E402 - behind the choice of its kernels

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST = 1000
"""Megabytes that they may take, where PySCF may; more are computed in each cycle, as it does."""


class KeptOrbitals(NumInt):
    """PySCF's numerical integration that keeps atomic orbitals and their slopes at the points.

    To evaluate them takes a quarter of a cycle's time. They are let go of when something else is
    integrated, the gradient say, and where there is no memory for them. What is computed of them is
    the same to the last bit.
    """

    def __init__(self) -> None:
        super().__init__()
        self._blocks: list[tuple[Any, ...]] = []
        self._made_of: tuple[Any, ...] = ()

    def block_loop(
        self,
        mol: Any,
        grids: Any,
        nao: int | None = None,
        deriv: int = 0,
        *more: Any,
        **options: Any,
    ) -> Iterator[tuple[Any, ...]]:
        """Give orbitals, their mask, weights and coordinates of the points, block by block."""
        if deriv != 1 or more or set(options) - {"max_memory"}:
            self._let_go()
            yield from super().block_loop(mol, grids, nao, deriv, *more, **options)
            return
        if grids.coords is None:
            grids.build(with_non0tab=True)
        # The arrays themselves: another geometry has others.
        made_of = mol, grids.coords, grids.weights
        if len(self._made_of) == len(made_of) and all(map(_is, self._made_of, made_of)):
            yield from self._blocks
            return
        self._let_go()
        megabytes = 4 * len(grids.coords) * (nao or mol.nao) * 8e-6
        room = min(MOST, options.get("max_memory", MOST))
        kept: list[tuple[Any, ...]] | None = [] if megabytes <= room else None
        for orbitals, *rest in super().block_loop(mol, grids, nao, deriv, **options):
            if kept is not None:
                try:
                    # PySCF's own is written over with the next block.
                    orbitals = orbitals.copy(order="K")
                    kept.append((orbitals, *rest))
                except MemoryError:
                    kept = None
            yield (orbitals, *rest)
        if kept is not None:
            self._blocks, self._made_of = kept, made_of

    def _let_go(self) -> None:
        self._blocks, self._made_of = [], ()


def _is(one: Any, other: Any) -> bool:
    return one is other
