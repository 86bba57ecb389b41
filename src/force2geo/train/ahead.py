"""Batches made by a thread while the device computes, so that training waits for none."""

from __future__ import annotations

import queue
import threading
from contextlib import nullcontext
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from force2geo.potentials.backbone import Backbone
from force2geo.potentials.pairs import find_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from force2geo.potentials.batch import Batch
    from force2geo.train.loader import BatchLoader

_DEPTH = 2  # batches that wait to be used
_PAUSE = 0.1  # seconds between looks whether anybody still wants them


class Ahead:
    """A loader's batches in its order, moved to `device` and finished there by a thread.

    `finish` takes a batch and its number in the epoch. On a GPU the thread has a stream of its
    own: what it waits for (sizes and numbers of pairs are the device's to tell) no step waits for.
    """

    def __init__(
        self, loader: BatchLoader, finish: Callable[[Batch, int], Batch], device: torch.device
    ) -> None:
        self.loader, self.finish, self.device = loader, finish, device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        made: queue.Queue[Any] = queue.Queue(_DEPTH)
        unwanted = threading.Event()
        work = threading.Thread(target=self._work, args=(made, unwanted), daemon=True)
        work.start()
        try:
            for _ in range(len(self)):
                batch, finished = made.get()
                if isinstance(batch, BaseException):
                    raise batch
                if finished is not None:
                    _take_over(batch, finished)
                yield batch
        finally:
            unwanted.set()
            work.join()

    def _work(self, made: queue.Queue[Any], unwanted: threading.Event) -> None:
        """Make batches until there are no more, one fails or nobody wants them."""
        try:
            with self._stream():
                for number, batch in enumerate(self.loader, self.loader.skip):
                    ready = self.finish(_sent(batch, self.device), number)
                    if not _put(made, (ready, self._finished()), unwanted):
                        return
        except BaseException as error:  # it is raised where the batch is wanted
            _put(made, (error, None), unwanted)

    def _stream(self) -> Any:
        if self.device.type != "cuda":
            return nullcontext()
        return torch.cuda.stream(torch.cuda.Stream(self.device))

    def _finished(self) -> Any:
        """Return what tells that the thread's stream has come to here."""
        if self.device.type != "cuda":
            return None
        return torch.cuda.current_stream(self.device).record_event()


def _put(made: queue.Queue[Any], item: Any, unwanted: threading.Event) -> bool:
    """Hand over; say whether it was wanted."""
    while not unwanted.is_set():
        try:
            made.put(item, timeout=_PAUSE)
        except queue.Full:
            continue
        return True
    return False


def _sent(batch: Batch, device: torch.device) -> Batch:
    """Return a batch on the device, by way of pinned memory where it comes from the host's."""
    if device.type != "cuda" or batch.positions.device.type == "cuda":
        return batch.to(device)
    held = {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}
    sent: dict[str, Any] = {
        name: value.pin_memory().to(device, non_blocking=True) for name, value in held.items()
    }
    pairs = None if batch.pairs is None else batch.pairs.to(device)
    return replace(batch, **(sent | {"pairs": pairs}))


def _take_over(batch: Batch, finished: Any) -> None:
    """Let this stream come after the thread's, and keep its memory as long as this one needs it."""
    stream = torch.cuda.current_stream(batch.positions.device)
    stream.wait_event(finished)
    for tensor in _tensors(batch):
        tensor.record_stream(stream)


def _tensors(record: Any) -> Iterator[Tensor]:
    """Yield the tensors of a batch and of its pairs."""
    for one in fields(record):
        value = getattr(record, one.name)
        if isinstance(value, Tensor):
            yield value
        elif one.name == "pairs" and value is not None:
            yield from _tensors(value)


def with_pairs(batch: Batch, model: nn.Module) -> Batch:
    """Return a batch with the pairs that the model's network looks at, and their numbers known."""
    cutoffs = {part.cutoff for part in model.modules() if isinstance(part, Backbone)}
    if len(cutoffs) != 1:  # a batch brings one kind of pairs
        return batch
    pairs = find_pairs(batch, *cutoffs)
    _ = pairs.most
    return replace(batch, pairs=pairs)
