"""Settings from logs to training data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from force2geo.settings import limits, setting

Stage = Literal["pm3", "hf", "dft_1st", "dft_2nd", "dft_points"]
# An entry's settings: `from`, the name of its data set, what it is read `as`, and what that takes.
Entry = dict[str, Any]
# As in the paper.
ENTRIES: dict[str, Entry] = {
    "benchmark": {"from": "pubchemqcr", "split": "random", "sources": ["dft_1st"]},
    "pretrain": {"from": "pubchemqcr", "split": "pretrain", "sources": ["dft_1st"]},
    "downstream": {"from": "pubchemqcr", "as": "molecules", "split": "subset"},
}
# The layout of PubChemQC's archives.
_NAMES = (
    r"(?:^|/)(?P<cid>\d{9})/(?P=cid)\.(?P<stage>pm3|hf|dft_1st|dft_2nd|dft_points)"
    r"(?:\.\d+\.(?P<origin>[\w.]+))?\.log$"
)


@dataclass(frozen=True)
class Raw:
    """Logs that are there."""

    logs: tuple[str, ...] = setting(
        "archives of logs, one shard each, or folders of archives or of logs"
    )
    identifiers: str | tuple[str, ...] | None = setting(
        "CSV of SMILES and InChI by CID, one for all logs or one for each of their entries; with "
        "none logs are curated, counted and audited, but a molecule without either is in no split "
        "and in no training set",
        None,
    )


@dataclass(frozen=True)
class Generate:
    """Molecules of your own, relaxed by the PubChemQC protocol with open programs."""

    molecules: str = setting("list of molecules: .smi, or CSV with smiles or inchi")
    shard_size: int = setting("molecules of a shard", 100, unit="molecules", least=1)
    force_threshold: float = setting(
        "largest force where the semi-empirical stage ends", 0.05, unit="eV/Å", above=0
    )
    gradient_max: float = setting(
        "largest gradient where Hartree-Fock and B3LYP end", 5.0e-4, unit="Hartree/bohr", above=0
    )
    gradient_rms: float = setting(
        "root mean square of the gradient where they end", 3.0e-4, unit="Hartree/bohr", above=0
    )
    max_steps: int = setting("most steps of a stage", 200, unit="steps", least=1)
    density_fit: bool = setting("whether B3LYP fits the density", True)
    grid_level: int = setting("PySCF's grid of B3LYP", 2, least=0, most=9)


@dataclass(frozen=True)
class Curate:
    """What the logs' paths say."""

    name_pattern: str = setting(
        "regular expression of a log's path, a compression's suffix taken off, with the groups "
        "cid, stage and, for single points, origin",
        _NAMES,
    )
    stage_names: dict[str, Stage] = setting(
        "stages by the names that they have in paths, where these differ", {}
    )


@dataclass(frozen=True)
class Audit:
    """Which level of theory the energies are at."""

    sample: int = setting(
        "energies of each level and stage that are recomputed with PySCF, 0 for none", 1, least=0
    )
    tolerance: float = setting(
        "difference from which on it is another level", 1.0e-4, unit="Hartree/atom", above=0
    )


_Part = Annotated[float, limits(above=0, below=1)]


@dataclass(frozen=True)
class Fractions:
    """Parts of a split, which add up to 1."""

    train: _Part = setting("of training", 0.8)
    val: _Part = setting("of validation", 0.1)
    test: _Part = setting("of the test", 0.1)


@dataclass(frozen=True)
class Select:
    """The subset S, its splits, and the diverse test molecules D_opt."""

    subset_size: int | None = setting(
        "molecules in S, null for all", None, unit="molecules", least=3
    )
    subset_snapshots: int | None = setting(
        "snapshots of the first DFT stage in S, null to leave them to chance",
        None,
        unit="snapshots",
        least=1,
    )
    test_sets: tuple[str, ...] = setting(
        "CSV files (inchikey, inchi or smiles) of test sets that pretraining must not see", ()
    )
    fractions: Fractions = setting("parts of a split", Fractions())
    d_opt_size: int = setting(
        "molecules in D_opt, chosen by MaxMin", 1000, unit="molecules", least=1
    )
