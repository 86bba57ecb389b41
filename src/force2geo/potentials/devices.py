"""Where torch is to compute."""

from __future__ import annotations

import torch

from force2geo.errors import UserError


def choose_device(name: str | None) -> str:
    """Return the device called `name`; without a name `cuda` where there is a GPU, else `cpu`.

    `UserError` when torch cannot compute there: it is unknown, or there is none of it here.
    """
    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise UserError(f"device '{name}': unknown, give cpu or cuda") from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UserError(f"device '{name}': torch finds no GPU here, give cpu")
        if (device.index or 0) >= torch.cuda.device_count():
            raise UserError(f"device '{name}': there are {torch.cuda.device_count()} GPUs")
    try:
        usable = device.type != "meta" and torch.zeros(1, device=device).sum().item() == 0
    except Exception as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"device '{name}': not usable here ({why})") from None
    if not usable:
        raise UserError(f"device '{name}': holds no numbers, give cpu or cuda")
    return "cpu" if device.type == "cpu" else name
