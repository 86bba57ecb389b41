"""Table 8: sizes as the configuration has them, parameters as the training counted them."""

import json

import yaml

from force2geo.config import resolve
from force2geo.plan import trainings
from force2geo.tables import table8


def test_sizes_are_the_configuration_s_and_parameters_the_training_s(
    repository, tmp_path, monkeypatch
):
    monkeypatch.setattr(trainings, "missing", lambda name: ["mace"] if name == "mace" else [])
    config = yaml.safe_load((repository / "workflow/config/paper.yaml").read_text())
    config["models"]["own"] = {"backbone": "schnet", "layers": 6, "features": 32, "cutoff": 4.0}
    config["benchmark"] |= {"backbones": ["painn", "mace", "own"], "seeds": [7, 8]}
    config["benchmark"]["batch_size"] = {"painn": 12, "mace": 8, "own": 3}
    asked = table8.request(resolve(config, models=False))
    assert set(asked["files"].values()) == {
        f"train/benchmark.{name}/metrics.json"
        for name in ("own", "own.seed8", "painn", "painn.seed8")
    }
    for name, number in (("painn", 942_721), ("painn.seed8", 1), ("own", 17), ("own.seed8", 2)):
        path = tmp_path / f"train/benchmark.{name}/metrics.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"parameters": number}))
    table = table8.build(json.loads(json.dumps(asked)), tmp_path)
    values = {row: [cell.value for cell in cells.values()] for row, cells in table.rows.items()}
    assert values["PaiNN"] == [4, 128, 12, 942_721] and values["own"] == [6, 32, 3, 17]
    assert values["MACE"] == values["NequIP"] == [None] * 4
    assert table.rows["MACE"]["layers"].reason == "mace not installed: make envs"
    assert table.rows["NequIP"]["layers"].reason == "not part of this run's config"
    # Table 8 as published: PaiNN's batches are of 32.
    assert table.published["PaiNN"] == {"layers": 4, "features": 128, "batch_size": 32}
    assert table.published["NequIP"]["features"] == 64 and len(table.published) == 9
