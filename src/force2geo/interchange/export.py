"""Write trajectories as logs in PubChemQC's layout, one archive per shard of molecules."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from force2geo.files import atomic_path
from force2geo.logs.log import Log
from force2geo.logs.write_gamess import write_gamess
from force2geo.logs.write_smash import write_smash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from force2geo.trajectory import Stage, Trajectory

ORIGINS = {
    "pm3": "MOPAC 22.0.6 PM3 results (energy: heat of formation in Hartree)",
    "hf": "PySCF 2.14 RHF/STO-6G results (density fitting)",
    "dft_1st": "PySCF 2.14 B3LYP(VWN5)/6-31G* results (Cartesian d, density fitting)",
    "dft_points": "PySCF 2.14 B3LYP(VWN5)/6-31G* results (Cartesian d, density fitting)",
}
_VERSIONS = {"gamess": "1 OCT 2010 (R1)", "firefly": "8.0.1", "smash": "3.0.2"}


def _log(trajectory: Trajectory, name: str, stage: Stage, program: str) -> Log:
    return Log(
        program=program,
        version=_VERSIONS[program],
        run="gradient" if name == "dft_points" else "optimize",
        method=stage.method,
        basis=stage.basis,
        charge=trajectory.charge,
        multiplicity=trajectory.multiplicity,
        finished=True,
        converged=stage.converged and name != "dft_points",
        atomic_numbers=trajectory.atomic_numbers,
        positions=stage.positions,
        energies=stage.energies,
        gradients=stage.gradients,
        homo=stage.homo,
        lumo=stage.lumo,
        dipole=stage.dipole,
        origin=ORIGINS[name],
    )


def logs_of(trajectory: Trajectory, first_dft_program: str) -> Iterator[tuple[str, str]]:
    """Yield `(path, text)` of the logs of one molecule.

    GAMESS's layout for PM3 and HF, `first_dft_program` (`firefly` or `smash`) for the first DFT
    stage, SMASH's gradient runs for single points.
    """
    programs = {"dft_1st": first_dft_program, "dft_points": "smash"}
    number = int(trajectory.cid)
    first = (number - 1) // 25_000 * 25_000 + 1
    folder = f"Compound_{first:09d}_{first + 24_999:09d}/{trajectory.cid}/{trajectory.cid}"
    for name, stage in trajectory.stages.items():
        log = _log(trajectory, name, stage, programs.get(name, "gamess"))
        if name == "dft_points":
            for index in range(len(stage)):
                one = slice(index, index + 1)
                point = replace(
                    log,
                    positions=stage.positions[one],
                    energies=stage.energies[one],
                    gradients=stage.gradients[one],
                )
                path = f"{folder}.{name}.{index:03d}.{stage.origin[index]}.log"
                yield path, write_smash(point)
        else:
            write = write_smash if log.program == "smash" else write_gamess
            yield f"{folder}.{name}.log", write(log)


def write_shard(trajectories: Sequence[Trajectory], target: Path) -> None:
    """Write one `.tar.xz` of logs; the same trajectories give the same bytes."""
    with atomic_path(target) as part, tarfile.open(part, "w:xz", preset=9) as archive:
        for index, trajectory in enumerate(trajectories):
            program = "firefly" if index % 2 == 0 else "smash"
            for name, text in logs_of(trajectory, program):
                content = text.encode("ascii")
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def shards(trajectories: Sequence[Trajectory], size: int) -> list[list[Trajectory]]:
    """Return the trajectories in ascending CID, `size` to a shard."""
    ordered = sorted(trajectories, key=lambda t: t.cid)
    return [ordered[i : i + size] for i in np.arange(0, len(ordered), size)]
