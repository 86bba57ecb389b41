"""rMD17: molecular dynamics of small molecules, energies and forces computed again, tightly."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from force2geo.errors import UserError
from force2geo.settings import setting
from force2geo.training_data.dataset import About, DataSet, File, Frames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Of the train and the test file of split 01.
_FILES = {
    "aspirin": (
        (927832, "001c9fa47369d8ffec9790a7c16bb57bad4baa5093b3dab469a5e66e06beb47e"),
        (942814, "e424e8e5763ce2693242d85167bd937c75e8b836bf8750b5fc68c7c91c8cfbef"),
    ),
    "benzene": (
        (508198, "cf5c93a21ba91480729851bdcb1823ef14d191a7d5bee8996e24586b7fbaa1bf"),
        (508622, "615732958a1ba400b5118bcd36a6cc9d63f8bfafb43edd77dc66e36022018e9e"),
    ),
    "ethanol": (
        (409314, "cad219a64b3c8c0caf14d6466a729e7f5725c00c634635d1f2f4150c65e50377"),
        (409144, "726873c9b1cfedc91c8c91c5f2459cdcb100926fc8053d70d344e623818f5bd8"),
    ),
    "malonaldehyde": (
        (410571, "df41673d94c4f6744ac841c64bb37d588fe44be4002d274ad1a362b66e35ad5d"),
        (410755, "86034c689d09c66e48977e0c1480f1735eb6fcce8c2cdaecd2ac1b62d8229c80"),
    ),
    "naphthalene": (
        (804290, "ee73868e9807ec679ed8d8ee3f9b0b7a905da0acdec4f4023a09199e9c8a245f"),
        (804027, "7034d5bbed934d44a10e3d502cea949b1a29b615215fe4472f68faa57b60efa1"),
    ),
    "toluene": (
        (671304, "3ed10b2461b938b430f02b605c69c5075b56bf02cbc42d1d0e80ccfdcd2a086d"),
        (671138, "dba504480b6c709018cff1155ddb305eaa69fcd197594d7529e3182ed26b6413"),
    ),
}
_FRAMES = 1000  # of each file


@dataclass(frozen=True)
class RMD17Settings:
    """Which molecules, and how many frames of each; files hold 1,000 to train on and 1,000 more."""

    folder: str = setting("folder of the files MOLECULE_train_01.xyz.gz, MOLECULE_test_01.xyz.gz")
    molecules: tuple[str, ...] = setting("molecules, all six by default", tuple(_FILES))
    train: int = setting("frames of each molecule to train on", 950, least=1, most=_FRAMES)
    validation: int = setting("frames of each molecule to validate on", 50, least=1, most=_FRAMES)
    test: int = setting("frames of each molecule to test on", _FRAMES, least=1, most=_FRAMES)


class RMD17(DataSet):
    """The published split 01: validation is the end of its training frames, which are no path."""

    Settings = RMD17Settings
    kinds = ("snapshots",)
    about = About(
        "rMD17",
        "PBE/def2-SVP",
        "A. S. Christensen, O. A. von Lilienfeld, Mach. Learn.: Sci. Technol. 1 (2020) 045018",
        "CC0",
        "github.com/divelab/AIRS (OpenMol/PACE/dataset)",
    )

    def __init__(self, settings: RMD17Settings, paths: dict[str, Path] | None = None) -> None:
        super().__init__(settings, paths)
        unknown = [name for name in settings.molecules if name not in _FILES]
        if unknown:
            raise UserError(f"data set rmd17: no molecule '{unknown[0]}', only {', '.join(_FILES)}")
        if settings.train + settings.validation > _FRAMES:
            raise UserError(f"data set rmd17: train and validation are more than {_FRAMES} frames")

    def files(self) -> list[File]:
        """Return the two files of each molecule."""
        return [
            File(f"{name}_{part}_01.xyz.gz", *file)
            for name in self.settings.molecules
            for part, file in zip(("train", "test"), _FILES[name], strict=True)
        ]

    def snapshots(self) -> Iterator[Frames]:
        """Yield each molecule's frames to train on, to validate on and to test on."""
        train, validation, test = (
            getattr(self.settings, name) for name in ("train", "validation", "test")
        )
        parts = (
            ("train", "train", slice(0, train)),
            ("val", "train", slice(_FRAMES - validation, _FRAMES)),
            ("test", "test", slice(0, test)),
        )
        for name in self.settings.molecules:
            read = {
                part: frames(self.folder() / f"{name}_{part}_01.xyz.gz")
                for part in ("train", "test")
            }
            for part, file, rows in parts:
                numbers, positions, energies, forces = read[file]
                yield Frames(
                    name, numbers, positions[rows], energies[rows], forces[rows], part,
                    self.about.level,
                )  # fmt: skip


def frames(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return atomic numbers (n,), positions (T,n,3) Å, energies (T,) eV and forces (T,n,3) eV/Å."""
    from ase.data import atomic_numbers

    with gzip.open(path, "rt") as file:
        lines = file.read().splitlines()
    count = int(lines[0])
    blocks = [lines[start : start + count + 2] for start in range(0, len(lines), count + 2)]
    rows = [line.split() for block in blocks for line in block[2:]]
    symbols = [row[0] for row in rows]
    if any(int(block[0]) != count for block in blocks) or symbols != symbols[:count] * len(blocks):
        raise UserError(f"{path}: frames of different molecules")
    values = np.array([row[1:] for row in rows], dtype=float).reshape(len(blocks), count, 6)
    energies = np.array([float(block[1].rpartition("Energy=")[2].split()[0]) for block in blocks])
    numbers = np.array([atomic_numbers[symbol] for symbol in symbols[:count]], dtype=np.uint8)
    return numbers, values[..., :3], energies, values[..., 3:]


DATASET = RMD17
