"""What torch's engine knows of a backward pass and tells to its own functions alone.

The one place that calls on torch's private parts. Where a version of torch tells nothing, or
something else, every derivative is computed: slower, and the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def wanted(ctx: Any) -> list[bool]:
    """Say which tensor inputs' derivatives this backward pass has a use for.

    Forces do not ask for the weights' slopes, nor the weights for the positions'; torch tells its
    own functions so, and others when they ask.
    """
    return [node is not None and (not TOLD or _will_run(node)) for node, _ in ctx.next_functions]


def _will_run(node: Any) -> bool:
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except (AttributeError, RuntimeError):  # of a leaf it cannot say
        return True


class _Sum(torch.autograd.Function):
    """A sum that notes what torch says of its two terms."""

    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor, said: list[bool]) -> Tensor:
        ctx.said = said
        return one + other

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        ctx.said += [_will_run(node) for node, _ in ctx.next_functions[:2]]
        return slope, slope, None


def is_told() -> bool:
    """Say whether this torch tells, and truly, of a graph where the answer is known."""
    said: list[bool] = []
    with torch.inference_mode(False), torch.enable_grad():
        one, other = (torch.ones((), device="cpu", requires_grad=True) for _ in range(2))
        for asked in (one, other):
            torch.autograd.grad(_Sum.apply(2 * one, 2 * other, said), asked)
    return said == [True, False, False, True]


TOLD = is_told()
