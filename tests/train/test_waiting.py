"""A training step asks the device for nothing; what is no number is found all the same."""

import copy
import time

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from test_engine import KilledError, assert_same, state, train
from torch import nn
from train_toys import SETTINGS, NoisyEnergyForces

from force2geo.errors import UserError
from force2geo.potentials import pairs as pairing
from force2geo.potentials.models import Potential
from force2geo.train import engine
from force2geo.train.ahead import Ahead
from force2geo.train.average import MovingAverage
from force2geo.train.finiteness import Bad, Watch
from force2geo.train.loader import BatchLoader
from force2geo.train.objective import ParameterGroup
from force2geo.train.optimiser import adopt, heed, optimiser
from force2geo.train.sums import Sums
from force2geo.train.waits import waits

CPU = torch.device("cpu")
PAINN = {"name": "painn", "layers": 2, "features": 8, "basis_size": 8, "cutoff": 4.5}


@pytest.fixture
def late(monkeypatch):
    """Train as on a device that answers late."""
    monkeypatch.setattr(engine, "answers_late", lambda device: True)
    monkeypatch.setattr(pairing, "sorts", lambda device: False)


def asked(work):
    """Return the waits of a piece of work."""
    with waits() as found:
        work()
    return dict(found)


def test_what_would_wait_is_counted():
    x, mask = torch.arange(4.0), torch.tensor([True, False, True, True])
    rows = torch.tensor([2, 1])
    for work, name in {
        lambda: int(x[0]): "_local_scalar_dense",
        lambda: bool(mask.all()): "_local_scalar_dense",
        lambda: x.tolist(): "tolist",
        lambda: x.cpu(): "cpu",
        lambda: x[mask]: "index",
        lambda: x.clone().__setitem__(mask, x[:3]): "index_put_",
        lambda: mask.nonzero(): "nonzero",
        lambda: torch.repeat_interleave(x[:2], rows): "repeat_interleave",
        lambda: torch.bincount(rows): "bincount",
        lambda: torch.tensor([1.0]): "tensor",
        lambda: x[rows[0]]: "_local_scalar_dense",
    }.items():
        (found,) = asked(work)
        assert found.startswith(f"{name} in test_waiting.py:")

    def silent():
        torch.repeat_interleave(x[:2], rows, output_size=3)
        x.clone().__setitem__(mask, 0.0)
        return torch.where(mask, x, x[rows][0]).sum() + torch.isfinite(x).all()

    assert asked(silent) == {}


@pytest.mark.parametrize("name", ["painn", "schnet"])
def test_no_step_waits_for_the_device(packed, tmp_path, late, monkeypatch, name):
    monkeypatch.setattr("test_engine.BACKBONE", PAINN | {"name": name})
    monkeypatch.setattr(engine, "_ASK_EVERY", 3)
    found = {}
    for size in (6, 8):  # four batches an epoch and three; one batch to judge on
        found[size] = asked(lambda size=size: train(packed, tmp_path / str(size), batch_size=size))
        assert train.batches == 4 * 24 // size
    asks = "tolist in finiteness.py:first_bad"
    # At three and four batches, and at three.
    assert (found[6].pop(asks), found[8].pop(asks)) == (8, 4)
    # What else is asked is of epochs, judging and states, however many steps there are.
    assert found[6] == found[8] and found[6]


