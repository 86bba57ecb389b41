"""`force2geo backbones`, with a network of another package in the list, which then trains."""

import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.potentials import registry
from force2geo.potentials.batch import collate
from force2geo.potentials.models import Potential
from force2geo.settings import plain

HERE = Path(__file__).parent


@pytest.fixture
def springs(repository, tmp_path, monkeypatch):
    """A package that registers the README's network, one that lacks something, and no network."""
    code = re.findall(r"^```python\n(.*?)^```", (repository / "README.md").read_text(), re.M | re.S)
    (code,) = (one for one in code if "BACKBONE = Springs" in one)
    (tmp_path / "springs.py").write_text(code)
    (tmp_path / "lacking.py").write_text("import no_such_package_at_all\n")
    info = tmp_path / "springs-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: springs\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(
        "[force2geo.backbones]\nsprings = springs:Springs\nlacking = lacking:Net\n"
        "number = math:pi\npainn = springs:Springs\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("springs", None)


def listed(capsys, *words):
    assert main(["backbones", *words, "--json"]) == 0
    return {one["name"]: one for one in json.loads(capsys.readouterr().out)}


def test_all_that_is_registered_is_listed(capsys):
    found = listed(capsys)
    assert sorted(found) == registry.names() and {"painn", "schnet"} <= set(found)
    painn = found["painn"]
    cls = registry.find("painn")
    assert painn["title"] == "PaiNN" and painn["licence"] == "MIT" and painn["code"] == "force2geo"
    assert painn["source"] == cls.about.source and painn["extra"] == "" and painn["installed"]
    values, batch_size = cls.about.table8
    assert painn["settings"] == values | {"charge": False, "forces": False}
    assert painn["batch_size"] == batch_size
    network = Potential({"name": "painn", **painn["settings"]}).backbone
    assert painn["parameters"] == sum(value.numel() for value in network.parameters())
    assert painn["size"] == "table 8"


def test_without_table_8_it_is_the_defaults_if_there_are(capsys):
    found = listed(capsys, "unimol_plus", "painn_published")
    assert list(found) == ["unimol_plus", "painn_published"]
    settings = registry.find("unimol_plus").Settings()
    assert found["unimol_plus"]["settings"] == plain(settings)
    assert found["unimol_plus"]["size"] == "defaults"
    assert found["unimol_plus"]["parameters"] > 50_000_000  # the paper says 52.4 million
    assert found["painn_published"]["parameters"] is found["painn_published"]["size"] is None


def test_another_package_s_network_is_listed_and_trains(springs, capsys, ethanol):
    found = listed(capsys, "springs")["springs"]
    assert found["code"] == "springs 0.1" and found["licence"] == "MIT"
    assert found["parameters"] == 101 * 32 and found["installed"] and found["size"] == "defaults"
    torch.manual_seed(0)
    model = Potential({"name": "springs", "features": 6})
    batch = collate(*zip(ethanol, strict=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(2):
        optimizer.zero_grad()
        losses.append(model(batch, training=True)["forces"].square().mean())
        losses[-1].backward()
        optimizer.step()
    assert float(losses[1].detach()) < float(losses[0].detach())
    with pytest.raises(UserError, match="backbone springs: it takes no 'size'"):
        Potential({"name": "springs", "size": 6})


def test_the_readme_s_network_keeps_the_contract(springs, ethanol, tmp_path):
    """Every test of the suite, on a network that is not in this project."""
    spec = importlib.util.spec_from_file_location("contract", HERE / "test_contract.py")
    contract = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(contract)
    settings = {"name": "springs", "features": 8, "cutoff": 4.5}
    water = (np.array([8, 1, 1]), np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]]))
    given = {"backbone": (settings, registry.find("springs")), "ethanol": ethanol,
             "water": water, "tmp_path": tmp_path}  # fmt: skip
    suite = [test for name, test in vars(contract).items() if name.startswith("test_")]
    assert len(suite) >= 12
    for test in suite:
        test(**{name: given[name] for name in inspect.signature(test).parameters})


def test_of_two_of_one_name_ours_counts(springs, capsys):
    assert listed(capsys, "painn")["painn"]["title"] == "PaiNN"


def test_what_cannot_be_loaded_says_why_and_hides_nothing_else(springs, capsys):
    found = listed(capsys, "lacking", "number", "springs")
    assert "no_such_package_at_all" in found["lacking"]["missing"]
    assert found["lacking"]["title"] is None and not found["lacking"]["installed"]
    assert "no subclass of Backbone" in found["number"]["missing"]
    assert found["springs"]["installed"] and found["springs"]["missing"] is None


def test_ours_without_its_package_still_tells_where_it_is_from(monkeypatch, capsys):
    """Its file is read, not imported; the extra is what to install."""
    about = registry.find("schnet").about
    monkeypatch.setitem(sys.modules, "force2geo.potentials.backbones.schnet", None)
    found = listed(capsys, "schnet")["schnet"]
    assert (found["title"], found["source"]) == (about.title, about.source)
    assert not found["installed"] and found["parameters"] is None


def test_the_table_is_aligned(springs, capsys):
    assert main(["backbones", "painn", "lacking", "springs"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    titles = ("Name", "Title", "Size", "Licence", "Code", "Extra", "Installed", "Source")
    for row in rows:
        for title in titles:
            assert row[head.index(title) - 1] == " " or title == "Name"
            assert row[head.index(title)] != " "
    end = head.index("Parameters") + len("Parameters")
    assert [row[:end].split()[-1] for row in rows] == ["936,064", "-", "3,232"]
    assert rows[1].startswith("lacking") and "no: No module named" in rows[1]


def test_an_unknown_name_is_told(capsys):
    assert main(["backbones", "pain"]) == 2
    assert "unknown backbone 'pain', there are " in capsys.readouterr().err
