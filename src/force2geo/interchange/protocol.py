"""Raw results of the open-source run of the PubChemQC protocol, one `.npz` per molecule."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from force2geo.errors import UserError
from force2geo.trajectory import Stage, Trajectory

if TYPE_CHECKING:
    from pathlib import Path

_LEVELS = {"pm3": ("pm3", "pm3"), "hf": ("hf", "sto-6g"), "dft_1st": ("b3lyp", "6-31g*")}
_POINTS = {"method": "b3lyp5", "basis": "6-31g*", "cartesian": True}
_KEYS = {"pm3": "pm3", "hf": "hf", "dft_1st": "dft"}


def read_protocol(path: Path, cid: str) -> Trajectory:
    """Return the molecule of a raw result file; arrays as stored (Å, Hartree, Hartree/bohr)."""
    with np.load(path, allow_pickle=False) as data:
        info = json.loads(str(data["info"])) if "info" in data else {}
        trajectory = Trajectory(
            cid=cid,
            atomic_numbers=data["z"].astype(np.uint8),
            charge=int(data["charge"]) if "charge" in data else 0,
            multiplicity=int(data["multiplicity"]) if "multiplicity" in data else 1,
            smiles=str(data["smiles"]),
            inchi=str(data["inchi"]),
        )
        for name, key in _KEYS.items():
            if f"{key}_pos" not in data:
                continue
            last = info.get(key, {})
            method, basis = _LEVELS[name]
            trajectory.stages[name] = Stage(
                program="mopac" if name == "pm3" else "pyscf",
                version="",
                method=method,
                basis=basis,
                # MOPAC's runs carry no flag: they were driven to the stated threshold.
                converged=bool(last.get("converged", True)),
                positions=data[f"{key}_pos"],
                energies=np.atleast_1d(data[f"{key}_energy"]),
                gradients=data[f"{key}_grad"],
                homo=last.get("homo"),
                lumo=last.get("lumo"),
                dipole=last.get("dipole"),
            )
        if "extra_pos" in data:
            level = info.get("level", _POINTS)
            if any(level[name] != value for name, value in _POINTS.items()):
                raise UserError(f"{path}: points at another level than B3LYP/6-31G*, Cartesian")
            trajectory.stages["dft_points"] = Stage(
                program="pyscf",
                version="",
                method="b3lyp",
                basis="6-31g*",
                converged=True,
                positions=data["extra_pos"],
                energies=data["extra_energy"],
                gradients=data["extra_grad"],
                origin=[str(name) for name in data["extra_origin"]],
            )
    return trajectory
