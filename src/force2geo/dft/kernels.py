"""PySCF imported with linear algebra that suits the processor."""

from __future__ import annotations

import os
from pathlib import Path

_CHOICE = "OPENBLAS_CORETYPE"
_CPU = Path("/proc/cpuinfo")


def import_pyscf(threads: int | None = None) -> None:
    """Import PySCF, with the AVX2 kernels of its OpenBLAS where the processor has such.

    The OpenBLAS in PySCF's wheels (0.3.3, of 2018) knows no later processor, and takes kernels
    without AVX2 there: its matrix products are then half as fast. Who sets `OPENBLAS_CORETYPE` is
    not overruled; libraries and programs that come later choose for themselves. `threads`, where
    given, are as many as PySCF computes with.
    """
    chosen = _CHOICE in os.environ
    if not chosen and _has_avx2():
        os.environ[_CHOICE] = "Haswell"
    try:
        import pyscf.lib
    finally:
        if not chosen:
            os.environ.pop(_CHOICE, None)
    if threads is not None:
        pyscf.lib.num_threads(threads)


def _has_avx2() -> bool:
    """Return whether Linux says so; elsewhere OpenBLAS chooses as it does."""
    try:
        lines = _CPU.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    return {"avx2", "fma"} <= set(flags)
