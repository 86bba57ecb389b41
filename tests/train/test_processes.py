"""Two processes on one machine train as one does."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from test_engine import train
from train_toys import SETTINGS

from force2geo.train import losses
from force2geo.train import processes as together
from force2geo.train.processes import is_first_process, mean, processes

WORKER = """
import os
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import torch
from lightning.pytorch.callbacks import Callback
from test_engine import KilledError, train
from test_processes import RUNS, potential
from force2geo.train import runs
from force2geo.train.processes import is_first_process
from force2geo.train.snapshots import Snapshots

folder = Path(sys.argv[2])
packed = Snapshots.read(folder / "x.h5")

class Tracker(Callback):
    def __init__(self, *_):
        (folder / f"tracker.{os.getpid()}").touch()
    def finish(self, _):
        pass

runs.MLflowTracking = Tracker
potential(packed, folder / "two" / "model.pt", "somewhere")
found = {}
for name, options in RUNS.items():
    found[name] = train(packed, folder / name, **options)[1]
try:
    train(packed, folder / "killed", 9, keep_every=0.0, noisy=True, **RUNS["rmse"])
except KilledError:
    pass
again = train(packed, folder / "killed", noisy=True, **RUNS["rmse"])
whole = train(packed, folder / "whole", noisy=True, **RUNS["rmse"])
same = [row | {"seconds": 0} for row in again[1]] == [row | {"seconds": 0} for row in whole[1]]
pairs = zip(again[0].state_dict().values(), whole[0].state_dict().values())
found["resumed"] = same and all(torch.equal(*pair) for pair in pairs)
if is_first_process():
    torch.save(found, folder / "found.pt")
"""
# Halves of unequal size, and a last batch of one molecule.
RUNS = {
    "rmse": {"batch_size": 5, "epochs": 3},
    "lone": {"batch_size": 23, "epochs": 3, "forces": "mse"},
}


def potential(packed, target, uri=""):
    from force2geo.train.registry import of_record
    from force2geo.train.runs import train
    from force2geo.train.sources import SNAPSHOTS

    settings = SETTINGS | {
        "objective": "energy_forces", "epochs": 2, "batch_atoms": 12, "reference": "per_element",
        "backbone": {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5},
        "tracking": {"uri": uri, "experiment": "x"},
        "loss": {"energy": "mae", "forces": "rmse", "energy_weight": 1.0, "force_weight": 1.0,
                 "energy_per_atom": True},
    }  # fmt: skip
    sets = SNAPSHOTS.sets(packed, None)
    train("pretrain", of_record(settings, "x"), sets, settings, [], target)


def test_two_processes_train_as_one(packed, tmp_path, repository):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(tmp_path / "worker.py")]
    (tmp_path / "worker.py").write_text(WORKER)
    arguments = [str(repository / "tests/train"), str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(
        command + arguments, capture_output=True, text=True, timeout=300, env=environment
    )
    assert run.returncode == 0, run.stderr[-3000:]
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    # A root is taken of the mean over both halves, a molecule counts once wherever it is.
    for name, options in RUNS.items():
        _, history = train(packed, tmp_path / f"{name} alone", **options)
        assert len(found[name]) == len(history)
        for one, two in zip(history, found[name], strict=True):
            for key in one.keys() - {"seconds"}:
                # Adam makes whole steps of gradients that are rounding alone.
                assert one[key] == pytest.approx(two[key], rel=1e-3), (name, key)
    assert found["resumed"]
    assert len(list(tmp_path.glob("tracker.*"))) == 1
    potential(packed, tmp_path / "one" / "model.pt")
    one, two = (np.load(tmp_path / name / "predictions.npz") for name in ("one", "two"))
    assert set(one) == set(two)
    for key in one:
        if one[key].dtype.kind == "S" or key.endswith(("_true", "atoms")):
            np.testing.assert_array_equal(one[key], two[key])
        else:
            np.testing.assert_allclose(one[key], two[key], rtol=1e-3, atol=1e-3)


def test_the_first_process_is_known_before_they_are_connected(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SLURM_", "TORCHELASTIC")):
            monkeypatch.delenv(name)
    assert is_first_process() and processes() == (1, 1)
    started = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "4"}
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    for rank in range(4):
        monkeypatch.setenv("RANK", str(rank))
        assert is_first_process() == (rank == 0)
    assert processes() == (2, 2)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    for name, value in {"PROCID": "3", "NTASKS": "8", "NNODES": "2"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert not is_first_process() and processes() == (4, 2)
    monkeypatch.setenv("SLURM_JOB_NAME", "bash")
    assert is_first_process() and processes() == (1, 1)


def test_a_sum_over_processes_has_the_gradient_of_one(monkeypatch):
    """Training averages the gradients of both: √(3w + 5w) has 8 / 2√8w."""
    slopes = []
    for own, other in ((3.0, 5.0), (5.0, 3.0)):
        weight = torch.ones((), requires_grad=True)
        monkeypatch.setattr(together, "place", lambda: (0, 2))
        monkeypatch.setattr(together.dist, "all_reduce", lambda total, o=other: total.add_(o))
        value = together.over_processes(own * weight).sqrt()
        assert float(value.detach()) == pytest.approx(8**0.5)
        value.backward()
        slopes.append(float(weight.grad))
    assert np.mean(slopes) == pytest.approx(4 / 8**0.5)


def test_mean_of_nothing_is_zero_and_a_root_is_taken_after_the_mean():
    assert float(mean(torch.zeros(0))) == 0.0
    errors = torch.tensor([3.0, 4.0])
    assert float(losses.of_numbers("rmse", errors, 1.0)) == pytest.approx(12.5**0.5)
