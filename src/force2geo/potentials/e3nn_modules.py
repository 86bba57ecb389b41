"""What SevenNet and MACE share: networks of other packages on e3nn, as modules of a backbone.

Of a package's network only what gives atoms' energies is kept: edges come from our graph, sums over
molecules, references and forces are made outside.
"""

from __future__ import annotations

import os
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.potentials.backbone import Backbone, Statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def traceless_import() -> Iterator[None]:
    """Import a package without what it changes for the whole process.

    mace lets every `torch.load` run code that a file brings; sevenn silences warnings of torch.
    """
    environment = dict(os.environ)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        os.environ.clear()
        os.environ.update(environment)


@contextmanager
def _exactly() -> Iterator[None]:
    """Let constants of a network be made in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class E3nnModules(Backbone):
    """Base of a backbone around `network`, which another package makes.

    Weights may change precision. Constants (Clebsch-Gordan coefficients among them) come from
    float64 each time, since those of float32 are no turn's to 1e-8. They are part of a checkpoint
    and those of a checkpoint count: e3nn 0.4 and 0.5 differ in the sign of some couplings, and
    weights trained with one are none for the other.
    """

    own_readout = True
    largest_element = MAX_ATOMIC_NUMBER
    mirror = False  # of the parity that is chosen by default
    network: nn.Module
    types: Tensor

    def _wrap(self, statistics: Statistics, build: Callable[[list[int]], nn.Module]) -> None:
        """Take the network that `build` makes for elements: the known ones, or else all."""
        elements = list(statistics.elements) or list(range(1, MAX_ATOMIC_NUMBER + 1))
        with _exactly():
            self.network = build(elements)
            # An element that the network has no weights for spoils the energy and is noticed.
            types = torch.full((MAX_ATOMIC_NUMBER + 1, len(elements)), torch.nan)
            types[elements] = torch.eye(len(elements))
        self.register_buffer("types", types, persistent=False)
        self._made = {
            name: constant.clone()
            for name, constant in self.network.named_buffers()
            if constant.is_floating_point()
        }
        self._constants = dict(self._made)
        self.register_load_state_dict_post_hook(_constants_loaded)
        self.to(torch.get_default_dtype())

    def _apply(self, fn: Any, recurse: bool = True) -> E3nnModules:
        super()._apply(fn, recurse)
        for name, constant in self.network.named_buffers():
            if name in self._constants:
                constant.copy_(self._constants[name])
        return self


def _constants_loaded(backbone: nn.Module, _: Any) -> None:
    """Keep a checkpoint's constants, exactly where they are ours but for rounding."""
    assert isinstance(backbone, E3nnModules)
    for name, loaded in backbone.network.named_buffers():
        if name in backbone._made:
            held, made = loaded.detach().cpu().double(), backbone._made[name]
            rounded = torch.allclose(held, made, rtol=1e-6, atol=1e-6)
            backbone._constants[name] = made if rounded else held.clone()
            loaded.copy_(backbone._constants[name])


def vectors_of(features: Tensor, irreps: Any, kind: str) -> Tensor:
    """Return (N,3,V) vectors of one kind, '1e' or '1o', in flat features (N,·) of e3nn's irreps."""
    place = [str(ir) for _, ir in irreps].index(kind)
    return features[:, irreps.slices()[place]].unflatten(1, (-1, 3)).transpose(1, 2)
