"""Optimisers by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from force2geo.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from force2geo.train.objective import ParameterGroup

_KINDS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def optimiser(groups: list[ParameterGroup], options: dict[str, Any]) -> torch.optim.Optimizer:
    """Return the optimiser of the settings, whose step is one kernel.

    Groups learn at their shares of its rate.
    """
    try:
        return _KINDS[options["name"]](
            [
                {"params": group.parameters, "lr": group.rate * options["learning_rate"]}
                for group in groups
            ],
            lr=options["learning_rate"],
            betas=tuple(options["betas"]),
            weight_decay=options["weight_decay"],
            fused=True,
        )
    except ValueError as error:
        raise UserError(f"optimizer: {error}") from None


def heed(optimizer: torch.optim.Optimizer, skip: Tensor) -> None:
    """Let the optimiser take no step while `skip` () is 1, as torch's gradient scaler does."""
    optimizer.grad_scale = None  # type: ignore[attr-defined]
    optimizer.found_inf = skip  # type: ignore[attr-defined]


def adopt(state: dict[str, Any]) -> None:
    """Let an optimiser that was kept when steps were not one kernel go on as one whose are."""
    for group in state["param_groups"]:
        group["fused"], group["foreach"] = True, None
