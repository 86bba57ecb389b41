"""Settings of trainings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from force2geo.calling.named import SHORT
from force2geo.config.calculator import ByCalculator
from force2geo.settings import LEFT_OUT, limits, setting
from force2geo.train.recipes import RECIPES, USUAL

Error = Literal["mae", "mse", "rmse", "huber"]
Source = Literal["dft_1st", "dft_2nd", "dft_points", None]
if TYPE_CHECKING:
    Recipe = str
    Usual = str
else:
    Recipe = Literal[tuple(RECIPES)]
    Usual = Literal[tuple(SHORT)]
_CORRECTED = (
    "calculator whose energies and forces the network corrects, wherever it is used; none where it "
    "is left out"
)
# The model's settings: `backbone`, its name, and what that backbone takes.
Model = dict[str, Any]


@dataclass(frozen=True)
class Loss:
    """Loss of energies and forces (Force2Geo, eqs 4 to 6)."""

    energy: Error = setting("of energies", "mae")
    forces: Error = setting("of forces, by the length of an atom's error", "rmse")
    energy_weight: float = setting("weight of the energies' loss", 1.0, least=0)
    force_weight: float = setting("weight of the forces' loss", 1.0, least=0)
    energy_per_atom: bool = setting("whether an energy's error is divided by its atoms", True)
    force_scale: float | None = setting(
        "s in the weight 1 / (s + ‖f‖) of an atom with the force f, null for equal weights",
        None,
        unit="eV/Å",
        above=0,
    )
    huber_delta: float = setting(
        "error where huber turns from square to straight; 0.01 where it is left out",
        LEFT_OUT,
        unit="eV or eV/Å",
        above=0,
    )


@dataclass(frozen=True)
class Optimizer:
    """How weights are changed."""

    name: Literal["adam", "adamw"] = setting("which", "adam")
    learning_rate: float = setting("highest rate", 5.0e-4, above=0)
    betas: tuple[float, float] = setting(
        "decays of the running means of gradients and their squares", (0.9, 0.999), least=0, most=1
    )
    weight_decay: float = setting("decay of the weights, adamw's alone", 0.0, least=0)


@dataclass(frozen=True)
class Plateau:
    """The rate falls where validation no longer improves."""

    name: Literal["plateau"] = setting("this schedule")
    factor: float = setting("what the rate is multiplied by", 0.5, above=0, below=1)
    patience: int = setting("epochs without an improvement before", 2, unit="epochs", least=0)


@dataclass(frozen=True)
class Step:
    """The rate falls every so many epochs."""

    name: Literal["step"] = setting("this schedule")
    step_size: int = setting("epochs between", 40, unit="epochs", least=1)
    gamma: float = setting("what the rate is multiplied by", 0.5, above=0, below=1)


@dataclass(frozen=True)
class Cosine:
    """The rate rises, batch by batch, and falls along a cosine to 0."""

    name: Literal["cosine"] = setting("this schedule")
    warmup: float = setting("part of all batches in which it rises", 0.05, least=0, most=0.5)


Schedule = Plateau | Step | Cosine
_PLATEAU, _STEP = Plateau(name="plateau"), Step(name="step")


def _reference() -> Any:
    return setting(
        "what energies are counted from: a fitted energy per element, or the mean per atom", "mean"
    )


def _ema() -> Any:
    return setting("decay of the weights' running mean, 0 for none", 0.0, least=0, below=1)


def _clip() -> Any:
    return setting("longest gradient, a longer one is cut to it; 0 for none", 0.0, least=0)


def _early_stop() -> Any:
    return setting(
        "epochs without an improvement that end the training; none where it is left out",
        LEFT_OUT,
        unit="epochs",
        least=1,
    )


def _batch_atoms() -> Any:
    return setting(
        "most atoms of a batch, in place of batch_size, of molecules of like size; by number of "
        "molecules where it is left out",
        LEFT_OUT,
        unit="atoms",
        least=1,
    )


def _precision() -> Any:
    return setting(
        "of products on a GPU: highest (float32, where it is left out), high (TF32), medium "
        "(bfloat16)",
        LEFT_OUT,
    )


@dataclass(frozen=True)
class Benchmark:
    """Trainings of several networks on the same data (table 2)."""

    backbones: tuple[str, ...] = setting(
        "names of models; those whose packages are not installed are left out, which table 2 says",
        fewest=1,
        distinct=True,
    )
    seeds: tuple[int, ...] = setting(
        "a training each, for means and deviations in table 2; the run's alone where left out",
        LEFT_OUT,
        least=0,
        fewest=1,
        distinct=True,
    )
    batch_size: int | dict[str, int] = setting(
        "snapshots of a batch, of all or by model", unit="snapshots", least=1
    )
    epochs: int | dict[str, int] = setting(
        "most epochs, of all or by model", 100, unit="epochs", least=1
    )
    loss: Loss = setting("what is minimised", Loss())
    reference: Literal["per_element", "mean"] = _reference()
    optimizer: Optimizer = setting("how", Optimizer())
    schedule: Schedule = setting("how the learning rate changes", _PLATEAU)
    ema: float = _ema()
    gradient_clip: float = _clip()
    early_stop: int | None = _early_stop()
    batch_atoms: int | None = _batch_atoms()
    matmul_precision: Literal["highest", "high", "medium"] = _precision()
    baseline: Usual | ByCalculator | None = setting(_CORRECTED, LEFT_OUT)
    data: str = setting("name of the snapshots, under `data`", "benchmark")


@dataclass(frozen=True)
class Pretrain:
    """The run's potential (Force2Geo, appendix F)."""

    backbone: str = setting("name of its model", "painn")
    judged_on: Source = setting(
        "stage whose snapshots validation and test are of, null for all", "dft_1st"
    )
    batch_size: int = setting("snapshots of a batch", 64, unit="snapshots", least=1)
    epochs: int = setting("most epochs", 9, unit="epochs", least=1)
    loss: Loss = setting("what is minimised", Loss())
    reference: Literal["per_element", "mean"] = _reference()
    optimizer: Optimizer = setting("how", Optimizer(learning_rate=1.0e-3))
    schedule: Schedule = setting("how the learning rate changes", _PLATEAU)
    ema: float = _ema()
    gradient_clip: float = _clip()
    early_stop: int | None = _early_stop()
    batch_atoms: int | None = _batch_atoms()
    matmul_precision: Literal["highest", "high", "medium"] = _precision()
    baseline: Usual | ByCalculator | None = setting(_CORRECTED, LEFT_OUT)
    committee: tuple[int, ...] = setting(
        "seeds of further trainings like it: all of them relax together, by their mean, and tell "
        "by how much they differ; property models start from the one of the run's own seed",
        (),
        least=0,
        distinct=True,
    )
    data: str = setting("name of the snapshots, under `data`", "pretrain")


