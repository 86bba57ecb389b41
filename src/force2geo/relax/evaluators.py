"""What gives energies and forces to a relaxation: a checkpoint or any ASE calculator."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from force2geo.calling.called import CHARGE, MULTIPLICITY, Called, import_calculator, said
from force2geo.errors import UserError
from force2geo.molecular_state import signed
from force2geo.potentials.batch import one_by_one

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ase.calculators.calculator import Calculator

    from force2geo.potentials.batch import Batch
    from force2geo.potentials.checkpoint import Model
    from force2geo.relax.batched import Evaluate
    from force2geo.relax.relaxation import Relaxation


@dataclass
class Evaluator:
    """What moves molecules, which of them it `refuse`s and why, and how it is to be called.

    `origin` is all that its numbers depend on; `threads` may call it at once; some take the
    molecules `one_by_one` only. Where its forces differ by more than `unsure_above` (eV/Å) among
    several potentials at the end, a relaxation is unsure. `model` is what a checkpoint holds, where
    one is behind it.
    """

    evaluate: Evaluate
    refuse: Callable[[Relaxation], str]
    origin: dict[str, Any]
    device: str = "cpu"
    threads: int = 1
    one_by_one: bool = False
    unsure_above: float = math.inf
    model: Model | None = None


def from_checkpoint(
    path: str | Path | Sequence[str | Path],
    dtype: str = "float64",
    device: str | None = None,
    unsure_above: float = math.inf,
) -> Evaluator:
    """Return the potential of a checkpoint, or of several together; see `Evaluator`.

    Without a `device` it is on a GPU where there is one.
    """
    from force2geo import load
    from force2geo.files import known_hash
    from force2geo.potentials.devices import choose_device

    where = choose_device(device)
    paths = [Path(one) for one in ([path] if isinstance(path, str | Path) else path)]
    model = load(paths, where)

    def refuse(run: Relaxation) -> str:
        return model.refusal(run.atomic_numbers, run.charge, run.multiplicity)

    hashes = [known_hash(one) for one in paths]
    origin = {"model": hashes[0] if len(hashes) == 1 else hashes, "dtype": dtype}
    # Molecules shared by threads beat operations shared by them.
    threads = torch.get_num_threads() if where == "cpu" else 1
    evaluate = of_model(model, dtype)
    return Evaluator(
        evaluate, refuse, origin, where, threads, unsure_above=unsure_above, model=model
    )


def from_import_path(name: str, options: dict[str, Any], starts: Sequence[Relaxation]) -> Evaluator:
    """Return the ASE calculator MODULE:CLASS made with options.

    These may name a charge for all: then the starts, whose `place` is their number, get it.
    """
    called = of_calculator(import_calculator(name, options))
    reasons = []
    for run in starts:
        run.charge, run.multiplicity, reason = state_by_options(
            options, run.atomic_numbers, run.charge, run.multiplicity
        )
        reasons.append(reason)

    def refuse(run: Relaxation) -> str:
        return reasons[run.place] or called.refusal(run)

    # ASE's calculators are not made to be called from several threads, and start a wave function
    # from the last one.
    origin = {"calculator": name, "options": options}
    return Evaluator(called, refuse, origin, one_by_one=True)


def of_model(model: Model, dtype: str = "float64") -> Evaluate:
    """Return a checkpoint's potential, whole molecules' energies also where it gives means.

    Of a committee there is `force_spread`, too. Forces below the threshold are differences of large
    numbers: float64 resolves them.
    """
    if model.network.kind != "potential":
        raise UserError("relax: the checkpoint is a property model, give a potential")
    network = model.in_dtype(dtype)

    def evaluate(batch: Batch) -> Any:
        output, reasons = model.evaluate(network, batch)
        found = output["energy"], output["forces"]
        if "force_spread" in output:
            return *found, reasons, output["force_spread"]
        return found if model.baseline is None else (*found, reasons)

    return evaluate


class CalledCalculator(Called):
    """An ASE calculator, called for one molecule after the other.

    What it raises for a molecule is that molecule's end and no other's: numbers that are none, and
    the error's text.
    """

    def __init__(self, calculator: Calculator) -> None:
        super().__init__(calculator)
        self._known: dict[tuple[int, int], str] = {}

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor, list[str]]:
        """Return energies (B,) eV, forces (N,3) eV/Å and reasons (B,) where there are none."""
        energies = np.full(batch.size, np.nan)
        forces, reasons = [], [""] * batch.size
        for index, molecule in enumerate(one_by_one(batch)):
            own = np.full(molecule[1].shape, np.nan)
            try:
                energies[index], own = self.compute(*molecule)
            except Exception as error:  # of any program, in any way
                reasons[index] = said(error)
            forces.append(own)
        return torch.from_numpy(energies), torch.from_numpy(np.concatenate(forces)), reasons

    def refusal(self, run: Relaxation) -> str:
        """Return why the calculator cannot take a molecule's charge or spin, nothing if it can.

        One without such a parameter may read them from the atoms or not at all: the energy tells.
        """
        state = run.charge, run.multiplicity
        if state not in self._known:
            electrons = int(run.atomic_numbers.sum())
            lowest, neutral = 1 + (electrons - run.charge) % 2, 1 + electrons % 2
            name, same = type(self.calculator).__name__, None
            if run.charge and not self.charge:
                same = self._same(run, state, (0, neutral))
                reason = f"{name} takes no charge (here {signed(run.charge)})"
            elif run.multiplicity != lowest and not self.multiplicity:
                same = self._same(run, state, (run.charge, lowest))
                reason = f"{name} takes no multiplicity (here {run.multiplicity})"
            if same is None:  # nothing to find out, or not from this molecule
                return ""
            self._known[state] = reason if same else ""
        return self._known[state]

    def _same(self, run: Relaxation, one: tuple[int, int], other: tuple[int, int]) -> bool | None:
        """Return whether two states have one energy, None where neither has any."""
        energies = []
        for state in (one, other):
            try:
                atoms = self.atoms(run.atomic_numbers, run.positions, *state)
                energies.append(float(atoms.get_potential_energy()))
            except Exception:  # the relaxation will tell why
                energies.append(float("nan"))
            self.calculator.reset()
        return None if np.isnan(energies).all() else energies[0] == energies[1]


def of_calculator(calculator: Calculator) -> CalledCalculator:
    """Return an ASE calculator as what a relaxation asks."""
    return CalledCalculator(calculator)


def state_by_options(
    options: dict[str, Any], numbers: np.ndarray, charge: int, multiplicity: int
) -> tuple[int, int, str]:
    """Return a molecule's charge and multiplicity where a calculator's options name them for all.

    A molecule's own that are not a neutral one's must be the same; the third value says if not.
    """
    electrons = int(numbers.sum())
    lowest = 1 + (electrons - charge) % 2
    named = next((int(options[key]) for key in CHARGE if options.get(key) is not None), charge)
    if charge not in (0, named):
        return charge, multiplicity, f"charge {signed(charge)}, but the options say {signed(named)}"
    same = multiplicity if named == charge else 1 + (electrons - named) % 2
    spin = next((int(options[key]) for key in MULTIPLICITY if options.get(key) is not None), same)
    if multiplicity not in (lowest, spin):
        return named, multiplicity, f"multiplicity {multiplicity}, but the options say {spin}"
    return named, spin, ""
