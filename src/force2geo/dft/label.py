"""Label more molecules: DFT energies and gradients at a conformer and at perturbed geometries.

One molecule becomes one `.npz` of plain arrays (`allow_pickle=False` opens it): `cid`, `z`,
`smiles`, `inchi`, `charge` in e, `multiplicity`, `extra_pos` (K,n,3) Å, `extra_energy` (K,)
Hartree, `extra_grad` (K,n,3) Hartree/bohr, `extra_origin` (K,) and `info` (JSON).
"""

from __future__ import annotations

import contextlib
import csv
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.dft.kernels import import_pyscf
from force2geo.dft.level import B3LYP, build_mean_field, on_gpu, on_host
from force2geo.dft.pool import run_tasks
from force2geo.dft.record import labelled
from force2geo.errors import UserError
from force2geo.files import atomic_path
from force2geo.training_data.embed import embed
from force2geo.units import GRADIENT_TO_FORCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Gaussian noise (Å) added to each coordinate about the estimated DFT minimum.
RATTLES = (0.03, 0.07)
# Curvature of a stiff bond (eV/Å²), the initial Hessian ASE's BFGS assumes: one step along
# force / curvature removes most of a force field's error in bond lengths.
STIFF_BOND = 70.0


class LabelError(RuntimeError):
    """A molecule could not be labelled; the message says at which step and why."""