@dataclass(frozen=True)
class Otherwise:
    """Keys of `pretrain` where another potential is trained otherwise; the rest is as there.

    A loss, optimizer or schedule that is given takes the place of the whole one there.
    """

    batch_size: int = setting("snapshots of a batch", LEFT_OUT, unit="snapshots", least=1)
    epochs: int = setting("most epochs", LEFT_OUT, unit="epochs", least=1)
    loss: Loss = setting("what is minimised", LEFT_OUT)
    reference: Literal["per_element", "mean"] = setting("what energies are counted from", LEFT_OUT)
    optimizer: Optimizer = setting("how", LEFT_OUT)
    schedule: Schedule = setting("how the learning rate changes", LEFT_OUT)
    ema: float = setting("decay of the weights' running mean", LEFT_OUT, least=0, below=1)
    gradient_clip: float = setting("longest gradient, 0 for any", LEFT_OUT, least=0)
    early_stop: int | None = _early_stop()
    batch_atoms: int | None = _batch_atoms()
    matmul_precision: Literal["highest", "high", "medium"] = _precision()
    baseline: Usual | ByCalculator | None = setting(_CORRECTED, LEFT_OUT)


@dataclass(frozen=True)
class Trained:
    """Epochs, optimiser and schedule of property models."""

    epochs: int = setting("most epochs", 200, unit="epochs", least=1)
    most_steps: int = setting(
        "batches with which training ends, at the end of an epoch; where it is left out, epochs "
        "alone count",
        LEFT_OUT,
        unit="batches",
        least=1,
    )
    optimizer: Optimizer = setting("how", Optimizer())
    schedule: Schedule = setting("how the learning rate changes", _STEP)


