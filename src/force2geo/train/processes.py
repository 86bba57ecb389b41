"""The processes that train together, and sums over what each of them has seen."""

from __future__ import annotations

import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_INTERACTIVE = ("bash", "interactive")  # names of Slurm jobs that are a person's shell


def _launcher() -> str:
    """Return who started the processes: `torchrun`, `slurm` or nobody."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun"
    if "SLURM_PROCID" in os.environ and os.environ.get("SLURM_JOB_NAME") not in _INTERACTIVE:
        return "slurm"
    return ""


def processes() -> tuple[int, int]:
    """Return processes on this node and nodes, as torchrun or Slurm started them; else (1, 1)."""
    launcher = _launcher()
    if launcher == "torchrun":
        local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        return local, world // local
    if launcher == "slurm":
        tasks, nodes = int(os.environ.get("SLURM_NTASKS", 1)), int(os.environ["SLURM_NNODES"])
        return tasks // nodes, nodes
    return 1, 1


def place() -> tuple[int, int]:
    """Return this process's number and how many there are, once training has connected them."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def is_first_process() -> bool:
    """Say whether this process writes what all of them made, also before they are connected."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    number = {"torchrun": "RANK", "slurm": "SLURM_PROCID"}.get(_launcher(), "")
    return int(os.environ.get(number, 0)) == 0


def accelerator() -> str:
    """Return `cuda` where a GPU is visible, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device() -> torch.device:
    """Return the device that this process computes on."""
    if accelerator() != "cuda":
        return torch.device("cpu")
    number = {"torchrun": "LOCAL_RANK", "slurm": "SLURM_LOCALID"}.get(_launcher(), "")
    return torch.device("cuda", int(os.environ.get(number, 0)))


def over_processes(sums: Tensor) -> Tensor:
    """Return the sums of all processes, of which a function is differentiated as if by one.

    Each process's gradient is `n` times its own part's, because training averages the gradients
    of the n processes.
    """
    count = place()[1]
    if count == 1:
        return sums
    total = sums.detach().clone()
    dist.all_reduce(total)
    return total + count * (sums - sums.detach())


def mean(values: Tensor) -> Tensor:
    """Return the mean of `values` (n,) over all processes, zero where none has any."""
    if place()[1] == 1:
        return values.mean() if len(values) else values.sum()
    count = torch.full((), len(values), dtype=values.dtype, device=values.device)
    total, number = over_processes(torch.stack([values.sum(), count]))
    return total / number.clamp(min=1)


def gathered(value: Any) -> list[Any]:
    """Return the plain values of all processes."""
    count = place()[1]
    found: list[Any] = [value] * count
    if count > 1:
        dist.all_gather_object(found, value)
    return found
