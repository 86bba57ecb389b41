"""Sums over an epoch's batches, kept where the values are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


class Sums:
    """Sums by name, float64, begun with `kept` ones; nobody waits for them until they are told."""

    def __init__(self, kept: dict[str, float], device: torch.device) -> None:
        self._device = device
        self._values = {key: self._number(value) for key, value in kept.items()}

    def _number(self, value: float) -> Tensor:
        return torch.full((), value, dtype=torch.float64, device=self._device)

    def add(self, values: dict[str, Tensor], weight: int) -> None:
        """Add scalars, each times `weight`."""
        for key, value in values.items():
            if key not in self._values:
                self._values[key] = self._number(0.0)
            self._values[key].add_(value.detach(), alpha=weight)

    def told(self) -> dict[str, float]:
        """Return the sums as plain numbers; the device is waited for, once."""
        values = torch.stack(list(self._values.values())).tolist() if self._values else []
        return dict(zip(self._values, values, strict=True))
