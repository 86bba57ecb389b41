"""What gives energies and forces to a relaxation: a checkpoint or any ASE calculator."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from torch import Tensor

from force2geo.errors import UserError
from force2geo.molecular_state import signed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ase.calculators.calculator import Calculator

    from force2geo.potentials.batch import Batch
    from force2geo.potentials.checkpoint import Model
    from force2geo.relax.batched import Evaluate
    from force2geo.relax.relaxation import Relaxation

# What calculators call a charge (e) and a multiplicity (2S+1).
_CHARGE, _MULTIPLICITY = ("charge",), ("multiplicity", "mult", "spin_multiplicity")


@dataclass
class Evaluator:
    """What moves molecules, which of them it `refuse`s and why, and how it is to be called.

    `origin` is all that its numbers depend on; `threads` may call it at once; some take the
    molecules `one_by_one` only.
    """

    evaluate: Evaluate
    refuse: Callable[[Relaxation], str]
    origin: dict[str, Any]
    device: str = "cpu"
    threads: int = 1
    one_by_one: bool = False


def from_checkpoint(path: Path, dtype: str = "float64", device: str | None = None) -> Evaluator:
    """Return the potential of a checkpoint; without a `device`, on a GPU where there is one."""
    from force2geo import load
    from force2geo.files import known_hash
    from force2geo.potentials.devices import choose_device

    where = choose_device(device)
    model = load(path, where)

    def refuse(run: Relaxation) -> str:
        return model.refusal(run.atomic_numbers, run.charge, run.multiplicity)

    origin = {"model": known_hash(path), "dtype": dtype}
    # Molecules shared by threads beat operations shared by them.
    threads = torch.get_num_threads() if where == "cpu" else 1
    return Evaluator(of_model(model, dtype), refuse, origin, where, threads)


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

    Forces below the threshold are differences of large numbers: float64 resolves them.
    """
    if model.network.kind != "potential":
        raise UserError("relax: the checkpoint is a property model, give a potential")
    network = model.in_dtype(dtype)
    kind = next(network.parameters()).dtype

    def evaluate(batch: Batch) -> tuple[Tensor, Tensor]:
        batch.positions = batch.positions.to(kind)
        output = network(batch)
        return output["energy"], output["forces"]

    return evaluate


