"""Learning-rate schedules by name, stepped after batches or after epochs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau, StepLR

if TYPE_CHECKING:
    import torch


class Schedule:
    """`plateau` and `step` change the rate after epochs, `cosine` (with warm-up) after batches."""

    def __init__(
        self, optimizer: torch.optim.Optimizer, settings: dict[str, Any], batches: int
    ) -> None:
        self.name = settings["name"]
        self.steps: ReduceLROnPlateau | StepLR | LambdaLR
        if self.name == "plateau":
            self.steps = ReduceLROnPlateau(
                optimizer, factor=settings["factor"], patience=settings["patience"]
            )
        elif self.name == "step":
            self.steps = StepLR(optimizer, step_size=settings["step_size"], gamma=settings["gamma"])
        else:
            warm = max(1, int(settings["warmup"] * batches))

            def factor(step: int) -> float:
                if step < warm:
                    return (step + 1) / warm
                done = min(1.0, (step - warm) / max(1, batches - warm))
                return 0.5 * (1 + math.cos(math.pi * done))

            self.steps = LambdaLR(optimizer, factor)

    def after_batch(self) -> None:
        """Step a schedule of batches."""
        if isinstance(self.steps, LambdaLR):
            self.steps.step()

    def after_epoch(self, metric: float) -> None:
        """Step a schedule of epochs; `metric` is what plateau watches."""
        if isinstance(self.steps, ReduceLROnPlateau):
            self.steps.step(metric)
        elif isinstance(self.steps, StepLR):
            self.steps.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain values."""
        return dict(self.steps.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state up again."""
        self.steps.load_state_dict(state)