def test_training_ahead_of_the_device_is_the_same_training(packed, tmp_path, late, monkeypatch):
    ahead = train(packed, tmp_path / "a", noisy=True)
    monkeypatch.setattr(engine, "answers_late", lambda device: False)
    plain = train(packed, tmp_path / "b", noisy=True)
    for one, other in zip(ahead[1], plain[1], strict=True):
        for key in one.keys() - {"seconds"}:
            assert one[key] == pytest.approx(other[key], rel=2e-4), key
    # A fused step rounds otherwise, and no more.
    for one, other in zip(ahead[0].parameters(), plain[0].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_run_ahead_of_the_device_resumes_to_the_last_bit(packed, tmp_path, late):
    whole = train(packed, tmp_path / "a", noisy=True)
    with pytest.raises(KilledError):
        train(packed, tmp_path / "b", 16, 0.0, noisy=True)
    assert_same(whole, train(packed, tmp_path / "b", noisy=True))
    assert train.batches == 9


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_state_kept_when_steps_were_plain_goes_on_in_one_kernel(name):
    options = {"name": name, "learning_rate": 0.1, "betas": [0.8, 0.9], "weight_decay": 0.01}
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    weights = [nn.Parameter(torch.linspace(0, 1, 5)) for _ in range(2)]
    more = {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.01, "foreach": True}
    plain = kind([weights[0]], **more)

    def step(optimizer, weight, slope):
        weight.grad = torch.linspace(-1, 2, 5) * slope
        optimizer.step()

    step(plain, weights[0], 1.0)
    kept = copy.deepcopy(plain.state_dict())
    with torch.no_grad():
        weights[1].copy_(weights[0])
    again = optimiser([ParameterGroup([weights[1]])], options)
    adopt(kept)
    again.load_state_dict(kept)
    assert again.param_groups[0]["fused"] and not again.param_groups[0]["foreach"]
    step(plain, weights[0], -0.5)
    step(again, weights[1], -0.5)
    torch.testing.assert_close(*weights)
    heed(again, torch.ones(()))  # which a plain one does not
    before = weights[1].clone()
    step(again, weights[1], 1.0)
    assert torch.equal(weights[1], before)


def test_the_bad_batch_is_found_with_the_weights_before_it(packed, tmp_path, late):
    order = np.arange(24)
    np.random.default_rng((SETTINGS["seed"], 0)).shuffle(order)
    number = 2  # others come before and after it
    row = int(packed.where("train").rows[order[4 * number + 1]])
    with pytest.raises(KilledError):  # the weights before it, of an unspoilt set
        train(packed, tmp_path / "before", number + 1, 0.0)
    kept = state(tmp_path / "before", "middle.ckpt")["state_dict"]
    packed.forces[packed.ptr[row]] = torch.nan
    done = []

    class Counting(Callback):
        def on_train_batch_end(self, *_):
            done.append(0)

    with pytest.raises(UserError, match=r"loss is not finite in epoch 1; .*bad_batch\.pt"):
        train(packed, tmp_path / "a", callbacks=[Counting()])
    assert len(done) == 6  # all of the epoch, at the end of which it was asked
    found = state(tmp_path / "a", "bad_batch.pt")
    mine = order[4 * number : 4 * number + 4]
    again = packed.where("train").batch(mine)
    torch.testing.assert_close(found["batch"]["forces"], again.forces, equal_nan=True)
    assert torch.equal(found["batch"]["energy"], again.energy) and found["epoch"] == 0
    for name, value in found["weights"].items():
        assert torch.equal(value, kept[f"model.{name}"]), name
    (folder,) = (path.parent for path in (tmp_path / "a").glob("*/run.json"))
    assert not list(folder.glob("*.ckpt"))  # nothing is kept of after it


def test_a_bad_gradient_stops_the_run_before_any_state_is_kept(packed, tmp_path, late):
    calls = []

    def spoil(slope):
        calls.append(slope)
        return slope * torch.inf if len(calls) == 3 else slope

    model = Potential(PAINN)
    model.backbone.embedding.weight.register_hook(spoil)
    sets = packed.where("train"), packed.where("val")
    objective = NoisyEnergyForces.of(
        energy="mae", forces="rmse", energy_weight=1.0, force_weight=1.0, energy_per_atom=True
    )
    with pytest.raises(UserError, match="gradient is not finite in epoch 1"):
        engine.fit(model, objective, *sets, SETTINGS, tmp_path / "a", keep_every=0.0)
    assert len(calls) == 3
    kept = state(tmp_path / "a", "middle.ckpt")
    assert kept["progress"]["done"] == 2
    assert all(value.isfinite().all() for value in kept["state_dict"].values())


def test_the_first_bad_batch_is_told_whatever_comes_after():
    def told(*seen, kind=torch.float32):
        watch = Watch(CPU, 10)
        skips = []
        for loss, norm in seen:
            watch.see(torch.tensor(loss, dtype=kind), torch.tensor(norm))
            skips.append(float(watch.skip))
        return watch.first_bad(), skips

    good, nan, inf = (1.0, 2.0), float("nan"), float("inf")
    assert told(good, good) == (None, [0, 0])
    assert told(good, (nan, 1.0), (1.0, nan), good) == (Bad(11, "loss", 0), [0, 1, 1, 1])
    assert told((1.0, inf), (nan, nan)) == (Bad(10, "gradient", 0), [1, 1])
    assert told(good, good, (nan, nan)) == (Bad(12, "loss", 0), [0, 0, 1])
    assert told((1e300, 1.0), kind=torch.float64) == (None, [0])  # no number of float32


def test_the_earliest_of_all_processes_is_told(monkeypatch):
    others = [Bad(7, "gradient", 1), Bad(9, "loss", 2), None]
    monkeypatch.setattr("force2geo.train.finiteness.gathered", lambda own: [own, *others])
    watch = Watch(CPU, 8)
    watch.see(torch.tensor(torch.nan), torch.tensor(1.0))
    assert watch.first_bad() == others[0]
    assert watch.first_bad(together=False) == Bad(8, "loss", 0)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_fused_step_that_is_skipped_leaves_no_trace(name):
    """What the weights after a bad batch rest on; torch documents it of its scaler alone."""
    options = {"name": name, "learning_rate": 0.1, "betas": [0.8, 0.9], "weight_decay": 0.01}

    def weights(skips):
        layer = nn.Linear(3, 1, bias=False)
        nn.init.constant_(layer.weight, 0.5)
        groups, skip = [ParameterGroup([layer.weight])], torch.zeros(())
        steps = optimiser(groups, options)
        heed(steps, skip)
        for skipped in skips:
            layer.weight.grad = torch.full((1, 3), torch.nan if skipped else 2.0)
            skip.fill_(float(skipped))
            steps.step()
        return layer.weight.detach()

    expected = weights([False, False])
    assert torch.isfinite(expected).all() and not torch.equal(expected, weights([False]))
    assert torch.equal(weights([False, True, True, False]), expected)


def test_the_average_follows_the_recursion_and_waits_once():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
            self.register_buffer("exact", torch.zeros((), dtype=torch.float64))
            self.register_buffer("single", torch.zeros(()))

    net, rng = Net(), np.random.default_rng(0)
    average = MovingAverage(net, 0.9)
    assert not any(weight.requires_grad for weight in average.parameters())
    expected = None

    def follow(average):
        nonlocal expected
        new = rng.normal(size=4)
        with torch.no_grad():
            net.weight.copy_(torch.from_numpy(new[:2]))
        net.exact.fill_(new[2])
        net.single.fill_(new[3])
        expected = new if expected is None else 0.9 * expected + 0.1 * new
        found = asked(lambda: average.update_parameters(net))
        kept = average.module
        values = [*kept.weight.tolist(), float(kept.exact), float(kept.single)]
        np.testing.assert_allclose(values[:3], expected[:3], rtol=1e-14)
        assert values[3] == pytest.approx(expected[3], rel=1e-6)
        return sum(found.values())

    assert [follow(average) for _ in range(4)] == [1, 0, 0, 0]
    resumed = MovingAverage(net, 0.9)
    resumed.load_state_dict(average.state_dict())
    assert [follow(resumed) for _ in range(2)] == [1, 0]


def test_sums_go_on_from_those_kept():
    sums = Sums({"loss": 0.5}, CPU)
    for value, weight in ((0.1, 3), (0.7, 2)):
        sums.add({"loss": torch.tensor(value), "more": torch.tensor(value).double()}, weight)
    single = [float(np.float32(value)) for value in (0.1, 0.7)]
    assert sums.told() == {
        "loss": 0.5 + single[0] * 3 + single[1] * 2, "more": single[0] * 3 + single[1] * 2,
    }  # fmt: skip
    assert Sums({}, CPU).told() == {}


class Counted:
    """A loader's end of `Ahead`: items 0, 1, 2 … of a data set that may fail."""

    left_out = {}

    def __init__(self, packed, fails_at=None):
        self.packed, self.fails_at, self.made = packed, fails_at, 0

    def __len__(self):
        return len(self.packed)

    def sizes(self):
        return self.packed.sizes()

    def batch(self, indices, rng):
        self.made += 1
        if self.made == self.fails_at:
            raise UserError("this one cannot be made")
        made = self.packed.batch(indices)
        made.positions = made.positions + float(rng.normal())
        return made


def test_batches_made_ahead_are_the_loaders_own(packed):
    options = {"batch_size": 5, "seed": 1, "epoch": 2, "shuffle": True, "skip": 1}
    expected = list(BatchLoader(Counted(packed), **options))
    numbers = []
    ahead = Ahead(
        BatchLoader(Counted(packed), **options),
        lambda batch, number: numbers.append(number) or batch,
        CPU,
    )
    assert len(ahead) == len(expected) == 9
    for one, other in zip(ahead, expected, strict=True):
        assert torch.equal(one.positions, other.positions) and torch.equal(one.ptr, other.ptr)
    assert numbers == list(range(1, 10))


def test_a_batch_that_cannot_be_made_is_told_where_it_is_wanted(packed):
    ahead = iter(Ahead(BatchLoader(Counted(packed, 3), 5), lambda batch, number: batch, CPU))
    assert [next(ahead).size, next(ahead).size] == [5, 5]
    with pytest.raises(UserError, match="this one cannot be made"):
        next(ahead)


def test_nobody_makes_batches_that_nobody_wants(packed):
    data = Counted(packed)
    ahead = iter(Ahead(BatchLoader(data, 1), lambda batch, number: batch, CPU))
    next(ahead)
    time.sleep(0.5)  # a thread that did not stop by itself would have made all
    ahead.close()
    # One used, two that wait and one in the making, of 48.
    assert 1 <= data.made <= 4