_Values = tuple[Annotated[float, limits(least=0)], ...]
_Counts = tuple[Annotated[int, limits(least=1)], ...]
_Shares = tuple[Annotated[float, limits(above=0, below=1)], ...]


@dataclass(frozen=True)
class Sweeps:
    """Values to try beside the run's own (tables 11 and 12)."""

    noise: _Values = setting("of noise", (), unit="Å")
    geometry_weight: _Values = setting("of geometry_weight", ())


@dataclass(frozen=True)
class Property:
    """Property models (eq. 8, tables 1, 4 to 7 and 9 to 13)."""

    splits: tuple[Literal["random", "scaffold"], ...] = setting(
        "splits of S that they are trained and judged on",
        ("random", "scaffold"),
        fewest=1,
        distinct=True,
    )
    recipes: tuple[Recipe, ...] = setting(
        "how they are made: network, geometry and what they start from",
        USUAL,
        fewest=1,
        distinct=True,
    )
    once: tuple[str, ...] = setting(
        "recipes, or names of models to train from scratch on true geometries, that are trained "
        "with the run's own seed alone; models whose packages are not installed are left out, "
        "which the tables say",
        (),
        distinct=True,
    )
    seeds: tuple[int, ...] = setting(
        "a training of each recipe, size, share and value each, for means, deviations and "
        "intervals; the run's alone where left out",
        LEFT_OUT,
        least=0,
        fewest=1,
        distinct=True,
    )
    train_size: int | None = setting(
        "molecules to train on, of the training part of each split; null for all",
        None,
        unit="molecules",
        least=1,
    )
    sizes: _Counts = setting(
        "other train_size to train with, from scratch and from the potential (figure 6)",
        (),
        unit="molecules",
        distinct=True,
    )
    same_steps: bool = setting(
        "whether sizes below train_size, and shares, train for as many batches as the whole does, "
        "in epochs of several passes; without it, as above train_size, for as many passes",
        False,
    )
    shares: _Shares = setting(
        "of the potential's training molecules: a potential and a Force2Prop each (figure 5)",
        (),
        distinct=True,
    )
    targets: tuple[str, ...] = setting(
        "other targets of the data, a PaiNN from scratch each (table `targets`)", (), distinct=True
    )
    denoising_noise: float = setting(
        "deviation of the noise that the starts of force2prop_denoising and force2prop_dens tell",
        0.2,
        unit="Å",
        above=0,
    )
    target: str | tuple[str, ...] = setting(
        "what is predicted, by its name in the data; several are predicted at once", "gap"
    )
    noise: float = setting(
        "deviation of the noise on true geometries in geometry fine-tuning", 0.1, unit="Å", least=0
    )
    geometry_weight: float = setting("λ of eq. 8, the weight of the geometry's loss", 0.1, least=0)
    batch_size: int = setting("molecules of a batch", 256, unit="molecules", least=1)
    from_scratch: Trained = setting("of models that start from nothing", Trained())
    fine_tuning: Trained = setting("of models that start from another", Trained())
    force2prop: Trained = setting(
        "of models that start from a potential; fine_tuning's where it is left out", LEFT_OUT
    )
    ema: float = _ema()
    gradient_clip: float = _clip()
    sweeps: Sweeps = setting("values to try", Sweeps())
    early_stop: int | None = _early_stop()
    batch_atoms: int | None = _batch_atoms()
    matmul_precision: Literal["highest", "high", "medium"] = _precision()
    data: str | tuple[str, ...] = setting(
        "name of the molecules, under `data`; of several the first of which files are there",
        "downstream",
    )
