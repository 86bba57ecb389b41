"""Training: resuming, stopping and several processes."""

import csv
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn
from train_toys import SETTINGS, NoisyEnergyForces, Number, Square, Targets

from force2geo.errors import UserError
from force2geo.potentials.models import Potential
from force2geo.train import engine
from force2geo.train.history import EpochTable, LineAMinute
from force2geo.train.objectives.energy_forces import EnergyForces
from force2geo.train.reference_energies import fit_references

BACKBONE = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}


class KilledError(Exception):
    pass


def train(
    packed,
    scratch,
    die_at=None,
    keep_every=600.0,
    forces="rmse",
    noisy=False,
    callbacks=None,
    **changes,
):
    """Train a small PaiNN; the kill comes before batch `die_at`, or in a validation if "val N"."""
    torch.manual_seed(0)
    kind = NoisyEnergyForces if noisy else EnergyForces
    objective = kind.of(forces=forces)
    model = Potential(BACKBONE)
    if noisy:
        model.energy.atomic[1] = nn.Sequential(model.energy.atomic[1], nn.Dropout(0.3))
    references = fit_references(packed.where("train"), "per_element")
    model.energy.references.copy_(torch.from_numpy(references))
    calls = {"loss": 0, "metrics": 0}

    def deadly(name, place):
        plain = getattr(objective, name)

        def method(*args):
            calls[name] += 1
            if calls[name] == place:
                raise KilledError
            return plain(*args)

        setattr(objective, name, method)

    in_validation = isinstance(die_at, str)
    deadly("loss", None if in_validation else die_at)
    deadly("metrics", int(die_at.split()[1]) if in_validation else None)
    sets = packed.where("train"), packed.where("val")
    settings = SETTINGS | changes
    found = engine.fit(model, objective, *sets, settings, scratch, callbacks, keep_every)
    train.batches = calls["loss"]
    return found


def state(scratch, name):
    """Return what is kept of the run."""
    (folder,) = (path.parent for path in scratch.glob("*/run.json"))
    return torch.load(folder / name, weights_only=True)


def assert_same(one, other):
    """Hold two trainings, (network, history) each, to one another bit for bit."""
    for row, again in zip(one[1], other[1], strict=True):
        assert row | {"seconds": 0} == again | {"seconds": 0}
    for (name, value), again in zip(
        one[0].state_dict().items(), other[0].state_dict().values(), strict=True
    ):
        assert torch.equal(value, again), name


def test_training_lowers_the_error_and_a_killed_run_resumes_to_the_same_weights(packed, tmp_path):
    whole = train(packed, tmp_path / "a")
    history = whole[1]
    assert history[-1]["train_loss"] < history[0]["train_loss"] and len(history) == 4
    with pytest.raises(KilledError):
        train(packed, tmp_path / "b", die_at=16)
    assert len(state(tmp_path / "b", "last.ckpt")["history"]) == 2
    assert_same(whole, train(packed, tmp_path / "b"))
    assert train.batches == 12  # the two epochs that were not done


def test_a_finished_run_called_again_gives_its_network_at_once(packed, tmp_path):
    whole = train(packed, tmp_path / "a")
    assert_same(whole, train(packed, tmp_path / "a"))
    assert train.batches == 0
    still = {"name": "adam", "learning_rate": 0.0, "betas": [0.9, 0.999], "weight_decay": 0.0}
    early = {"epochs": 50, "early_stop": 2, "optimizer": still}
    stopped = train(packed, tmp_path / "b", **early)
    assert len(stopped[1]) == 3
    assert_same(stopped, train(packed, tmp_path / "b", **early))
    assert train.batches == 0


SCHEDULES = (
    {"name": "plateau", "factor": 0.5, "patience": 0},
    {"name": "step", "step_size": 1, "gamma": 0.7},
    {"name": "cosine", "warmup": 0.2},
)
_WHOLE = {}  # uninterrupted runs by schedule


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s["name"])
# In the middle of epochs 1 and 3, after the last batch of epoch 2, at the first of epoch 3.
@pytest.mark.parametrize("die_at", [3, 16, "val 2", 13])
def test_a_noisy_run_killed_anywhere_resumes_to_the_last_bit(packed, tmp_path, schedule, die_at):
    options = {"schedule": schedule, "ema": 0.0 if schedule["name"] == "step" else 0.9}
    if schedule["name"] not in _WHOLE:
        _WHOLE[schedule["name"]] = train(packed, tmp_path / "a", noisy=True, **options)
    whole = _WHOLE[schedule["name"]]
    with pytest.raises(KilledError):
        train(packed, tmp_path / "b", die_at, 0.0, noisy=True, **options)
    torch.manual_seed(99)  # a new process begins anywhere
    assert_same(whole, train(packed, tmp_path / "b", noisy=True, **options))
    # Six batches an epoch; those that were done are not done again.
    assert train.batches == {3: 22, 16: 9, "val 2": 13, 13: 12}[die_at]