def energies_and_gradients(
    numbers: np.ndarray,
    geometries: list[np.ndarray],
    density: np.ndarray | None = None,
    charge: int = 0,
    multiplicity: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return energies (K,) Hartree, gradients (K,n,3) Hartree/bohr and the last density matrix.

    `geometries` are (n,3) Å each and near one another: every self-consistent field starts from
    the density before it, the first from `density`.
    """
    energies, gradients = [], []
    for geometry in geometries:
        field = on_gpu(build_mean_field(numbers, geometry, B3LYP, charge, multiplicity))
        energies.append(float(field.kernel(dm0=density)))
        if not field.converged:
            raise LabelError("DFT self-consistent field did not converge")
        gradients.append(on_host(field.nuc_grad_method().kernel()))
        density = on_host(field.make_rdm1())
    assert density is not None
    return np.array(energies), np.array(gradients), density


def state_of(molecule: Any, multiplicity: int | None = None) -> tuple[int, int]:
    """Return the charge and multiplicity of an RDKit molecule with hydrogens.

    The multiplicity is the one given, else one more than the unpaired electrons that the SMILES
    writes: `[O][O]` is the triplet, `O=O` the singlet. `LabelError` when it does not fit.
    """
    charge = sum(atom.GetFormalCharge() for atom in molecule.GetAtoms())
    if multiplicity is None:
        multiplicity = 1 + sum(atom.GetNumRadicalElectrons() for atom in molecule.GetAtoms())
    electrons = sum(atom.GetAtomicNum() for atom in molecule.GetAtoms()) - charge
    if not 0 < multiplicity <= electrons + 1 or (electrons + 1 - multiplicity) % 2:
        raise LabelError(f"multiplicity {multiplicity} does not fit {electrons} electrons")
    return charge, multiplicity


def downhill(positions: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return positions (n,3) Å one step along the forces, where the DFT minimum should be near.

    `gradient` (n,3) in Hartree/bohr.
    """
    return positions + gradient * GRADIENT_TO_FORCE / STIFF_BOND


def conformer(cid: str, smiles: str, seed: int) -> tuple[Any, np.random.Generator]:
    """Return a molecule's RDKit conformer, and what draws all else of it; both are its own.

    `LabelError` where RDKit finds none.
    """
    rng = np.random.default_rng([seed, int(cid)])
    molecule = embed(smiles, seed=int(rng.integers(2**31)))
    if molecule is None:
        raise LabelError("RDKit could not embed it")
    return molecule, rng


def label_molecule(
    cid: str,
    smiles: str,
    inchi: str,
    seed: int,
    target: Path,
    multiplicity: int | None = None,
    points: int = 1 + len(RATTLES),
) -> None:
    """Write the labels of one molecule to `target`, whole or not at all.

    `points` are the conformer and as many of the rattled geometries, drawn where not all are
    wanted.
    """
    molecule, rng = conformer(cid, smiles, seed)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    start = molecule.GetConformer().GetPositions()
    state = state_of(molecule, multiplicity)
    first_energy, first_gradient, density = energies_and_gradients(numbers, [start], None, *state)
    estimate = downhill(start, first_gradient[0])
    scales = RATTLES
    if points - 1 < len(RATTLES):
        scales = tuple(sorted(rng.choice(RATTLES, points - 1, replace=False)))
    rattled = [estimate + rng.normal(scale=scale, size=start.shape) for scale in scales]
    energies, gradients = first_energy[:0], first_gradient[:0]
    if rattled:
        energies, gradients, _ = energies_and_gradients(numbers, rattled, density, *state)
    record = labelled(
        (cid, smiles, inchi),
        numbers,
        state,
        [start, *rattled],
        np.concatenate([first_energy, energies]),
        np.concatenate([first_gradient, gradients]),
        ["force_field", *(f"rattle_{scale:g}" for scale in scales)],
        {"level": B3LYP.as_dict()},
    )
    with atomic_path(target) as part, part.open("wb") as handle:
        np.savez_compressed(handle, **record)


def _worker(task: tuple[Any, ...]) -> str:
    """Label a molecule; return why it cannot be, nothing when it is labelled."""
    import logging

    import_pyscf(threads=1)
    logging.disable(logging.INFO)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            label_molecule(*task)
    except (MemoryError, OSError):
        raise  # the machine's fault, not the molecule's
    except Exception as error:  # one bad molecule must not stop the others; it is recorded
        return f"{type(error).__name__}: {error}"
    return ""


def read_list(molecules: Path) -> list[dict[str, str]]:
    """Read the list; `UserError` names what it lacks."""
    try:
        with molecules.open(newline="", encoding="utf-8") as handle:
            reader = csv.DictReader(handle)
            columns, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{molecules}: cannot be read ({error})") from None
    for name in ("cid", "smiles"):
        if name not in columns:
            raise UserError(f"{molecules}: needs a column '{name}': CSV with cid,smiles,inchi")
    for number, row in enumerate(rows, 2):
        for name, wanted in (("cid", True), ("multiplicity", False)):
            value = row.get(name) or ""
            if (value or wanted) and not (value.isascii() and value.isdigit()):
                raise UserError(f"{molecules}, line {number}: {name} '{value}' is not a number")
    return rows


def multiplicity_of(row: dict[str, str]) -> int | None:
    """Return the multiplicity that a row of a list says, None where it says none."""
    return int(row["multiplicity"]) if row.get("multiplicity") else None


def label(
    rows: Sequence[dict[str, str]],
    out: Path,
    seed: int,
    workers: int,
    points: int | Mapping[str, int] = 1 + len(RATTLES),
) -> dict[str, str]:
    """Label every molecule of a list (`read_list`) into `out`; a rerun does what is left.

    `points` are those of each, or by CID. A column `multiplicity` may say what a SMILES cannot.
    Molecules that cannot be labelled go to `out/rejects.csv` and are not tried again. Returned are
    those that the next call tries again, by CID in the list's order, and why: their process died,
    or the machine had no memory or no room on its disk.
    """
    from tqdm import tqdm

    out.mkdir(parents=True, exist_ok=True)
    rejects = out / "rejects.csv"
    done = {path.stem for path in out.glob("*.npz")}
    if rejects.exists():
        with rejects.open(newline="", encoding="utf-8") as handle:
            done |= {row[0] for row in csv.reader(handle) if row}
    tasks = [
        (
            row["cid"], row["smiles"], row.get("inchi") or "", seed, out / f"{row['cid']}.npz",
            multiplicity_of(row), points if isinstance(points, int) else points[row["cid"]],
        )
        for row in rows
    ]  # fmt: skip
    left: dict[str, str] = {}
    with rejects.open("a", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)

        def recall(place: int) -> str | None:
            return "" if rows[place]["cid"] in done else None

        def keep(place: int, reason: str) -> None:
            if reason:
                writer.writerow([rows[place]["cid"], reason])
                handle.flush()

        results = run_tasks(
            _worker, tasks, max(1, workers), recall=recall, keep=keep, in_order=True
        )
        for place, _, error in tqdm(results, total=len(tasks), unit="molecule", disable=None):
            if error:
                left[rows[place]["cid"]] = error
    return left
