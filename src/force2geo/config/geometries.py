"""Settings of relaxations and of the single points that judge them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from force2geo.config.calculator import ByCalculator
from force2geo.config.training import Model, Otherwise
from force2geo.settings import setting


@dataclass(frozen=True)
class Chunk:
    """Molecules of one job; jobs cut otherwise are other jobs."""

    potential: int = setting("relaxed by a potential", 1000, least=1)
    calculator: int = setting("relaxed by a calculator", 100, least=1)


@dataclass(frozen=True)
class Relax:
    """Relaxations, by the run's potential and by those compared."""

    potential: str = setting(
        "whose relaxations property models learn from: `Force2Geo`, the run's own potential, or a "
        "name under `compare`",
        "Force2Geo",
    )
    optimizer: Literal["bfgs", "bfgs-model", "lbfgs", "fire"] = setting(
        "ASE's, step by step; bfgs-model begins with a model Hessian, for a third of the steps",
        "bfgs",
    )
    force_threshold: float = setting(
        "largest force of a relaxed geometry", 0.05, unit="eV/Å", above=0
    )
    max_steps: int = setting("most steps", 500, unit="steps", least=1)
    batch_atoms: int = setting(
        "most atoms that move at once; changes no result", 4096, unit="atoms", least=1
    )
    chunk: Chunk = setting("molecules of one job", Chunk())
    starts: tuple[Literal["hf", "rdkit", "dft", "gfn2"], ...] = setting(
        "geometries D_opt is relaxed from beside `hf`, the first DFT snapshot: rows of table 3",
        (),
        distinct=True,
    )
    d_opt: str | None = setting(
        "data of molecules with splits of their own, all of which stand in D_opt's place; they "
        "start from a geometry of that data set's choice",
        None,
    )


@dataclass(frozen=True)
class ByCheckpoint:
    """A potential that is there."""

    checkpoint: str = setting("its file")


@dataclass(frozen=True)
class ByTraining:
    """A potential trained on the same data, another network or recipe."""

    model: Model = setting("the network, `pretrain.backbone` where its `backbone` is left out")
    training: Otherwise = setting("keys of `pretrain`, where they differ")


Compared = ByCalculator | ByCheckpoint | ByTraining


@dataclass(frozen=True)
class Finish:
    """Relaxations of D_opt that go on to DFT's minimum, rows of table 3."""

    potentials: tuple[str, ...] = setting(
        "whose relaxations: `Force2Geo`, the run's own potential, or names under `compare`",
        ("Force2Geo",),
        distinct=True,
    )
    starts: tuple[Literal["hf", "rdkit", "dft", "gfn2"], ...] = setting(
        "starts whose relaxations are finished, of D_opt's; the first alone if none is named",
        (),
        distinct=True,
    )
    force_threshold: float = setting(
        "largest force of a finished geometry, by DFT", 0.05, unit="eV/Å", above=0
    )
    max_gradients: int = setting("most gradients of a molecule", 20, least=1)


@dataclass(frozen=True)
class Dft:
    """Single points of geometries before and after relaxation."""

    method: str = setting("PySCF's name; b3lyp5 is what GAMESS calls B3LYP", "b3lyp5")
    basis: str = setting("basis", "6-31g*")
    cartesian: bool = setting("whether d functions are six, as GAMESS has them", True)
    density_fit: bool = setting("whether the density is fitted", False)
    grid_level: int = setting("PySCF's grid", 3, least=0, most=9)
    conv_tol: float = setting(
        "change of the energy where a calculation ends", 1.0e-8, unit="Hartree", above=0
    )
    time_limit: int | None = setting(
        "most time of a single point, null for any; one that needs more is tried once again, after "
        "the others, with twice as much, and by the next run",
        1800,
        unit="s",
        above=0,
    )
    memory_limit: int | None = setting(
        "most memory of a single point, null for any", None, unit="MB", above=0
    )
