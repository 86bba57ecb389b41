"""MLflow: what a run leaves, and that no tracker can end, slow or lose a training."""

import json
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient
from train_toys import SETTINGS, Number, Square, Targets

from force2geo.errors import UserError
from force2geo.train import background, engine
from force2geo.train.background import Background
from force2geo.train.tracking import Client, MLflowTracking

SCRIPT = """
import sys
from force2geo.train.tracking import MLflowTracking
tracking = MLflowTracking(sys.argv[1], "both", sys.argv[2], {"a": {"b": 1}})
tracking.on_train_start(None, None)
tracking.finish([])
"""


def fit(folder, tracking, truth=1.0):
    sets = Targets([truth] * 4), Targets([0.5])
    return engine.fit(Number(0.0), Square(), *sets, SETTINGS, folder, [tracking])


@pytest.fixture
def impatient(monkeypatch):
    """Trackers waited for and tried again within a fraction of a second."""
    monkeypatch.setattr(MLflowTracking, "patience", 0.3)
    monkeypatch.setattr(background, "_FIRST_PAUSE", 0.05)


def test_a_run_says_where_it_ran_and_how_it_ended(tmp_path):
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    # Two that begin at once share the database and the experiment.
    command = [sys.executable, "-c", SCRIPT, uri]
    started = [subprocess.Popen([*command, name]) for name in ("one", "two")]
    assert [process.wait(120) for process in started] == [0, 0]
    client = MlflowClient(uri)
    (both,) = (e for e in client.search_experiments() if e.name == "both")
    assert len(client.search_runs([both.experiment_id])) == 2

    tracking, begun = MLflowTracking(uri, "x", "good", SETTINGS), time.time()
    _, history = fit(tmp_path / "a", tracking)
    (tmp_path / "metrics.json").write_text("{}")
    tracking.finish([tmp_path / "metrics.json"])
    run = client.get_run(tracking.client.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer.name"] == "adam"
    assert {"force2geo.code", "force2geo.version.torch", "force2geo.host"} <= set(run.data.tags)
    rows = client.get_metric_history(tracking.client.run_id, "val_property_mae")
    expected = [(int(row["epoch"]), row["val_property_mae"]) for row in history]
    assert [(row.step, row.value) for row in rows] == expected
    # MLflow counts milliseconds.
    assert all(begun - 1 < row.timestamp / 1000 < time.time() + 1 for row in rows)
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (artifacts / "metrics.json").exists()

    failing = MLflowTracking(uri, "x", "bad", SETTINGS)
    with pytest.raises(UserError):
        fit(tmp_path / "b", failing, float("nan"))
    bad = failing.client.run_id
    assert client.get_run(bad).info.status == "FAILED"

    # A resumed training goes on in its run, in a new one where the database was changed.
    again = MLflowTracking(uri, "x", "bad", SETTINGS)
    again.load_state_dict(failing.state_dict())
    again.on_train_start(None, None)
    assert again.client.run_id == bad and client.get_run(bad).info.status == "RUNNING"
    strange = MLflowTracking(uri, "x", "bad", SETTINGS)
    strange.load_state_dict({"run_id": "0" * 32})
    strange.on_train_start(None, None)
    assert strange.client.run_id not in {"0" * 32, bad, None}
    assert not (again.warned or strange.warned)


def test_a_locked_database_is_one_warning(tmp_path, capfd, impatient):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        began = time.monotonic()
        tracking = MLflowTracking(uri, "x", "good", SETTINGS)
        _, history = fit(tmp_path / "a", tracking)
        tracking.finish([])
        lock.execute("ROLLBACK")
    assert len(history) == 4 and time.monotonic() - began < 20
    assert capfd.readouterr().err.count("warning: tracking") == 1


@pytest.mark.parametrize("listening", [True, False], ids=["silent", "absent"])
def test_a_server_that_does_not_answer_is_one_warning(tmp_path, capfd, impatient, listening):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:
            server.listen()
        uri = f"http://127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        tracking = MLflowTracking(uri, "x", "good", SETTINGS)
        _, history = fit(tmp_path / "a", tracking)
        tracking.finish([])
        assert len(history) == 4 and time.monotonic() - began < 20
    said = capfd.readouterr().err
    assert said.count("warning: tracking") == 1 and "metrics.csv" in said


class Spoken(Client):
    """What would be said to MLflow; `failures` of the first calls raise."""

    def __init__(self, failures=()):
        super().__init__("a tracker", "x", "name", {})
        self.said, self.failures = [], list(failures)
        self.answers = threading.Event()
        self.answers.set()

    def say(self, *what):
        self.answers.wait(60)
        if self.failures and self.failures.pop(0):
            raise OSError(28, "No space left on device")
        self.said.append(what)

    def open(self):
        self.say("open")
        self.run_id, self.opened = "1", True

    def row(self, values, milliseconds):
        self.say("row", values["epoch"])

    def attach(self, path):
        self.say("attach", path)

    def end(self, status):
        self.say("end", status)


def tracker(client):
    tracking = MLflowTracking("a tracker", "x", "name", {})
    tracking.client = client
    return tracking


WHOLE = [("open",), *(("row", epoch) for epoch in range(4)), ("attach", "m"), ("end", "FINISHED")]


def test_what_a_tracker_could_not_take_is_sent_later_in_order(tmp_path, capfd, impatient):
    client = Spoken([True, True, False, True])
    tracking = tracker(client)
    fit(tmp_path / "a", tracking)
    tracking.finish(["m"])
    assert client.said == WHOLE
    assert capfd.readouterr().err.count("warning: tracking") == 1


def test_a_file_that_cannot_be_copied_is_left_out_and_the_run_ends(tmp_path, capfd, impatient):
    client = Spoken([False] * 5 + [True])
    tracking = tracker(client)
    fit(tmp_path / "a", tracking)
    tracking.finish(["m"])
    assert client.said == [*WHOLE[:5], ("end", "FINISHED")]
    assert "No space left on device" in capfd.readouterr().err


def test_a_tracker_that_hangs_is_waited_for_once(tmp_path, capfd, impatient, monkeypatch):
    client, waits, wait = Spoken(), [], Background.wait
    client.answers.clear()
    tracking = tracker(client)
    monkeypatch.setattr(Background, "wait", lambda *args: waits.append(args) or wait(*args))
    fit(tmp_path / "a", tracking)
    assert len(waits) == 1 and client.said == []
    assert "no answer in 0.3 s" in capfd.readouterr().err
    client.answers.set()
    tracking.patience = 20.0
    tracking.finish(["m"])
    assert client.said == WHOLE


def test_a_training_that_fails_is_marked_so(tmp_path, impatient):
    client = Spoken()
    with pytest.raises(UserError):
        fit(tmp_path / "a", tracker(client), float("nan"))
    assert client.said == [("open",), ("end", "FAILED")]


def test_background_does_things_in_order_and_stops_trying_what_is_not_worth_it():
    done, told = [], []
    work = Background(told.append)

    def wrong():
        raise ValueError("no")

    for number in range(3):
        work.add(partial(done.append, number))
    assert work.wait(5) and done == [0, 1, 2] and work.answering
    work.add(wrong, again=False)
    work.add(partial(done.append, 3))
    assert work.wait(5) and done == [0, 1, 2, 3]
    assert [str(error) for error in told] == ["no"]
    work.add(wrong)
    assert not work.wait(5) and not work.answering
    assert not work.wait(5) and len(told) == 3  # tried again because it was asked for


def test_history_is_plain_numbers(tmp_path):
    _, history = fit(tmp_path / "a", tracker(Spoken()))
    assert json.loads(json.dumps(history)) == history
