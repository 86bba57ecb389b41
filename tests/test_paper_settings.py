"""`paper.yaml` with its defaults, as it runs, against numbers typed from the paper."""

import pytest
import yaml

from force2geo.config import resolve
from force2geo.errors import UserError
from force2geo.potentials import registry
from force2geo.settings import plain, read

# Table 8: layers, hidden dimension, batch size.
TABLE_8 = {
    "schnet": (4, 128, 128), "painn": (4, 128, 32), "faenet": (4, 128, 64), "nequip": (5, 64, 16),
    "sevennet": (5, 128, 16), "mace": (2, 128, 8), "pace": (2, 128, 8), "allegro": (2, 128, 8),
    "equiformer": (4, 128, 32),
}  # fmt: skip
TENSOR_PRODUCTS = ("nequip", "sevennet", "mace", "pace", "allegro")


@pytest.fixture
def paper(repository, monkeypatch):
    monkeypatch.chdir(repository)
    path = repository / "workflow/config/paper.yaml"
    return resolve(yaml.safe_load(path.read_text()), models=False)


def settings(paper, name):
    """All settings of a network, its own defaults with them."""
    model = paper["models"][name]
    name, values = registry.named({"name": model.get("backbone", name), **model})
    try:
        found = registry.find(name)
    except UserError as error:
        pytest.skip(str(error))
    return plain(read(found.Settings, values, name))


def test_the_benchmark_is_of_table_8_s_nine(paper):
    assert sorted(paper["benchmark"]["backbones"]) == sorted(TABLE_8)
    assert {
        name: (model["layers"], model["features"], paper["benchmark"]["batch_size"][name])
        for name, model in paper["models"].items()
        if name in TABLE_8
    } == TABLE_8
    assert {paper["models"][name]["cutoff"] for name in TABLE_8} == {4.5}


@pytest.mark.parametrize("name", TABLE_8)
def test_a_network_takes_table_8_s_sizes(paper, name):
    found = settings(paper, name)
    assert (found["layers"], found["features"], found["cutoff"]) == (*TABLE_8[name][:2], 4.5)


@pytest.mark.parametrize("name", TENSOR_PRODUCTS)
def test_tensor_products_are_of_degree_two_and_even(paper, name):
    found = settings(paper, name)
    assert (found["degree"], found["parity"]) == (2, "even")


def test_what_networks_have_keys_of_their_own_for(paper):
    assert settings(paper, "equiformer")["forces"] == "direct"
    assert settings(paper, "mace")["first_interaction"] == "residual"


def test_the_benchmark_s_training_is_appendix_c_s(paper):
    benchmark = paper["benchmark"]
    assert benchmark["epochs"] == 100
    assert (benchmark["optimizer"]["name"], benchmark["optimizer"]["learning_rate"]) == (
        "adam", 5e-4,
    )  # fmt: skip
    assert (benchmark["schedule"]["name"], benchmark["schedule"]["patience"]) == ("plateau", 2)
    loss = benchmark["loss"]
    assert (loss["energy"], loss["forces"], loss["energy_per_atom"]) == ("mae", "rmse", True)


def test_pretraining_and_fine_tuning_are_appendix_f_s(paper):
    pretrain = paper["pretrain"]
    assert (pretrain["backbone"], pretrain["batch_size"], pretrain["epochs"]) == ("painn", 64, 9)
    assert pretrain["optimizer"]["learning_rate"] == 1e-3
    assert pretrain["optimizer"]["betas"] == [0.9, 0.999]
    assert (pretrain["schedule"]["name"], pretrain["schedule"]["patience"]) == ("plateau", 2)
    assert paper["models"]["painn"]["basis_size"] == 128
    section = paper["property"]
    assert (section["batch_size"], section["noise"], section["geometry_weight"]) == (256, 0.1, 0.1)
    for part in ("from_scratch", "fine_tuning"):
        schedule = section[part]["schedule"]
        assert section[part]["optimizer"]["learning_rate"] == 5e-4
        assert (schedule["name"], schedule["step_size"], schedule["gamma"]) == ("step", 40, 0.5)
    assert section["sweeps"]["noise"] == [0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4]
    assert section["sweeps"]["geometry_weight"] == [0.01, 0.05, 0.1, 0.2, 0.3]
