"""Training: resuming, stopping and several processes."""

import os
import subprocess
import sys

import pytest
import torch

from force2geo.errors import UserError
from force2geo.potentials.models import Potential
from force2geo.train import engine
from force2geo.train.objectives import EnergyForces
from force2geo.train.references import fit_references

BACKBONE = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}

SETTINGS = {
    "batch_size": 4, "seed": 3, "ema": 0.9, "epochs": 4, "gradient_clip": 10.0,
    "optimizer": {"name": "adam", "learning_rate": 0.01, "betas": [0.9, 0.999],
                  "weight_decay": 0.0},
    "schedule": {"name": "plateau", "factor": 0.5, "patience": 0},
}  # fmt: skip


class KilledError(Exception):
    pass


def train(packed, scratch, die_at=None, keep_every=600.0, forces="rmse", **changes):
    torch.manual_seed(0)
    objective = EnergyForces("mae", forces, 1.0, 1.0, True)
    model = Potential(BACKBONE)
    references = fit_references(packed.where("train"), "per_element")
    model.head.references.copy_(torch.from_numpy(references))
    calls = {"n": 0}
    plain = objective.loss

    def loss(*args):
        calls["n"] += 1
        if calls["n"] == die_at:
            raise KilledError
        return plain(*args)

    objective.loss = loss
    sets = packed.where("train"), packed.where("val")
    return engine.fit(model, objective, *sets, SETTINGS | changes, scratch, keep_every=keep_every)


def test_training_lowers_the_error_and_a_killed_run_resumes_to_the_same_weights(packed, tmp_path):
    whole, history = train(packed, tmp_path / "a")
    assert history[-1]["train_loss"] < history[0]["train_loss"] and len(history) == 4
    with pytest.raises(KilledError):
        train(packed, tmp_path / "b", die_at=16)
    assert (tmp_path / "b" / "last.ckpt").exists()
    resumed, history_resumed = train(packed, tmp_path / "b")
    assert not (tmp_path / "b").exists()
    assert [row["epoch"] for row in history_resumed] == [0, 1, 2, 3]
    for (name, one), two in zip(
        whole.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), name


SCHEDULES = (
    {"name": "plateau", "factor": 0.5, "patience": 0},
    {"name": "step", "step_size": 1, "gamma": 0.7},
    {"name": "cosine", "warmup": 0.2},
)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s["name"])
@pytest.mark.parametrize("die_at", [3, 16])
def test_run_killed_in_the_middle_of_an_epoch_resumes_to_the_last_bit(
    packed, tmp_path, schedule, die_at
):
    whole, history = train(packed, tmp_path / "a", schedule=schedule)
    with pytest.raises(KilledError):
        train(packed, tmp_path / "b", die_at, keep_every=0.0, schedule=schedule)
    kept = torch.load(tmp_path / "b" / engine.MIDDLE, weights_only=True)
    assert kept["progress"]["done"] == (die_at - 1) % 6  # six batches an epoch
    resumed, history_resumed = train(packed, tmp_path / "b", schedule=schedule)
    for one, two in zip(history, history_resumed, strict=True):
        assert one | {"seconds": 0} == two | {"seconds": 0}
    for (name, one), two in zip(
        whole.state_dict().items(), resumed.state_dict().values(), strict=True
    ):
        assert torch.equal(one, two), name


def test_training_stops_early_where_nothing_improves(packed, tmp_path):
    _, history = train(packed, tmp_path / "a", epochs=50, early_stop=2, optimizer={
        "name": "adam", "learning_rate": 0.0, "betas": [0.9, 0.999], "weight_decay": 0.0,
    })  # fmt: skip
    assert len(history) == 3


@pytest.mark.parametrize("column", ["forces", "positions"])
def test_no_number_stops_the_run_and_keeps_the_batch(packed, tmp_path, column):
    row = int(packed.where("train").rows[5])
    getattr(packed, column)[packed.ptr[row]] = torch.nan
    with pytest.raises(UserError, match=r"loss is not finite in epoch 1; .*bad_batch\.pt"):
        train(packed, tmp_path / "a")
    kept = torch.load(tmp_path / "a" / "bad_batch.pt", weights_only=True)
    assert torch.isnan(kept["batch"][column]).any() and kept["epoch"] == 0
    Potential(BACKBONE).load_state_dict(kept["weights"])


def test_a_gradient_that_is_no_number_stops_the_run(packed, tmp_path):
    objective = EnergyForces("mae", "rmse", 1.0, 1.0, True)
    model = Potential(BACKBONE)
    model.backbone.embedding.weight.register_hook(lambda slope: slope * torch.inf)
    sets = packed.where("train"), packed.where("val")
    with pytest.raises(UserError, match="gradient is not finite"):
        engine.fit(model, objective, *sets, SETTINGS, tmp_path / "a")


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
from test_engine import train
from force2geo.train.engine import is_first_process
from force2geo.train.snapshots import Snapshots
folder = Path(sys.argv[2])
_, history = train(Snapshots.read(folder / "x.h5"), folder / sys.argv[3], forces="mse")
if is_first_process():
    torch.save({"history": history}, folder / "result.pt")
"""


def test_two_processes_train_as_one(packed, tmp_path, repository):
    """Every batch halved between processes, the mean of both gradients is that of one process."""
    # A root over a batch is no mean of roots over its halves.
    _, history = train(packed, tmp_path / "a", forces="mse")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(tmp_path / "worker.py")]
    (tmp_path / "worker.py").write_text(WORKER)
    arguments = [str(repository / "tests/train"), str(tmp_path), "b"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(
        command + arguments, capture_output=True, text=True, timeout=300, env=environment
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = torch.load(tmp_path / "result.pt", weights_only=True)
    assert len(found["history"]) == len(history) and not (tmp_path / "b").exists()
    # Forces are averaged over the atoms of each half, so that the two agree nearly. Weights differ
    # by more: Adam makes whole steps of gradients that are rounding alone.
    for one, two in zip(history, found["history"], strict=True):
        for key in ("train_energy", "val_energy_mae", "val_force_mae", "learning_rate"):
            assert one[key] == pytest.approx(two[key], rel=2e-3), key


def test_the_core_imports_four_packages_alone():
    """What a bare GPU node must have for training and inference."""
    code = """
import builtins, sys
plain, allowed = builtins.__import__, {"torch", "numpy", "h5py", "lightning", "force2geo"}
def guarded(name, globals=None, locals=None, fromlist=(), level=0):
    asker = str((globals or {}).get("__name__"))
    top = name.split(".")[0]
    if asker.startswith("force2geo") and not level and top not in allowed | sys.stdlib_module_names:
        raise ImportError(f"{asker} needs {name}")
    return plain(name, globals, locals, fromlist, level)
builtins.__import__ = guarded
import force2geo.train.runs, force2geo.train.snapshots, force2geo.potentials.checkpoint
from force2geo.potentials import atom_steps, pair_sums
assert pair_sums.pair_loops is None and atom_steps.atom_loops is None
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
