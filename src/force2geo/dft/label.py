"""Label more molecules: DFT energies and gradients at a conformer and at perturbed geometries.

One molecule becomes one `.npz` of plain arrays (`allow_pickle=False` opens it): `cid`, `z`,
`smiles`, `inchi`, `extra_pos` (K,n,3) Å, `extra_energy` (K,) Hartree, `extra_grad` (K,n,3)
Hartree/bohr, `extra_origin` (K,) and `info` (JSON).
"""

from __future__ import annotations

import csv
import json
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from force2geo.dft.level import B3LYP, build_mean_field
from force2geo.select.embed import embed

# Gaussian noise (Å) added to each coordinate about the estimated DFT minimum.
RATTLES = (0.03, 0.07)
# Curvature of a stiff bond (eV/Å²), the initial Hessian ASE's BFGS assumes: one step along
# force / curvature removes most of a force field's error in bond lengths.
STIFF_BOND = 70.0


class LabelError(RuntimeError):
    """A molecule could not be labelled; the message says at which step and why."""


def single_points(
    numbers: np.ndarray, geometries: list[np.ndarray], density: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return energies (K,) Hartree, gradients (K,n,3) Hartree/bohr and the last density matrix.

    `geometries` are (n,3) Å each and near one another: every self-consistent field starts from
    the density before it, the first from `density`.
    """
    energies, gradients = [], []
    for geometry in geometries:
        field = build_mean_field(numbers, geometry, B3LYP)
        energies.append(float(field.kernel(dm0=density)))
        if not field.converged:
            raise LabelError("DFT self-consistent field did not converge")
        gradients.append(field.nuc_grad_method().kernel())
        density = field.make_rdm1()
    assert density is not None
    return np.array(energies), np.array(gradients), density


def label_molecule(cid: str, smiles: str, inchi: str, seed: int, target: Path) -> None:
    """Write the labels of one molecule to `target`, whole or not at all."""
    from ase.units import Bohr, Hartree

    rng = np.random.default_rng([seed, int(cid)])
    molecule = embed(smiles, seed=int(rng.integers(2**31)))
    if molecule is None:
        raise LabelError("RDKit could not embed it")
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    start = molecule.GetConformer().GetPositions()
    if numbers.sum() % 2:
        raise LabelError("odd number of electrons")
    first_energy, first_gradient, density = single_points(numbers, [start])
    estimate = start - first_gradient[0] * (Hartree / Bohr) / STIFF_BOND
    rattled = [estimate + rng.normal(scale=scale, size=start.shape) for scale in RATTLES]
    energies, gradients, _ = single_points(numbers, rattled, density)
    record: dict[str, Any] = {
        "cid": np.array(cid),
        "z": numbers.astype(np.uint8),
        "smiles": np.array(smiles),
        "inchi": np.array(inchi),
        "extra_pos": np.array([start, *rattled]),
        "extra_energy": np.concatenate([first_energy, energies]),
        "extra_grad": np.concatenate([first_gradient, gradients]),
        "extra_origin": np.array(["force_field", *(f"rattle_{scale:g}" for scale in RATTLES)]),
        "info": np.array(json.dumps({"level": B3LYP.as_dict()})),
    }
    part = target.with_suffix(f".part{os.getpid()}")
    with part.open("wb") as handle:
        np.savez_compressed(handle, **record)
    part.replace(target)


def _worker(task: tuple[str, str, str, int, str]) -> tuple[str, str]:
    import contextlib
    import io
    import logging

    import pyscf.lib

    pyscf.lib.num_threads(1)
    logging.disable(logging.INFO)
    cid, smiles, inchi, seed, target = task
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            label_molecule(cid, smiles, inchi, seed, Path(target))
    except Exception as error:  # one bad molecule must not stop the others; it is recorded
        return cid, f"{type(error).__name__}: {error}"
    return cid, ""


def label(molecules: Path, out: Path, seed: int, workers: int) -> None:
    """Label every molecule of a CSV (`cid,smiles,inchi`) into `out`; a rerun does what is left.

    Failures go to `out/rejects.csv` and are not tried again.
    """
    from tqdm import tqdm

    out.mkdir(parents=True, exist_ok=True)
    rejects = out / "rejects.csv"
    done = {path.stem for path in out.glob("*.npz")}
    if rejects.exists():
        with rejects.open(newline="") as handle:
            done |= {row[0] for row in csv.reader(handle)}
    with molecules.open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["cid"] not in done]
    tasks = [(r["cid"], r["smiles"], r["inchi"], seed, str(out / f"{r['cid']}.npz")) for r in rows]
    with ProcessPoolExecutor(workers) as pool, rejects.open("a", newline="") as handle:
        writer = csv.writer(handle)
        futures = [pool.submit(_worker, task) for task in tasks]
        for future in tqdm(as_completed(futures), total=len(futures), unit="molecule"):
            cid, reason = future.result()
            if reason:
                writer.writerow([cid, reason])
                handle.flush()
