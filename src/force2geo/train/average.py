"""The exponential moving average of a network's weights."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

if TYPE_CHECKING:
    from torch import nn


class MovingAverage(AveragedModel):
    """Weights and buffers, averaged after every batch; before the first they are the network's.

    Torch's own asks the device at each update, twice, whether it is the first.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._mix = get_ema_multi_avg_fn(decay)
        super().__init__(model, multi_avg_fn=self._mix, use_buffers=True)
        # It has no gradient for the processes to exchange.
        self.requires_grad_(False)
        self._begun: bool | None = None
        self._kinds: list[tuple[list[Tensor], list[Tensor]]] = []

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take the network's weights into the average."""
        if self._begun is None:
            self._begun = bool(self.n_averaged > 0)  # a resumed run's is
            # Found once: both are on their device by now, and stay what they are.
            self._kinds = _by_kind(self.module, model)
        for averages, values in self._kinds:
            if self._begun:
                self._mix(averages, values, self.n_averaged)
            else:
                torch._foreach_copy_(averages, values)
        self.n_averaged += 1
        self._begun = True


def _by_kind(average: nn.Module, model: nn.Module) -> list[tuple[list[Tensor], list[Tensor]]]:
    """Return weights and buffers of both in one order, those of one kind of number together."""
    kinds: dict[Any, tuple[list[Tensor], list[Tensor]]] = defaultdict(lambda: ([], []))
    for one, other in zip(_state(average), _state(model), strict=True):
        averages, values = kinds[one.dtype]
        averages.append(one)
        values.append(other)
    return list(kinds.values())


def _state(model: nn.Module) -> chain[Tensor]:
    return chain(model.parameters(), model.buffers())
