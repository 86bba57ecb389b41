"""Whether losses and gradients are numbers: watched on the device at every batch, asked seldom."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NoReturn

import torch
from torch import Tensor

from force2geo.errors import UserError
from force2geo.train.processes import gathered, place

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import nn

    from force2geo.potentials.batch import Batch

_WATCHED = ("loss", "gradient")


class Bad(NamedTuple):
    """The first thing that was no number: batch of the epoch, what it was, on which process."""

    batch: int
    what: str
    process: int


class Watch:
    """Watches an epoch from batch `start` on.

    From the first batch on whose loss or gradient is no number, `skip` () is 1: a fused optimiser
    that is given it as `found_inf` takes no step, so that the weights stay those that gave it
    until somebody asks.
    """

    def __init__(self, device: torch.device, start: int) -> None:
        self.start = start
        self.skip = torch.zeros((), device=device)
        self._fine = torch.ones(len(_WATCHED), dtype=torch.bool, device=device)
        self._batches = torch.zeros((), dtype=torch.long, device=device)  # before the first bad one

    def see(self, loss: Tensor, norm: Tensor) -> None:
        """Look at the loss and the gradient's norm of the next batch, waiting for neither."""
        finite = torch.isfinite(torch.stack([loss.detach(), norm]))
        self._fine = torch.where(self._fine.all(), finite, self._fine)
        fine = self._fine.all()
        self._batches += fine
        self.skip.copy_(~fine)

    def first_bad(self, together: bool = True) -> Bad | None:
        """Return what was found, or None; the device is waited for.

        With `together` all processes ask, and all are told the same: what was found in the first
        batch.
        """
        *fine, batches = torch.cat([self._fine.long(), self._batches[None]]).tolist()
        own = None
        if not all(fine):
            own = Bad(self.start + batches, _WATCHED[fine.index(0)], place()[0])
        found = gathered(own) if together else [own]
        return min((bad for bad in found if bad is not None), default=None)


def stop(
    bad: Bad, epoch: int, batch_of: Callable[[int], Batch], model: nn.Module, scratch: Path
) -> NoReturn:
    """Raise `UserError`; the process that found it keeps the batch and the weights before.

    `batch_of` makes a batch of the epoch once more.
    """
    path = scratch / "bad_batch.pt"
    if bad.process == place()[0]:
        made = vars(batch_of(bad.batch))
        columns = {key: value for key, value in made.items() if isinstance(value, Tensor)}
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"batch": columns, "weights": model.state_dict(), "epoch": epoch}, path)
    raise UserError(
        f"{bad.what} is not finite in epoch {epoch + 1}; batch and weights are in {path}: look for "
        "a wrong structure, lower the learning_rate or set gradient_clip"
    )