def test_draws_differ_between_seeds_epochs_and_batches(packed, tmp_path):
    drawn = []

    class Listening(NoisyEnergyForces):
        def prepare(self, batch, generator):
            drawn.append((float(torch.rand((), generator=generator)), float(torch.rand(()))))
            return batch

    for seed in (1, 2):
        engine.fit(
            Potential(BACKBONE), Listening.of(forces="mse"), packed.where("train"),
            packed.where("val"), SETTINGS | {"seed": seed, "epochs": 2}, tmp_path / str(seed),
        )  # fmt: skip
    # Two seeds, two epochs, six batches, a draw of the objective's and one of torch's own.
    assert len({value for pair in drawn for value in pair}) == 48


def test_the_state_of_every_epoch_is_kept_also_when_nothing_improves(packed, tmp_path):
    still = {"name": "adam", "learning_rate": 0.0, "betas": [0.9, 0.999], "weight_decay": 0.0}
    with pytest.raises(KilledError):
        train(packed, tmp_path / "a", die_at=20, optimizer=still, ema=0.0)
    assert len(state(tmp_path / "a", "last.ckpt")["history"]) == 3
    assert len(state(tmp_path / "a", "best.ckpt")["history"]) == 1


def test_the_table_of_epochs_is_there_while_training_goes_on(packed, tmp_path, monkeypatch, capsys):
    table = EpochTable(tmp_path / "metrics.csv")

    def rows():
        with table.path.open() as handle:
            return [float(row["val_force_rmse"]) for row in csv.DictReader(handle)]

    with pytest.raises(KilledError):
        train(packed, tmp_path / "a", die_at=16, callbacks=[table])
    assert len(rows()) == 2
    _, history = train(packed, tmp_path / "a", callbacks=[table])
    assert rows() == [row["val_force_rmse"] for row in history] and len(history) == 4

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("force2geo.train.history.write_table", full)
    train(packed, tmp_path / "b", callbacks=[table])
    assert capsys.readouterr().err.count("metrics.csv: No space left on device") == 1


def test_other_settings_start_anew_and_say_which(packed, tmp_path, capsys):
    with pytest.raises(KilledError):
        train(packed, tmp_path / "a", die_at=16)
    faster = SETTINGS["optimizer"] | {"learning_rate": 0.02}
    expected = train(packed, tmp_path / "b", optimizer=faster)
    assert "anew" not in capsys.readouterr().out
    assert_same(expected, train(packed, tmp_path / "a", optimizer=faster))
    said = capsys.readouterr().out
    assert "training starts anew" in said and "settings.optimizer.learning_rate" in said
    # What was done by the settings before is there when they come back.
    train(packed, tmp_path / "a")
    assert train.batches == 12


def test_other_inputs_start_anew_and_trackers_do_not_count(tmp_path, capsys):
    def fit(inputs, uri):
        engine.fit(
            Number(0.0), Square(), Targets([1.0]), Targets([1.0]),
            SETTINGS | {"tracking": {"uri": uri}}, tmp_path / "a", inputs=inputs,
        )  # fmt: skip
        return capsys.readouterr().out

    fit({"x.h5": "one"}, "")
    assert not fit({"x.h5": "one"}, "elsewhere")
    assert "another inputs.x.h5" in fit({"x.h5": "two"}, "")


def test_a_full_disk_stops_with_the_state_before(packed, tmp_path, monkeypatch):
    plain, calls = engine.L.Trainer.save_checkpoint, []

    def full(self, path, *args, **kwargs):
        calls.append(path)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        plain(self, path, *args, **kwargs)

    monkeypatch.setattr(engine.L.Trainer, "save_checkpoint", full)
    with pytest.raises(UserError, match=r"No space left on device.*make room"):
        train(packed, tmp_path / "a")
    monkeypatch.undo()
    assert_same(train(packed, tmp_path / "b"), train(packed, tmp_path / "a"))


def test_the_average_has_no_gradient_that_processes_would_exchange():
    run = engine.Training(Number(0.0), Square(), SETTINGS, Targets([0.0]), Targets([0.0]))
    learnt = {name for name, weight in run.named_parameters() if weight.requires_grad}
    assert learnt == {"model.value"} and run.average is not None


