"""Extended XYZ paths, which this package writes for programs without a log of their own."""

from __future__ import annotations

import io
import re

import numpy as np

from force2geo.logs.log import Log, LogError
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

# ASE takes a version like 0.10 for a number.
_VERSION = re.compile(rb'\bversion=(?:"([^"\n]*)"|(\S+))')
BANNERS = (b"Properties=species:S:1:pos:R:3:forces:R:3",)


def path_text(log: Log) -> str:
    """Return the steps of a log as text (eV, eV/Å in the file)."""
    from ase import Atoms
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write

    frames = []
    for x, energy, gradient in zip(log.positions, log.energies, log.gradients, strict=True):
        atoms = Atoms(log.atomic_numbers, x)
        atoms.info = {
            "program": log.program, "version": log.version or "unknown", "method": log.method,
            "charge": log.charge, "multiplicity": log.multiplicity, "converged": log.converged,
        }  # fmt: skip
        atoms.calc = SinglePointCalculator(
            atoms, energy=energy * HARTREE_TO_EV, forces=gradient * GRADIENT_TO_FORCE
        )
        frames.append(atoms)
    text = io.StringIO()
    write(text, frames, format="extxyz")
    return text.getvalue()


def parse(data: bytes) -> Log:
    """Return the steps of a path written by `path_text`; `LogError` when it is none."""
    from ase.io import read

    try:
        frames = read(io.StringIO(data.decode("ascii")), index=":", format="extxyz")
        info = frames[-1].info
        version = next(text for text in _VERSION.findall(data)[-1] if text).decode()
        return Log(
            program=str(info["program"]),
            version=version,
            run="optimize",
            method=str(info["method"]),
            basis="",
            charge=int(info["charge"]),
            multiplicity=int(info["multiplicity"]),
            finished=True,
            converged=bool(info["converged"]),
            atomic_numbers=frames[0].numbers.astype(np.uint8),
            positions=np.array([frame.positions for frame in frames]),
            energies=np.array([frame.get_potential_energy() for frame in frames]) / HARTREE_TO_EV,
            gradients=np.array([frame.get_forces() for frame in frames]) / GRADIENT_TO_FORCE,
        )
    except Exception as error:  # ASE raises whatever its parser meets
        raise LogError(f"not a readable extended XYZ path ({error})") from None
