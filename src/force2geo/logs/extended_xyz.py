"""Extended XYZ paths, which this package writes for programs without a log of their own."""

from __future__ import annotations

import io
import re

import numpy as np

from force2geo.elements import MAX_ATOMIC_NUMBER
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

    frames: list[Atoms] = []
    for x, energy, gradient in zip(log.positions, log.energies, log.gradients, strict=True):
        atoms = Atoms(log.atomic_numbers, x)
        atoms.info = {
            "program": log.program, "version": log.version or "unknown", "method": log.method,
            "charge": log.charge, "multiplicity": log.multiplicity,
            # Of the last step alone, so that a path cut before it does not say so.
            "converged": log.converged and len(frames) == len(log.energies) - 1,
        }  # fmt: skip
        atoms.calc = SinglePointCalculator(
            atoms, energy=energy * HARTREE_TO_EV, forces=gradient * GRADIENT_TO_FORCE
        )
        frames.append(atoms)
    text = io.StringIO()
    write(text, frames, format="extxyz")
    return text.getvalue()


def parse(data: bytes) -> Log:
    """Return the steps of a path written by `path_text`; `LogError` when it is none.

    A path that was cut off gives the steps before the cut.
    """
    from ase.io import read

    try:
        lines = data.decode("ascii").split("\n")  # what stands behind the last is cut off or empty
        size = int(lines[0]) + 2
        whole = (len(lines) - 1) // size
        finished = whole * size == len(lines) - 1 and not lines[-1]
        text = "".join(f"{line}\n" for line in lines[: whole * size])
        frames = read(io.StringIO(text), index=":", format="extxyz")
        info = frames[-1].info
        version = next(text for text in _VERSION.findall(data)[-1] if text).decode()
        numbers = frames[0].numbers
        if any(frame.numbers.tolist() != numbers.tolist() for frame in frames):
            raise LogError("the atoms change between steps")
        if not 1 <= numbers.min() <= numbers.max() <= MAX_ATOMIC_NUMBER:
            raise LogError(f"elements 1 to {MAX_ATOMIC_NUMBER} are read")
        return Log(
            program=str(info["program"]),
            version=version,
            run="optimize",
            method=str(info["method"]),
            basis="",
            charge=int(info["charge"]),
            multiplicity=int(info["multiplicity"]),
            finished=finished,
            converged=finished and bool(info["converged"]),
            atomic_numbers=numbers.astype(np.uint8),
            positions=np.array([frame.positions for frame in frames]),
            energies=np.array([frame.get_potential_energy() for frame in frames]) / HARTREE_TO_EV,
            gradients=np.array([frame.get_forces() for frame in frames]) / GRADIENT_TO_FORCE,
            notes=[] if finished else ["the path is cut off"],
        )
    except LogError:
        raise
    except Exception as error:  # ASE raises whatever its parser meets
        raise LogError(f"not a readable extended XYZ path ({error})") from None
