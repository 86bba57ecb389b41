"""PubChemQCR: the relaxations that a run has curated from raw logs into its store."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from force2geo.curation.joined import joined
from force2geo.curation.levels import align, fit_levels, mixed_levels
from force2geo.curation.merge import shard_files
from force2geo.errors import UserError
from force2geo.files import read_json
from force2geo.settings import setting
from force2geo.store.level import level_of
from force2geo.training_data.dataset import About, DataSet, File, Frames, Molecule
from force2geo.trajectory import PATH_STAGES
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any

    from force2geo.store.level import Level
    from force2geo.trajectory import Trajectory

_Stage = Literal["pm3", "hf", "dft_1st", "dft_2nd", "dft_points"]


@dataclass(frozen=True)
class PubChemQCRSettings:
    """Which molecules, and which of their stages.

    Most networks take neither charge nor multiplicity as an input, so that an ion's energies are
    noise to them: neutral singlets alone are packed unless `charge_states` asks for others.
    """

    split: str = setting("split or set of the selection", "random")
    sources: tuple[_Stage, ...] = setting("stages whose snapshots are packed", ("dft_1st",))
    charge_states: tuple[tuple[int, ...], ...] = setting(
        "pairs of charge and multiplicity that are packed", ((0, 1),)
    )
    reference_per_level: bool = setting(
        "bring the energies of several levels of theory to one scale", False
    )
    shards: tuple[str, ...] | None = setting("shards of the store, all by default", None)


class PubChemQCR(DataSet):
    """Snapshots of relaxations, or molecules with their gap and the geometries of both ends."""

    Settings = PubChemQCRSettings
    kinds = ("snapshots", "molecules")
    needs = ("store", "selection")
    units = {"gap": "eV"}
    start = "hf"
    about = About(
        "PubChemQCR",
        "PM3, HF/STO-3G and B3LYP/6-31G*, as the logs have it",
        "M. Nakata, T. Shimazaki, J. Chem. Inf. Model. 57 (2017) 1300; C. Fu et al., PubChemQCR",
        "CC-BY-4.0",
        "your own archives of logs (raw.logs)",
    )

    def __init__(self, settings: Any, paths: dict[str, Path] | None = None) -> None:
        super().__init__(settings, paths)
        states = settings.charge_states
        if not states or any(len(one) != 2 or one[1] < 1 for one in states):
            raise UserError(
                "data set pubchemqcr: charge_states: give pairs of charge and multiplicity, "
                "[[0, 1], [1, 1]]"
            )
        self._references: dict[Level, np.ndarray] | None = None

    def files(self) -> list[File]:
        """Return nothing: all it reads is the run's own."""
        return []

    def sources(self) -> list[str]:
        """Return the stages."""
        return list(self.settings.sources)

    def geometries(self) -> tuple[str, ...]:
        """Return both ends of the DFT relaxation, where the HF one ended first, and RDKit's."""
        return ("dft", "hf", "rdkit")

    def level_references(self) -> dict[Level, np.ndarray] | None:
        """Return what moved energies to one scale, by level: (101,) eV by atomic number."""
        return self._references

    def read_from(self) -> list[Path]:
        """Return the selection and the shards."""
        return [self.paths["selection"], *self._shards()]

    def _shards(self) -> list[Path]:
        return shards_of(self.paths["store"], self.settings.shards)

    def _chosen(self) -> Any:
        path, name = self.paths["selection"], self.settings.split
        selection = read_json(path, "a selection, a JSON object")
        if name not in selection:
            raise UserError(f"{path}: has no split or set '{name}', only {', '.join(selection)}")
        return selection[name]

    def snapshots(self) -> Iterator[Frames]:
        """Yield each stage's whole snapshots; of a molecule in several shards all stages."""
        sources, chosen, shards = self.sources(), self._chosen(), self._shards()
        if not isinstance(chosen, dict):
            raise UserError(f"split '{self.settings.split}' is a set: it has no parts to train on")
        part_of = {cid: part for part, cids in chosen.items() for cid in cids}
        states = {(int(q), int(m)) for q, m in self.settings.charge_states}
        if self.settings.reference_per_level:
            self._references = fit_levels(shards, sources, set(chosen["train"]), states)
        move = align(self._references)
        packed: Counter[Level] = Counter()
        unplaced: Counter[Level] = Counter()
        others: Counter[tuple[int, int]] = Counter()
        incomplete = 0
        for trajectory in joined(shards, sources, part_of):
            state = trajectory.charge, trajectory.multiplicity
            if state not in states:
                others[state] += 1
                continue
            for source, stage in trajectory.stages.items():
                whole = np.isfinite(stage.energies) & np.isfinite(stage.gradients).all(axis=(1, 2))
                incomplete += int((~whole).sum())
                if not whole.any():
                    continue
                level = level_of(stage)
                energies = stage.energies[whole] * HARTREE_TO_EV
                energies = move(level, trajectory.atomic_numbers, energies)
                if np.isnan(energies).any():
                    unplaced[level] += len(energies)
                    continue
                packed[level] += len(energies)
                yield Frames(
                    trajectory.cid,
                    trajectory.atomic_numbers,
                    stage.positions[whole],
                    energies,
                    stage.gradients[whole] * GRADIENT_TO_FORCE,
                    part_of[trajectory.cid],
                    level,
                    source,
                    *state,
                )
        if not packed.total():
            raise UserError(
                f"nothing to pack: no molecule of the split has a snapshot of {', '.join(sources)} "
                f"with energy and gradient ({incomplete} without, {unplaced.total()} on another "
                f"energy scale, {others.total()} charged or open-shell molecules left out)"
            )
        self._tell(packed, unplaced, others, incomplete)

    def _tell(
        self,
        packed: Counter[Level],
        unplaced: Counter[Level],
        others: Counter[tuple[int, int]],
        incomplete: int,
    ) -> None:
        warning = mixed_levels(packed)
        if warning and self._references is None:
            self.warnings.append(warning)
        for level, count in unplaced.most_common():
            self.warnings.append(
                f"{count} snapshots of {level} left out: no molecule of the training set is "
                "on their energy scale, so that they cannot be brought to the others'"
            )
        for (charge, multiplicity), count in sorted(others.items()):
            self.notes.append(
                f"{count} molecules of charge {charge}, multiplicity {multiplicity} left out"
            )
        if incomplete:
            self.notes.append(f"{incomplete} snapshots without energy or gradient left out")

    def molecules(self) -> Iterator[Molecule]:
        """Yield the molecules of a set of the selection.

        `dft` is the relaxed geometry, `hf` the first DFT snapshot: what relaxation by PM3 and HF
        gave.
        """
        chosen = set(self._chosen())
        for trajectory in joined(self._shards(), PATH_STAGES, chosen):
            yield _molecule(trajectory)


def shards_of(store: Path, names: Sequence[str] | None) -> list[Path]:
    """Return the shards of a store that have these names, or all there are."""
    if names is None:
        names = sorted(path.name.removesuffix(".lmdb") for path in store.glob("*.lmdb"))
    if not names:
        raise UserError(f"{store}: no shard (*.lmdb) in this folder")
    return shard_files(store, list(names), ".lmdb")


def _molecule(trajectory: Trajectory) -> Molecule:
    first, last = trajectory.stages["dft_1st"], trajectory.final_dft
    assert last is not None and last.homo is not None and last.lumo is not None
    return Molecule(
        trajectory.cid,
        np.asarray(trajectory.atomic_numbers),
        {"dft": last.positions[-1], "hf": first.positions[0]},
        {"gap": (last.lumo - last.homo) * HARTREE_TO_EV},
        trajectory.smiles,
        trajectory.inchi,
        trajectory.charge,
        trajectory.multiplicity,
    )


DATASET = PubChemQCR
