"""What PaiNN computes of each atom by itself, between its linear layers.

F features; scalars are (N,F), vectors (N,3,F). A step is plain torch operations, and where loops
are compiled, on CPUs, one pass through memory forward and one backward. A backward pass that will
itself be differentiated, as in training on forces, is plain again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from force2geo.potentials.fast.pieces import join, split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

try:
    from force2geo.potentials.fast import atom_loops
except ImportError:  # numba is not installed
    atom_loops = None  # type: ignore[assignment]

_KINDS = (torch.float32, torch.float64)
# Keeps the slope of a vector's length finite where the vector is zero by symmetry.
_LEAST_SQUARE = 1e-8


def senders(
    context: Tensor,
    vectors: Tensor | None,
    places: Sequence[int],
    along: float,
    gate: float,
    compiled: bool,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return what atoms send: (N,F) to scalars, `along` × (N,F), `gate` × (N,F) × vectors.

    They are the chunks of `context` (N,3F) at `places`. Without vectors nothing is gated.
    """
    if vectors is None:
        chunks = split(context, 3, 1)
        return chunks[places[0]], along * chunks[places[1]], None
    return _take(_SENDERS, compiled, (*places, along, gate), context, vectors)


def invariants(
    scalars: Tensor, mixed: Tensor, scale: float, compiled: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return (N,2F) scalars beside lengths, (N,F) products and (N,3,F) left vectors.

    `mixed` (N,3,2F) are left and right vectors: lengths are the right ones', products those of
    left and right, times `scale`.
    """
    return _take(_INVARIANTS, compiled, (scale,), scalars, mixed)


def updated(
    gates: Tensor,
    product: Tensor,
    left: Tensor,
    scalars: Tensor,
    vectors: Tensor,
    places: Sequence[int],
    factor: float,
    compiled: bool,
) -> tuple[Tensor, Tensor]:
    """Return scalars + `factor` × (one + other × product) and vectors + last × left.

    One, other and last are the chunks of `gates` (N,3F) at `places`.
    """
    return _take(_UPDATED, compiled, (*places, factor), gates, product, left, scalars, vectors)


@dataclass(frozen=True)
class _Step:
    """A step in torch, and in loops with its derivative, that takes inputs, outputs and slopes."""

    plain: Callable[..., tuple[Tensor, ...]]
    loops: Callable[..., tuple[Tensor, ...]]
    back: Callable[..., tuple[Tensor, ...]]


def _take(step: _Step, compiled: bool, settings: tuple[float, ...], *given: Tensor) -> Any:
    if compiled and atom_loops is not None and given[0].dtype in _KINDS:
        return _InLoops.apply(step, settings, *given)
    return step.plain(settings, *given)


class _InLoops(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, step: _Step, settings: tuple[float, ...], *given: Tensor) -> Any:
        ctx.step, ctx.settings, ctx.inputs = step, settings, len(given)
        outputs = step.loops(settings, *(value.contiguous() for value in given))
        ctx.save_for_backward(*given, *outputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        step, settings, saved = ctx.step, ctx.settings, ctx.saved_tensors
        given, outputs = saved[: ctx.inputs], saved[ctx.inputs :]
        if torch.is_grad_enabled():
            # Aliases, for one input may itself have been computed from another.
            aliases = [value.view_as(value) for value in given]
            again = step.plain(settings, *aliases)
            return None, None, *torch.autograd.grad(again, aliases, slopes, create_graph=True)
        arrays = [value.contiguous() for value in (*given, *outputs, *slopes)]
        return None, None, *step.back(settings, *arrays)


def _apart(values: Tensor, chunks: int = 3) -> Tensor:
    """Return chunks of features on an axis of their own."""
    return values.unflatten(-1, (chunks, -1))


def _plain_senders(settings: Any, context: Tensor, vectors: Tensor) -> tuple[Tensor, ...]:
    *places, along, gate = settings
    chunks = split(context, 3, 1)
    x, y, gates = (chunks[place] for place in places)
    return x, along * y, (gate * gates)[:, None] * vectors


def _loop_senders(settings: Any, context: Tensor, vectors: Tensor) -> tuple[Tensor, ...]:
    x, v = context.new_empty(len(context), vectors.shape[2]), torch.empty_like(vectors)
    y = torch.empty_like(x)
    atom_loops.senders(_apart(context), vectors, *settings, x, y, v)
    return x, y, v


def _back_senders(settings: Any, context: Tensor, vectors: Tensor, *rest: Tensor) -> Any:
    by_context, by_vectors = torch.empty_like(context), torch.empty_like(vectors)
    given, slopes = (_apart(context), vectors), rest[3:]
    atom_loops.senders_back(*given, *settings, *slopes, _apart(by_context), by_vectors)
    return by_context, by_vectors


def _plain_invariants(settings: Any, scalars: Tensor, mixed: Tensor) -> tuple[Tensor, ...]:
    left, right = split(mixed, 2, 2)
    length = torch.sqrt((right**2).sum(dim=1) + _LEAST_SQUARE)
    return join([scalars, length], 1), settings[0] * (left * right).sum(dim=1), left


def _loop_invariants(settings: Any, scalars: Tensor, mixed: Tensor) -> tuple[Tensor, ...]:
    atoms, features = scalars.shape
    joined, product = mixed.new_empty(atoms, 2 * features), torch.empty_like(scalars)
    left = mixed.new_empty(atoms, 3, features)
    given, settings = (scalars, _apart(mixed, 2)), (*settings, _LEAST_SQUARE)
    atom_loops.invariants(*given, *settings, _apart(joined, 2), product, left)
    return joined, product, left


def _back_invariants(settings: Any, scalars: Tensor, mixed: Tensor, *rest: Tensor) -> Any:
    joined, _, _, by_joined, *slopes = rest
    by_scalars, by_mixed = torch.empty_like(scalars), torch.empty_like(mixed)
    given, slopes = (_apart(mixed, 2), _apart(joined, 2)), [_apart(by_joined, 2), *slopes]
    atom_loops.invariants_back(*given, *settings, *slopes, by_scalars, _apart(by_mixed, 2))
    return by_scalars, by_mixed


def _plain_updated(settings: Any, gates: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
    *places, factor = settings
    product, left, scalars, vectors = others
    chunks = split(gates, 3, 1)
    one, other, last = (chunks[place] for place in places)
    return scalars + factor * (one + other * product), vectors + last[:, None] * left


def _loop_updated(settings: Any, *given: Tensor) -> tuple[Tensor, ...]:
    gates, *others = given
    outputs = torch.empty_like(given[-2]), torch.empty_like(given[-1])
    atom_loops.updated(_apart(gates), *others, *settings, *outputs)
    return outputs


def _back_updated(settings: Any, gates: Tensor, *rest: Tensor) -> Any:
    product, left, *_, by_scalars, by_vectors = rest
    by_gates, by_product, by_left = (torch.empty_like(value) for value in (gates, product, left))
    given, slopes = (_apart(gates), product, left), (by_scalars, by_vectors)
    atom_loops.updated_back(*given, *settings, *slopes, _apart(by_gates), by_product, by_left)
    return by_gates, by_product, by_left, *slopes


_SENDERS = _Step(_plain_senders, _loop_senders, _back_senders)
_INVARIANTS = _Step(_plain_invariants, _loop_invariants, _back_invariants)
_UPDATED = _Step(_plain_updated, _loop_updated, _back_updated)