class CalledCalculator:
    """An ASE calculator, called for one molecule after the other.

    What it raises for a molecule is that molecule's end and no other's: numbers that are none, and
    the error's text. Charge and multiplicity are set as its parameters where it has such, and
    always stand in `Atoms.info`, and as initial charges and moments.
    """

    def __init__(self, calculator: Calculator) -> None:
        self.calculator = calculator
        known = {**getattr(calculator, "default_parameters", {}), **_parameters(calculator)}
        self._charge = next((key for key in _CHARGE if key in known), None)
        self._multiplicity = next((key for key in _MULTIPLICITY if key in known), None)
        self._known: dict[tuple[int, int], str] = {}

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor, list[str]]:
        """Return energies (B,) eV, forces (N,3) eV/Å and reasons (B,) where there are none."""
        counts = batch.atoms_per_molecule.tolist()
        neutral = [0] * len(counts), [1] * len(counts)
        charges = neutral[0] if batch.charge is None else batch.charge.tolist()
        multiplicities = neutral[1] if batch.multiplicity is None else batch.multiplicity.tolist()
        energies = np.full(len(counts), np.nan)
        forces, reasons = [], [""] * len(counts)
        pieces = zip(
            batch.atomic_numbers.cpu().split(counts),
            batch.positions.cpu().split(counts),
            charges,
            multiplicities,
            strict=True,
        )
        for index, (numbers, positions, *state) in enumerate(pieces):
            own = np.full(positions.shape, np.nan)
            try:
                atoms = self._atoms(numbers.numpy(), positions.numpy(), *state)
                own = atoms.get_forces()
                energies[index] = atoms.get_potential_energy()
            except Exception as error:  # of any program, in any way
                self.calculator.reset()
                reasons[index] = " ".join(f"{type(error).__name__}: {error}".split())
            forces.append(own)
        return torch.from_numpy(energies), torch.from_numpy(np.concatenate(forces)), reasons

    def _atoms(
        self, numbers: np.ndarray, positions: np.ndarray, charge: int, multiplicity: int
    ) -> Atoms:
        atoms = Atoms(numbers, positions)
        atoms.info |= {"charge": charge, "multiplicity": multiplicity, "spin": multiplicity}
        first = np.arange(len(numbers)) == 0
        if charge:
            atoms.set_initial_charges(np.where(first, float(charge), 0.0))
        if multiplicity > 1:
            atoms.set_initial_magnetic_moments(np.where(first, multiplicity - 1.0, 0.0))
        wanted = {self._charge: charge, self._multiplicity: multiplicity}
        has = _parameters(self.calculator)
        changed = {key: value for key, value in wanted.items() if key and has.get(key) != value}
        if changed:
            self.calculator.reset()  # else some begin anew with the molecule before
            self.calculator.set(**changed)
        atoms.calc = self.calculator
        return atoms

    def refusal(self, run: Relaxation) -> str:
        """Return why the calculator cannot take a molecule's charge or spin, nothing if it can.

        One without such a parameter may read them from the atoms or not at all: the energy tells.
        """
        state = run.charge, run.multiplicity
        if state not in self._known:
            electrons = int(run.atomic_numbers.sum())
            lowest, neutral = 1 + (electrons - run.charge) % 2, 1 + electrons % 2
            name, same = type(self.calculator).__name__, None
            if run.charge and not self._charge:
                same = self._same(run, state, (0, neutral))
                reason = f"{name} takes no charge (here {signed(run.charge)})"
            elif run.multiplicity != lowest and not self._multiplicity:
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
                atoms = self._atoms(run.atomic_numbers, run.positions, *state)
                energies.append(float(atoms.get_potential_energy()))
            except Exception:  # the relaxation will tell why
                energies.append(float("nan"))
            self.calculator.reset()
        return None if np.isnan(energies).all() else energies[0] == energies[1]


def _parameters(calculator: Calculator) -> dict[str, Any]:
    return dict(getattr(calculator, "parameters", None) or {})


def of_calculator(calculator: Calculator) -> CalledCalculator:
    """Return an ASE calculator as what a relaxation asks."""
    return CalledCalculator(calculator)


def import_calculator(name: str, options: dict[str, Any]) -> Calculator:
    """Return the ASE calculator at an import path, `tblite.ase:TBLite` say, made with options."""
    module, _, attribute = name.partition(":")
    if not (module and attribute):
        raise UserError(f"calculator '{name}': give MODULE:CLASS, tblite.ase:TBLite say")
    try:
        made = getattr(import_module(module), attribute)(**options)
    except UserError:
        raise
    except Exception as error:  # of any package, in any way
        text = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"calculator '{name}': {text}") from error
    if not hasattr(made, "get_potential_energy"):
        raise UserError(f"calculator '{name}': this is no ASE calculator")
    return made


def state_by_options(
    options: dict[str, Any], numbers: np.ndarray, charge: int, multiplicity: int
) -> tuple[int, int, str]:
    """Return a molecule's charge and multiplicity where a calculator's options name them for all.

    A molecule's own that are not a neutral one's must be the same; the third value says if not.
    """
    electrons = int(numbers.sum())
    lowest = 1 + (electrons - charge) % 2
    named = next((int(options[key]) for key in _CHARGE if options.get(key) is not None), charge)
    if charge not in (0, named):
        return charge, multiplicity, f"charge {signed(charge)}, but the options say {signed(named)}"
    same = multiplicity if named == charge else 1 + (electrons - named) % 2
    spin = next((int(options[key]) for key in _MULTIPLICITY if options.get(key) is not None), same)
    if multiplicity not in (lowest, spin):
        return named, multiplicity, f"multiplicity {multiplicity}, but the options say {spin}"
    return named, spin, ""
