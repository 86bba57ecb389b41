"""A potential compiled ahead of time, for programs without this package or without Python."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from force2geo.errors import UserError
from force2geo.files import atomic_path
from force2geo.potentials.batch import Batch, collate
from force2geo.potentials.pairs import Pairs, find_pairs

if TYPE_CHECKING:
    from pathlib import Path

    from force2geo.potentials.model import Model

INPUTS = ("atomic_numbers", "positions", "ptr", "first", "second")


def inputs_of(batch: Batch, cutoff: float) -> tuple[Tensor, ...]:
    """Return what an exported potential takes: `INPUTS`, the pairs under its cutoff found here."""
    pairs = find_pairs(batch, cutoff)
    return batch.atomic_numbers, batch.positions, batch.ptr, pairs.first, pairs.second


def export(model: Model, path: Path, dtype: str | torch.dtype | None = None) -> None:
    """Write a potential as an AOTInductor package for the model's device.

    Torch loads it from Python (`torch._inductor.aoti_load_package`) or C++
    (`AOTIModelPackageLoader`). It takes atomic numbers (N,) int64, positions (N,3) Å, ptr (B+1,)
    int64 where molecules start and end, and the pairs of atoms of one molecule under the cutoff,
    first < second (P,) int64 each; it gives energies (B+1,) eV float64, the last of no molecule
    and zero, and forces (N,3) eV/Å, of whole molecules. N, B and P are free, from two atoms and
    two pairs on. The package's metadata name `cutoff`, and `elements` and `charge_states` that it
    was trained on and does not check. `UserError` for a property model, for a network that
    corrects a baseline or takes charges, and without a C++ compiler.
    """
    if model.network.kind != "potential":
        raise UserError("export: the checkpoint is a property model, not a potential")
    if model.baseline is not None:
        raise UserError(
            f"export: the network corrects {model.baseline}, which a compiled package cannot call; "
            "Model.network_alone() is the correction alone, which it can hold"
        )
    if model.network.backbone.takes_charge:
        raise UserError(
            "export: the network takes charge and multiplicity, which a compiled package has no "
            "inputs for; train one without 'charge: true'"
        )
    _check_compiler()
    network = copy.deepcopy(model.in_dtype(dtype)).requires_grad_(False)
    kind, device = next(network.parameters()).dtype, model.device
    cutoff = float(network.config["backbone"]["cutoff"])

    def evaluate(numbers: Tensor, x: Tensor, ptr: Tensor, i: Tensor, j: Tensor) -> Any:
        molecule = (
            torch.searchsorted(ptr, torch.arange(x.shape[0], device=x.device), right=True) - 1
        )
        # An empty molecule at the end: sizes of one are special to the tracer, and are no more.
        ends = torch.cat([ptr, ptr[-1:]])
        pairs = Pairs(i, j, x.shape[0], cutoff)
        output = network(Batch(numbers, x, molecule, ends, pairs=pairs))
        return output["energy"], output["forces"]

    example = inputs_of(_example(network.config.get("elements"), kind).to(device), cutoff)
    atoms, molecules, pairs = (torch.export.Dim(name, min=2) for name in ("N", "B1", "P"))
    shapes = ({0: atoms}, {0: atoms}, {0: molecules}, {0: pairs}, {0: pairs})
    from torch.fx.experimental.proxy_tensor import make_fx

    known = {
        "cutoff": str(cutoff),
        "elements": str(sorted(model.known_elements())),
        "charge_states": str(model.charge_states()),
    }
    with atomic_path(path) as part, warnings.catch_warnings():
        # Torch warns of what its own tracer calls.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        # Forces are a derivative; traced, they are plain operations like all others.
        graph = make_fx(evaluate, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*example)
        program = torch.export.export(graph, example, dynamic_shapes=shapes)
        named = part.with_name(part.name + ".pt2")
        torch._inductor.aoti_compile_and_package(
            program,
            package_path=str(named),
            inductor_configs={"aot_inductor.metadata": known},
        )
        named.replace(part)


def _check_compiler() -> None:
    """Raise `UserError` without a C++ compiler, before the long way to where it is needed."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise UserError("export: no C++ compiler found, install g++ or name one in CXX") from None


def _example(elements: list[int] | None, kind: torch.dtype) -> Batch:
    """Return molecules to trace with; any do whose counts differ from all sizes of the network."""
    torch.manual_seed(0)
    known = torch.tensor(elements or [1, 6, 8])
    numbers = [known[torch.randint(len(known), (size,))] for size in (5, 7, 6, 5, 6)]
    return collate(numbers, [1.5 * torch.randn(len(z), 3) for z in numbers], kind)
