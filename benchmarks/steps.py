"""Training steps of every backbone: as they are, compiled, and as one CUDA graph.

A step is the loss and its gradient by all weights; a batch's pairs are known beforehand, as
training has them.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from force2geo.errors import UserError
from force2geo.potentials import registry
from force2geo.potentials.backbone import Statistics
from force2geo.potentials.batch import Batch
from force2geo.potentials.models import Potential
from force2geo.potentials.pairs import Pairs
from force2geo.train.ahead import with_pairs
from force2geo.train.objectives.energy_forces import EnergyForces
from force2geo.train.waits import waits

if TYPE_CHECKING:
    from collections.abc import Callable

KNOWN = Statistics(elements=(1, 6, 7, 8), mean_neighbours=15.0, force_rms=1.0)
OBJECTIVE = EnergyForces.of(
    energy="mae", forces="rmse", energy_weight=1.0, force_weight=1.0, energy_per_atom=True
)
QUICK = {"layers": 2, "features": 48, "basis_size": 16}


def settings(name: str, quick: bool) -> dict[str, Any]:
    """Return a backbone's settings: table 8's where it stands there, else its own defaults."""
    found = registry.find(name)
    values = {"name": name, "cutoff": 4.5, "layers": 4, "features": 128, "basis_size": 128}
    if found.about.table8 is not None:
        values |= found.about.table8[0]
    if quick:
        values |= QUICK
    known = found.Settings.__dataclass_fields__
    return {key: value for key, value in values.items() if key == "name" or key in known}


class Step:
    """A potential and a batch with its pairs, on one device."""

    def __init__(self, name: str, batch: Batch, quick: bool) -> None:
        torch.manual_seed(0)
        self.model = Potential(settings(name, quick), KNOWN).to(batch.positions.device)
        self.batch = with_pairs(batch, self.model)
        self.weights = [weight for weight in self.model.parameters() if weight.requires_grad]

    def __call__(self) -> torch.Tensor:
        """Put the loss's gradient where optimisers look for it; return the loss."""
        for weight in self.weights:
            weight.grad = None
        loss = OBJECTIVE.loss(self.model, self.batch)["loss"]
        loss.backward(inputs=self.weights)
        return loss.detach()

    def waits(self) -> dict[str, int]:
        """Return what a step waits for, by operation and place; on a CPU, what a GPU's would."""
        kept, pairs = self.batch, self.batch.pairs
        assert pairs is not None
        if pairs.sorted is not None:
            pairs = replace(pairs, sorted=None)
            _ = pairs.most
            self.batch = replace(kept, pairs=pairs)
        self()
        with waits(kept.positions.device) as found:
            self()
        self.batch = kept
        return dict(found)

    def compiled(self) -> tuple[Callable[[], Any], float]:
        """Return the step compiled, and how far its gradient is from the plain one's, relative.

        Forces are derivatives, which are traced, as for export.
        """
        from torch.fx.experimental.proxy_tensor import make_fx

        batch, pairs = self.batch, self.batch.pairs
        assert pairs is not None and batch.energy is not None and batch.forces is not None
        names = [name for name, weight in self.model.named_parameters() if weight.requires_grad]
        largest, most = pairs.largest, pairs.most

        def loss(weights: list[Any], numbers: Any, x: Any, i: Any, j: Any) -> Any:
            known = Pairs(i, j, len(x), pairs.cutoff, largest=largest)
            vars(known)["most"] = most
            own = Batch(
                numbers, x, batch.molecule, batch.ptr, batch.energy, batch.forces, pairs=known
            )
            named = dict(zip(names, weights, strict=True))
            call = torch.func.functional_call
            # The objective calls the model: here it is one with the weights that were given.
            given = _Given(self.model, lambda *args, **options: call(
                self.model, named, args, options
            ))  # fmt: skip
            value = OBJECTIVE.loss(given, own)["loss"]
            slopes = torch.autograd.grad(value, weights, materialize_grads=True)
            return value, slopes

        given = (
            [weight.detach().requires_grad_(True) for weight in self.weights],
            *(batch.atomic_numbers, batch.positions, pairs.first, pairs.second),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            graph = make_fx(loss, _allow_non_fake_inputs=True)(*given)
            made = torch.compile(graph)

        def step() -> Any:
            with torch.no_grad():
                return made(*given)

        self()
        plain = torch.cat([weight.grad.flatten() for weight in self.weights])
        away = torch.cat([slope.flatten() for slope in step()[1]]) - plain
        return step, float(away.norm() / plain.norm())

    def graphed(self) -> Callable[[], Any]:
        """Return the step as one CUDA graph, which replays what was captured of it."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self()
        return graph.replay


class _Given:
    """A model's head, with another way to call it."""

    def __init__(self, model: Potential, call: Callable[..., Any]) -> None:
        self.head, self._call = model.head, call

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._call(*args, **options)


def _memory(device: str) -> dict[str, int]:
    if device != "cuda":
        return {}
    return {"memory of training, MB": round(torch.cuda.max_memory_allocated() / 2**20)}


def backbones(
    batch_of: Callable[[int, str], Batch],
    seconds: Callable[[Callable[[], Any], str], float],
    device: str,
    sizes: list[int],
    until: float,
    quick: bool,
    compiled: list[str],
    names: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Return a row for each backbone and batch: rates, waits and memory, or why there are none.

    After `until` (of `time.monotonic`) nothing more is begun. Those `compiled` are, too; on a GPU
    steps that wait for nothing are also timed as a CUDA graph.
    """
    rows = []
    for name in names or registry.names():
        for size in sizes:
            row: dict[str, Any] = {"backbone": name, "batch": size}
            rows.append(row)
            if time.monotonic() > until:
                row["left out"] = "no time was left"
                continue
            try:
                _measure(row, Step(name, batch_of(size, device), quick), seconds, device)
                if name in compiled:
                    step = Step(name, batch_of(size, device), quick)
                    began = time.perf_counter()
                    work, away = step.compiled()
                    row["compiling, s"] = round(time.perf_counter() - began, 1)
                    row["compiled gradient, relative error"] = away
                    row["compiled gradient, snapshots/s"] = round(size / seconds(work, device))
            except UserError as error:  # not installed, or a network of bonds
                row["left out"] = str(error)
            except Exception as error:  # memory, or what a compiler does not know
                row["failed"] = f"{type(error).__name__}: {error}".splitlines()[0]
            print(row, flush=True)
            if "left out" in row:
                break
    return rows


def _measure(row: dict[str, Any], step: Step, seconds: Any, device: str) -> None:
    size = row["batch"]
    row["waits a step"] = step.waits()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    row["gradient, snapshots/s"] = round(size / seconds(step, device))
    row |= _memory(device)
    steps = torch.optim.Adam(step.weights, fused=device == "cuda")

    def training() -> None:
        step()
        steps.step()

    row["training, snapshots/s"] = round(size / seconds(training, device))
    step.model.requires_grad_(False)
    row["inference, snapshots/s"] = round(size / seconds(lambda: step.model(step.batch), device))
    step.model.requires_grad_(True)
    if device == "cuda" and not row["waits a step"]:
        row["CUDA graph's gradient, snapshots/s"] = round(size / seconds(step.graphed(), device))
