"""Loops over arrays compiled for CPUs, and how tensors come to them."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

import numba
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

# Sums may be reordered and products fused; infinities and NaN keep their meaning.
_MATH = {"reassoc", "contract", "nsz"}
_MOST_THREADS = numba.config.NUMBA_NUM_THREADS


class Loop:
    """A loop compiled for one thread and for several, each when it is first called.

    A pool of threads that waits for work keeps its cores busy: with one thread there is none.
    Inner loops are to write to one place each: with more, none would be vectorised.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        plain = cast("FunctionType", function)
        self.serial = _compile(plain, "serial", parallel=False)
        self.parallel = _compile(plain, "parallel", parallel=True)

    def __call__(self, *values: Any) -> None:
        """Run on tensors, which it writes to, and plain values; floats in the tensors' kind."""
        arrays = [v.detach().numpy() if isinstance(v, Tensor) else v for v in values]
        kind = arrays[-1].dtype.type
        arrays = [kind(v) if isinstance(v, float) else v for v in arrays]
        threads = torch.get_num_threads()
        if threads == 1:
            self.serial(*arrays)
            return
        numba.set_num_threads(min(threads, _MOST_THREADS))
        self.parallel(*arrays)


def _compile(function: FunctionType, name: str, parallel: bool) -> Callable[..., None]:
    # The compiled code is kept under the function's name: two kinds need two names.
    named = FunctionType(function.__code__, function.__globals__, function.__name__)
    named.__qualname__ = f"{function.__qualname__}_{name}"
    named.__module__ = function.__module__
    # Checks for division by zero would keep a loop from being vectorised.
    options = {
        "parallel": parallel,
        "fastmath": _MATH,
        "error_model": "numpy",
        "nogil": True,
    }
    try:
        return cast("Callable[..., None]", numba.njit(cache=True, **options)(named))
    except RuntimeError:  # no folder to keep the compiled code in
        return cast("Callable[..., None]", numba.njit(**options)(named))


@intrinsic
def _prefetch(_: Any, address: Any) -> Any:
    def code(context: Any, builder: Any, _: Any, arguments: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        read, second_level, data = number(0), number(2), number(1)
        place = builder.inttoptr(arguments[0], byte)
        builder.call(prefetch, [place, read, second_level, data])
        return context.get_dummy_value()

    return types.void(types.intp), code


@numba.njit(nogil=True, inline="always")
def fetch(values, row, begin, end) -> None:  # type: ignore[no-untyped-def]
    """Ask for chunks `begin` to `end` of a row of (P,C,F) values, to be there when it is its turn.

    Rows that are visited in no order would otherwise be waited for, one after the other.
    """
    chunk = values.shape[2] * values.itemsize
    start = values.ctypes.data + row * values.shape[1] * chunk
    for byte in range(begin * chunk, end * chunk, 64):
        _prefetch(start + byte)
