"""The README's table is a whole file: dropped among the others it is found, planned and made."""

import importlib
import json
import re
import sys

import pandas as pd
import pytest
import yaml

from force2geo import tables
from force2geo.cli import main
from force2geo.config import resolve, stage_settings
from force2geo.plan.shown import names


@pytest.fixture
def hours(repository, tmp_path, monkeypatch):
    """The README's file in a folder where tables are looked for."""
    code = re.findall(r"^```python\n(.*?)^```", (repository / "README.md").read_text(), re.M | re.S)
    (code,) = (one for one in code if "def build(" in one)
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/hours.py").write_text(code)
    monkeypatch.setattr(tables, "__path__", [*tables.__path__, str(tmp_path / "tables")])
    importlib.invalidate_caches()
    yield tmp_path
    sys.modules.pop("force2geo.tables.hours", None)


def test_the_readme_s_table_is_made_of_a_run(hours, repository, monkeypatch):
    monkeypatch.chdir(repository)
    assert "hours" in names("table") and "table2" in names("table")
    config = yaml.safe_load((repository / "config.yaml").read_text())
    config["tables"].append("hours")
    config["benchmark"] |= {"backbones": ["painn", "schnet"], "seeds": [7, 8]}
    config = resolve(config, models=False)
    (hours / "settings.json").write_text(json.dumps(stage_settings(config, "table/hours")))
    # 2 × 1800 s and 4 × 1800 s, and half an hour twice.
    for name, epochs in (("painn", 2), ("painn.seed8", 4), ("schnet", 1), ("schnet.seed8", 1)):
        path = hours / f"train/benchmark.{name}/metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"history": epochs * [{"seconds": 1800.0}]}))
    command = ["table", "hours", "--settings", str(hours / "settings.json")]
    assert main([*command, "--run", str(hours), "--out", str(hours / "out")]) == 0
    data = pd.read_csv(hours / "out/hours.csv").set_index("Model")
    assert data["Hours"].to_dict() == {"PaiNN": 1.5, "SchNet": 0.5}
    assert data["Epochs"].to_dict() == {"PaiNN": 3.0, "SchNet": 1.0}
    assert data["Hours, standard deviation"]["PaiNN"] == pytest.approx(0.71)  # √½
    text = (hours / "out/hours.md").read_text()
    assert text.startswith("## How long the backbones trained") and "| PaiNN | 3.0 ± 1.4 |" in text
    traced = json.loads((hours / "out/hours.json").read_text())["cells"]
    assert [cell["value"] for cell in traced if cell["column"] == "hours"] == [1.0, 2.0, 0.5, 0.5]
