"""What NequIP and Allegro share: networks of the `nequip` package as modules inside a backbone.

The package builds a network in a state of its own, process-wide: float64 as torch's default, e3nn
without TorchScript, a seed. Here that state lasts while a network is built, and weights come from
torch's random numbers as everywhere else. Of the network only what gives atoms' energies is kept:
sums over molecules, references and forces are made outside.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import e3nn
import torch
from e3nn.o3 import Irreps
from nequip.data import AtomicDataDict as Key

# As inside a larger network of the package, where the outermost one has seen to its state. This
# is the one private name: the public way seeds and switches what is not put back.
from nequip.model.utils import _IS_BUILDING_MODEL
from torch import Tensor, nn

from force2geo.elements import MAX_ATOMIC_NUMBER, SYMBOLS
from force2geo.potentials.backbone import Backbone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from force2geo.potentials.batch import Batch
    from force2geo.potentials.graph import Graph

Parity = Literal["even", "natural", "both"]
PARITY = (
    "what tensors do in a mirror: `even` takes all for even, so that mirror images may differ; "
    "`natural` has those of spherical harmonics, `both` all of either kind"
)
TYPES = list(SYMBOLS[1:])  # an atom's type is its atomic number less one


def harmonics(degree: int, parity: Parity) -> str:
    """Return the spherical harmonics of an edge up to a degree, as e3nn writes them."""
    return str(Irreps.spherical_harmonics(degree, p=1 if parity == "even" else -1))


def tensors(degree: int, parity: Parity) -> Irreps:
    """Return the kinds of tensors, each once, that features may have up to a degree."""
    if parity == "both":
        return Irreps([(1, (rank, p)) for rank in range(degree + 1) for p in (1, -1)])
    return Irreps(harmonics(degree, parity))


@contextmanager
def _building() -> Iterator[None]:
    """Let the package build a network as it would, and leave no trace of it."""
    dtype, mode = torch.get_default_dtype(), e3nn.get_optimization_defaults()["jit_mode"]
    inside = _IS_BUILDING_MODEL.set(True)
    try:
        torch.set_default_dtype(torch.float64)
        e3nn.set_optimization_defaults(jit_mode="eager")
        yield
    finally:
        e3nn.set_optimization_defaults(jit_mode=mode)
        torch.set_default_dtype(dtype)
        _IS_BUILDING_MODEL.reset(inside)


class NequIPModules(Backbone):
    """Base of a backbone whose modules the `nequip` package makes.

    `parts` are the package's, by its names, from types and edges to an energy per atom. Their
    weights may change precision, their constants (Clebsch-Gordan coefficients among them) come
    from float64 each time, since with those of float32 no turn is exact; no checkpoint holds them.
    """

    parts: nn.ModuleDict
    own_readout = True
    largest_element = MAX_ATOMIC_NUMBER
    mirror = False  # of the parity that is chosen by default

    def _make(self, build: Callable[..., nn.Module], **options: Any) -> None:
        """Take the modules of the package's `build`, in torch's default precision."""
        with _building():
            network: Any = build(
                type_names=TYPES,
                r_max=self.cutoff,
                # These are among what is left out; named, so that the package does not warn.
                per_type_energy_scales=1.0,
                per_type_energy_shifts=0.0,
                do_derivatives=False,
                **options,
            )
        modules = dict(network.func.named_children())
        del modules["per_type_energy_scale_shift"], modules["total_energy_sum"]
        self.parts = nn.ModuleDict(modules)
        self._constants = dict(self.parts.named_buffers())
        self._leave_unsaved()
        self.to(torch.get_default_dtype())

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._leave_unsaved()  # which code that e3nn has made forgets when it is copied

    def _leave_unsaved(self) -> None:
        """Keep constants out of checkpoints."""
        for name in self._constants:
            module, last = self._holder(name)
            module.register_buffer(last, getattr(module, last), persistent=False)

    def _holder(self, name: str) -> tuple[nn.Module, str]:
        """Return the module that holds a constant, and its name there."""
        path, _, last = name.rpartition(".")
        return self.parts.get_submodule(path), last

    def _apply(self, fn: Any, recurse: bool = True) -> NequIPModules:
        super()._apply(fn, recurse)
        dtype = next(self.parameters()).dtype
        for name, exact in self._constants.items():
            module, last = self._holder(name)
            setattr(module, last, exact.to(getattr(module, last)))
        for module in self.parts.modules():
            if hasattr(module, "_output_dtype"):  # what geometry, however exact, is rounded to
                setattr(module, "_output_dtype", dtype)  # noqa: B010 - of no type known here
        return self

    def _data(self, batch: Batch, graph: Graph) -> dict[str, Tensor]:
        """Return atoms and edges as the package's modules take them."""
        return {
            Key.POSITIONS_KEY: batch.positions,
            Key.ATOM_TYPE_KEY: batch.atomic_numbers - 1,
            Key.EDGE_INDEX_KEY: torch.stack([graph.receiver, graph.sender]),
            Key.EDGE_VECTORS_KEY: graph.vectors(batch.positions),
        }
