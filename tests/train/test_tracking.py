"""MLflow: what a run leaves, also when it fails or others write at once."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_engine import BACKBONE, SETTINGS

from force2geo.errors import UserError
from force2geo.potentials.models import Potential
from force2geo.train import engine
from force2geo.train.objectives import EnergyForces

SCRIPT = """
import sys
from force2geo.train.tracking import MLflowTracking
tracking = MLflowTracking(sys.argv[1], "both", sys.argv[2], {"a": {"b": 1}})
tracking.on_train_start(None, None)
tracking.finish([])
"""


def test_a_run_says_where_it_ran_and_how_it_ended(packed, tmp_path):
    from mlflow.tracking import MlflowClient

    from force2geo.train.tracking import MLflowTracking

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    # Two that begin at once share the database and the experiment.
    command = [sys.executable, "-c", SCRIPT, uri]
    started = [subprocess.Popen([*command, name]) for name in ("one", "two")]
    assert [process.wait(120) for process in started] == [0, 0]
    client = MlflowClient(uri)
    (both,) = (e for e in client.search_experiments() if e.name == "both")
    assert len(client.search_runs([both.experiment_id])) == 2

    objective = EnergyForces("mae", "mse", 1.0, 1.0, True)
    sets = packed.where("train"), packed.where("val")
    tracking = MLflowTracking(uri, "x", "good", SETTINGS)
    engine.fit(Potential(BACKBONE), objective, *sets, SETTINGS, tmp_path / "a", [tracking])
    (tmp_path / "metrics.json").write_text("{}")
    tracking.finish([tmp_path / "metrics.json"])
    run = client.get_run(tracking.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["optimizer.name"] == "adam"
    assert {"force2geo.code", "force2geo.version.torch", "force2geo.host"} <= set(run.data.tags)
    rows = client.get_metric_history(tracking.run_id, "val_force_rmse")
    assert [row.step for row in rows] == [0, 1, 2, 3] and np.isfinite(rows[-1].value)
    artifacts = Path(run.info.artifact_uri.removeprefix("file://"))
    assert (artifacts / "metrics.json").exists()

    failing = MLflowTracking(uri, "x", "bad", SETTINGS)
    packed.forces[packed.ptr[packed.where("train").rows[3]]] = torch.nan
    with pytest.raises(UserError):
        engine.fit(Potential(BACKBONE), objective, *sets, SETTINGS, tmp_path / "b", [failing])
    assert client.get_run(failing.run_id).info.status == "FAILED"
