"""Devices: which is taken, and one line where there is none."""

import pytest
import torch

from force2geo.errors import UserError
from force2geo.potentials.devices import choose_device


@pytest.mark.parametrize("name", ["cpu", "cpu:0"])
def test_the_processor_goes_by_one_name(name):
    assert choose_device(name) == "cpu"


@pytest.mark.parametrize("gpu", [False, True])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, gpu):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert choose_device(None) == ("cuda" if gpu else "cpu")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tpu", "device 'tpu': unknown, give cpu or cuda"),
        ("cuda:x", "device 'cuda:x': unknown, give cpu"),
        ("", "device '': unknown, give cpu"),
        ("meta", "device 'meta': holds no numbers, give cpu"),
        ("xpu", "device 'xpu': not usable here"),
    ],
)
def test_what_is_no_device_is_one_line(name, said):
    with pytest.raises(UserError, match=said) as told:
        choose_device(name)
    assert "\n" not in str(told.value)


def test_gpus_are_counted(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="device 'cuda:1': torch finds no GPU here, give cpu"):
        choose_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch, "zeros", lambda *_, device: torch.full((1,), 0.0))
    assert choose_device("cuda:1") == "cuda:1" and choose_device("cuda") == "cuda"
    with pytest.raises(UserError, match="device 'cuda:2': there are 2 GPUs"):
        choose_device("cuda:2")
