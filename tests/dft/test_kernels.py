"""The linear algebra below PySCF: which kernels its OpenBLAS takes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from force2geo.dft import kernels

# The library itself is asked, by the name that all of OpenBLAS's have.
ASK = """
import ctypes, os
from pathlib import Path
from force2geo.dft.kernels import import_pyscf
import_pyscf({threads})
import pyscf.lib
own = next(Path(pyscf.lib.__file__).parent.glob("libopenblas*"))
name = ctypes.CDLL(str(own)).openblas_get_corename
name.restype = ctypes.c_char_p
print(name().decode(), os.environ.get("OPENBLAS_CORETYPE"), pyscf.lib.num_threads())
"""


def ask(threads: int | None = None, **environment: str) -> list[str]:
    inherited = {k: v for k, v in os.environ.items() if k != "OPENBLAS_CORETYPE"}
    found = subprocess.run(
        [sys.executable, "-c", ASK.format(threads=threads)],
        env=inherited | environment, capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return found.stdout.split()


@pytest.mark.skipif(not kernels._has_avx2(), reason="this processor has no AVX2")
def test_pyscf_computes_with_avx2_and_nothing_else_is_told_so() -> None:
    assert ask(threads=1) == ["Haswell", "None", "1"]


def test_a_user_s_choice_stands() -> None:
    assert ask(OPENBLAS_CORETYPE="Nehalem")[:2] == ["Nehalem", "Nehalem"]


@pytest.mark.parametrize(
    ("flags", "found"),
    [("fpu fma avx2", True), ("fpu avx", False), ("avx2", False), ("avx512f xavx2 fma", False)],
)
def test_flags_of_the_processor(flags, found, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(kernels, "_CPU", tmp_path / "cpuinfo")
    assert not kernels._has_avx2()  # no such file
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    assert kernels._has_avx2() == found
