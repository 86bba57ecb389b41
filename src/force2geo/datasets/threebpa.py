"""3BPA: a flexible drug-like molecule of 27 atoms in molecular dynamics at 300 K."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from force2geo.errors import UserError
from force2geo.settings import setting
from force2geo.training_data.dataset import About, DataSet, File, Frames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILE = File(
    "3bpa_train_300K.xyz.gz",
    470737,
    "bd515d340ec0f2f467e9aadf543e3a365d1b8d74ffdef21047c096c9284a53d3",
)
_FRAMES = 500


@dataclass(frozen=True)
class ThreeBPASettings:
    """Where the frames are, and what becomes of those that are not trained on."""

    folder: str = setting(f"folder of {_FILE.path}")
    validation: int = setting(f"frames of {_FRAMES} to validate on", 50, least=1, most=_FRAMES)
    test: int = setting(f"frames of {_FRAMES} to test on", 50, least=1, most=_FRAMES)


class ThreeBPA(DataSet):
    """The published training frames at 300 K; parts lie spread evenly over the file."""

    Settings = ThreeBPASettings
    kinds = ("snapshots",)
    about = About(
        "3BPA",
        "ωB97X/6-31G(d)",
        "D. P. Kovács et al., J. Chem. Theory Comput. 17 (2021) 7696",
        "CC-BY-4.0",
        "github.com/divelab/AIRS (OpenMol/PACE/dataset)",
    )

    def __init__(self, settings: ThreeBPASettings, paths: dict[str, Path] | None = None) -> None:
        super().__init__(settings, paths)
        if settings.validation + settings.test >= _FRAMES:
            raise UserError(f"data set threebpa: of {_FRAMES} frames none is left to train on")

    def files(self) -> list[File]:
        """Return the one file."""
        return [_FILE]

    def snapshots(self) -> Iterator[Frames]:
        """Yield the frames to train on, to validate on and to test on."""
        import gzip

        from ase.io import read

        with gzip.open(self.folder() / _FILE.path, "rt") as file:
            frames = read(file, index=":", format="extxyz")
        held = self.settings.validation + self.settings.test
        # Neighbours in the file are no neighbours in time.
        places = np.linspace(0, _FRAMES - 1, held).round().astype(int)
        tests = np.linspace(0, held - 1, self.settings.test).round().astype(int)
        part = np.full(len(frames), "train", dtype=object)
        part[places] = "val"
        part[places[tests]] = "test"
        for name in ("train", "val", "test"):
            chosen = [frame for frame, own in zip(frames, part, strict=True) if own == name]
            yield Frames(
                "3bpa",
                chosen[0].numbers,
                np.array([frame.positions for frame in chosen]),
                np.array([frame.get_potential_energy() for frame in chosen]),
                np.array([frame.get_forces() for frame in chosen]),
                name,
                self.about.level,
            )


DATASET = ThreeBPA
