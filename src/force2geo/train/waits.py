"""Counts the times that Python asks a device for a number and has to wait for all it was given.

On a GPU torch itself tells of them. On a CPU nothing waits, but what would wait on a GPU can be
seen: the operations whose answer, or the size of it, is of the values computed.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from collections.abc import Iterator

# Operations that answer the host, give as many values as values say, or look whether a
# factorisation succeeded; `bincount` looks for the largest value.
_ASKING = frozenset(
    {
        *("_local_scalar_dense", "equal", "is_nonzero", "bincount"),
        *("nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive"),
        *("_linalg_eigh", "_linalg_svd", "linalg_inv_ex", "_linalg_solve_ex"),
    }
)
# Ways to the host's memory of which no operation of a CPU tells; and of the host's own numbers to
# the device, which wait where the memory is not pinned.
_COPYING = frozenset({"tolist", "numpy", "cpu", "tensor", "as_tensor"})


class _Operations(TorchDispatchMode):
    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in _ASKING or _by_mask(name, args) or _repeats(func, kwargs or {}):
            self.found[f"{name} in {_asker()}"] += 1
        return func(*args, **(kwargs or {}))


class _Copies(TorchFunctionMode):
    def __init__(self, found: Counter[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _COPYING:
            self.found[f"{name} in {_asker()}"] += 1
        return func(*args, **(kwargs or {}))


def _by_mask(name: str, args: Any) -> bool:
    """Say whether an index is a mask, whose places are counted before they are taken."""
    if name not in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return False
    # One value put behind a mask needs no places.
    if name != "index" and args[2].numel() == 1:
        return False
    return any(isinstance(one, Tensor) and one.dtype == torch.bool for one in args[1])


def _repeats(func: Any, given: dict[str, Any]) -> bool:
    """Say whether rows are repeated without a word of how many they will be."""
    name = func.overloadpacket.__name__
    return name == "repeat_interleave" and given.get("output_size") is None


def _asker() -> str:
    """Return the function outside of torch that asks, with its file."""
    frame: Any = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_code.co_filename == __file__ or "/torch/" in frame.f_code.co_filename
    ):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"


@contextmanager
def waits(device: torch.device | str = "cpu") -> Iterator[Counter[str]]:
    """Count the waits of this thread by operation and function, into what is yielded."""
    found: Counter[str] = Counter()
    if torch.device(device).type == "cuda":
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                yield found
            finally:
                torch.cuda.set_sync_debug_mode(before)
        for one in told:
            if "synchroniz" in str(one.message):
                found[f"{Path(one.filename).name}:{one.lineno}"] += 1
        return
    with _Copies(found), _Operations(found):
        yield found
