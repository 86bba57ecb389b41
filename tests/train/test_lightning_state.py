"""The state of Lightning's loops: what is relied on, and what a Lightning that differs does."""

import lightning as L
import pytest
import torch
from train_toys import SETTINGS, Number, Square, Targets

from force2geo.train import engine, lightning_state

BATCHES = "epoch_loop.batch_progress"
COUNTS = {"ready": 3, "started": 3, "processed": 3, "completed": 3}


class Listening(L.LightningModule):
    """Three batches an epoch; notes the state at the beginning of each, as it is and as set."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.found = []

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(3, 1))

    def training_step(self, batch, index):
        return (self.weight * batch).sum()

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], 0.1)

    def on_train_epoch_start(self):
        found = lightning_state.beginning_of_epoch(self.trainer)
        self.found.append((self.trainer.fit_loop.state_dict(), found))


@pytest.fixture
def listening():
    module = Listening()
    L.Trainer(
        accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    ).fit(module)  # fmt: skip
    return module.found


def test_this_lightning_begins_an_epoch_with_the_counters_of_the_last(listening):
    raw, found = listening[1]
    version = f"lightning {L.__version__} keeps its loops' state otherwise: lightning_state.py"
    assert raw[BATCHES] == {"total": COUNTS, "current": COUNTS, "is_last_batch": True}, version
    assert found[BATCHES] == {
        "total": COUNTS, "current": dict.fromkeys(COUNTS, 0), "is_last_batch": False,
    }, version  # fmt: skip
    assert found | {BATCHES: raw[BATCHES]} == raw  # nothing else is touched
    assert raw["epoch_progress"]["current"]["completed"] == 1, version


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop(BATCHES),
        lambda state: state[BATCHES].pop("is_last_batch"),
        lambda state: state[BATCHES]["current"].update(done=0),
        lambda state: state[BATCHES]["current"].update(ready=None),
        lambda state: state[BATCHES].update(current=3),
    ],
    ids=["gone", "no end", "one more", "no number", "one number"],
)
def test_another_state_is_not_tampered_with_and_said_once(listening, change, capsys):
    state = listening[1][0]
    change(state)

    class Loop:
        def state_dict(self):
            return state

    class Trainer:
        fit_loop = Loop()

    lightning_state._say_unknown.cache_clear()
    assert lightning_state.beginning_of_epoch(Trainer()) == {}
    assert lightning_state.beginning_of_epoch(Trainer()) == {}
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"lightning {L.__version__}" in said


class KilledError(Exception):
    pass


class Deadly(Square):
    """Dies before its k-th batch; counts them."""

    def __init__(self, die_at=None):
        self.die_at, self.batches = die_at, 0

    def loss(self, model, batch):
        self.batches += 1
        if self.batches == self.die_at:
            raise KilledError
        return super().loss(model, batch)


@pytest.mark.parametrize(("known", "again"), [(True, 14), (False, 15)])
def test_without_it_a_killed_run_goes_on_from_its_last_whole_epoch(
    tmp_path, monkeypatch, known, again
):
    if not known:
        monkeypatch.setattr(lightning_state, "_is_known", lambda batches: False)
    sets = Targets(list(range(20))), Targets([1.0, 2.0])  # five batches an epoch, four epochs

    def run(name, die_at=None):
        objective = Deadly(die_at)
        found = engine.fit(Number(0.0), objective, *sets, SETTINGS, tmp_path / name, keep_every=0.0)
        return found, objective.batches

    whole, _ = run("a")
    with pytest.raises(KilledError):
        run("b", die_at=7)  # one of the second epoch's is done
    resumed, batches = run("b")
    assert batches == again
    assert torch.equal(whole[0].value, resumed[0].value)
    assert [row | {"seconds": 0} for row in whole[1]] == [
        row | {"seconds": 0} for row in resumed[1]
    ]
