"""Levels of theory and the PySCF mean-field objects that compute them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.dft.kernels import import_pyscf

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Level:
    """A level of theory, in PySCF's names.

    `b3lyp5` is the VWN5 form of B3LYP, which is what GAMESS calls B3LYP (PySCF's `b3lypg` and
    plain `b3lyp` are Gaussian's VWN-RPA form); `cartesian` asks for six d functions, GAMESS's
    reading of 6-31G*.
    """

    method: str = "b3lyp5"
    basis: str = "6-31g*"
    cartesian: bool = True
    density_fit: bool = True
    grid_level: int = 2
    conv_tol: float = 1e-8

    def as_dict(self) -> dict[str, Any]:
        """Return the level as plain values for provenance records."""
        return asdict(self)


B3LYP = Level()


def build_mean_field(
    atomic_numbers: Sequence[int] | np.ndarray,
    positions: np.ndarray,
    level: Level = B3LYP,
    charge: int = 0,
    multiplicity: int = 1,
    log: Path | None = None,
) -> Any:
    """Return the PySCF mean-field object of a molecule, not yet run.

    `atomic_numbers` is (n,), `positions` (n,3) in Å. Open shells are spin-unrestricted. PySCF
    writes its output to `log`, when given, in a detail that `logs.pyscf` reads.
    """
    import_pyscf()
    from pyscf import dft, gto, scf

    atoms = [(int(z), tuple(map(float, x))) for z, x in zip(atomic_numbers, positions, strict=True)]
    molecule = gto.M(
        atom=atoms,
        basis=level.basis,
        cart=level.cartesian,
        charge=charge,
        spin=multiplicity - 1,
        unit="Angstrom",
        verbose=4 if log is not None else 0,
        output=str(log) if log is not None else None,
    )
    if level.method == "hf":
        field = scf.RHF(molecule) if multiplicity == 1 else scf.UHF(molecule)
    else:
        kohn_sham = dft.RKS if multiplicity == 1 else dft.UKS
        field = kohn_sham(molecule, xc=level.method)
        field.grids.level = level.grid_level
    if level.density_fit:
        field = field.density_fit()
    field.conv_tol = level.conv_tol
    return field


def on_gpu(field: Any) -> Any:
    """Return the mean field on the GPU when gpu4pyscf and a GPU are there.

    Else it is the field itself, which computes its orbitals on the grid once.
    """
    if _has_gpu():
        return field.to_gpu()
    if hasattr(field, "_numint"):
        from force2geo.dft.kept_orbitals import KeptOrbitals

        field._numint = KeptOrbitals()
    return field


def _has_gpu() -> bool:
    try:
        import gpu4pyscf  # noqa: F401
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def on_host(values: Any) -> np.ndarray:
    """Return an array of a mean field, which may be a GPU's, as numpy's."""
    return np.asarray(values.get() if hasattr(values, "get") else values)