def test_sums_of_another_number_of_processes_are_shared_out():
    run = engine.Training(Number(0.0), Square(), SETTINGS, Targets([0.0]), Targets([0.0]))
    kept = [{"loss": 3.0}, {"loss": 5.0}]

    def own(rank, world):
        run._progress["sums"] = kept
        run._trainer = type("T", (), {"world_size": world, "global_rank": rank})()
        return run._own_sums()

    assert [own(rank, 2) for rank in (0, 1)] == kept
    assert own(0, 1) == {"loss": 4.0}
    kept = []
    assert own(1, 2) == {}


def test_a_validation_that_is_no_number_stops_the_run(tmp_path):
    with pytest.raises(UserError, match="property_mae of the validation set is not finite"):
        engine.fit(
            Number(0.0), Square(), Targets([1.0]), Targets([np.nan]), SETTINGS, tmp_path / "a"
        )


def test_an_optimiser_that_cannot_be_is_named(tmp_path):
    wrong = SETTINGS["optimizer"] | {"betas": [0.9, 1.0]}
    with pytest.raises(UserError, match=r"optimizer: .*beta"):
        engine.fit(
            Number(0.0), Square(), Targets([1.0]), Targets([1.0]),
            SETTINGS | {"optimizer": wrong}, tmp_path / "a",
        )  # fmt: skip


def test_training_stops_early_where_nothing_improves(packed, tmp_path):
    _, history = train(packed, tmp_path / "a", epochs=50, early_stop=2, optimizer={
        "name": "adam", "learning_rate": 0.0, "betas": [0.9, 0.999], "weight_decay": 0.0,
    })  # fmt: skip
    assert len(history) == 3


def test_ctrl_c_says_that_the_same_call_goes_on(tmp_path):
    class Interrupt(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if trainer.current_epoch == 2:
                signal.raise_signal(signal.SIGINT)

    sets, scratch = (Targets([1.0, 2.0]), Targets([1.0])), tmp_path / "a"
    with pytest.raises(KeyboardInterrupt, match="2 of 4 epochs are done; the same call goes on"):
        engine.fit(Number(0.0), Square(), *sets, SETTINGS, scratch, [Interrupt()])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    _, history = engine.fit(Number(0.0), Square(), *sets, SETTINGS, scratch)
    assert [row["epoch"] for row in history] == [0, 1, 2, 3]


@pytest.mark.parametrize("column", ["forces", "positions"])
def test_no_number_stops_the_run_and_keeps_the_batch(packed, tmp_path, column):
    row = int(packed.where("train").rows[5])
    getattr(packed, column)[packed.ptr[row]] = torch.nan
    with pytest.raises(UserError, match=r"loss is not finite in epoch 1; .*bad_batch\.pt"):
        train(packed, tmp_path / "a")
    kept = state(tmp_path / "a", "bad_batch.pt")
    assert torch.isnan(kept["batch"][column]).any() and kept["epoch"] == 0
    Potential(BACKBONE).load_state_dict(kept["weights"])


def test_a_gradient_that_is_no_number_stops_the_run(packed, tmp_path):
    objective = EnergyForces.of()
    model = Potential(BACKBONE)
    model.backbone.embedding.weight.register_hook(lambda slope: slope * torch.inf)
    sets = packed.where("train"), packed.where("val")
    with pytest.raises(UserError, match="gradient is not finite"):
        engine.fit(model, objective, *sets, SETTINGS, tmp_path / "a")


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
from force2geo.potentials.fast import atom_steps, pair_sums
assert pair_sums.pair_loops is None and atom_steps.atom_loops is None
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_line_tells_the_newest_epoch_and_no_sooner_than_after_a_minute(monkeypatch, capsys):
    now = [1000.0]
    monkeypatch.setattr("force2geo.train.history.time.monotonic", lambda: now[0])
    told = LineAMinute()
    run = SimpleNamespace(history=[])
    shown = []
    for epoch, later in enumerate((0.0, 59.0, 2.0, 1.0)):
        now[0] += later
        run.history.append({"epoch": float(epoch), "seconds": 1.25, "val_mae": 0.1 + epoch / 3})
        told.on_validation_end(
            SimpleNamespace(current_epoch=epoch, max_epochs=4, is_global_zero=True), run
        )
        shown.append(capsys.readouterr().out)
    assert shown == [
        "epoch 1/4 seconds=1.25 val_mae=0.1\n", "", "epoch 3/4 seconds=1.25 val_mae=0.7667\n",
        "epoch 4/4 seconds=1.25 val_mae=1.1\n",  # the last one in any case
    ]  # fmt: skip
