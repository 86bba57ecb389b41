"""Filter layers that are more than a weight and a bias: adapters, parametrisations, hooks."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from force2geo.potentials.batch import collate
from force2geo.potentials.fast.radial import Excited
from force2geo.potentials.models import Potential


class LowRank(nn.Module):
    """As adapters do it: the base layer's weight in sight, the rest in `forward` alone."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        self.down = nn.Parameter(0.3 * torch.randn(2, base.in_features))
        self.up = nn.Parameter(0.3 * torch.randn(base.out_features, 2))

    @property
    def weight(self):
        return self.base.weight

    @property
    def bias(self):
        return self.base.bias

    def forward(self, x):
        return self.base(x) + x @ self.down.T @ self.up.T


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def low_rank(layer):
    wrapped = LowRank(layer).to(layer.weight.dtype)
    merged = nn.Linear(layer.in_features, layer.out_features).to(layer.weight.dtype)
    merged.weight.data = layer.weight.data + wrapped.up.data @ wrapped.down.data
    merged.bias.data = layer.bias.data
    return wrapped, merged


def twice(layer):
    merged = nn.Linear(layer.in_features, layer.out_features).to(layer.weight.dtype)
    merged.weight.data, merged.bias.data = 2 * layer.weight.data, 2 * layer.bias.data
    return merged


def subclass(layer):
    wrapped = Doubled(layer.in_features, layer.out_features).to(layer.weight.dtype)
    wrapped.load_state_dict(layer.state_dict())
    return wrapped, twice(layer)


def hooked(layer):
    merged = twice(layer)
    layer.register_forward_hook(lambda _, given, output: 2 * output)
    return layer, merged


def hooked_before(layer):
    merged = twice(layer)
    merged.bias.data = layer.bias.data
    layer.register_forward_pre_hook(lambda _, given: (2 * given[0],))
    return layer, merged


def patched(layer):
    merged, plain = twice(layer), layer.forward
    layer.forward = lambda x: 2 * plain(x)
    return layer, merged


def parametrised(layer):
    wrapped = weight_norm(layer)
    wrapped.parametrizations.weight.original0.data *= 2
    merged = nn.Linear(layer.in_features, layer.out_features).to(layer.bias.dtype)
    merged.weight.data, merged.bias.data = wrapped.weight.data, wrapped.bias.data
    return wrapped, merged


def without_bias(layer):
    wrapped = nn.Linear(layer.in_features, layer.out_features, bias=False).to(layer.weight.dtype)
    wrapped.weight.data = layer.weight.data
    merged = nn.Linear(layer.in_features, layer.out_features).to(layer.weight.dtype)
    merged.weight.data, merged.bias.data = layer.weight.data, torch.zeros_like(layer.bias.data)
    return wrapped, merged


def holder(network):
    backbone = network.backbone
    if hasattr(backbone, "messages"):
        return backbone.messages[1], "filters"
    return backbone.interactions[1].filters, "0"


@pytest.mark.parametrize(
    "wrap",
    [low_rank, subclass, hooked, hooked_before, patched, parametrised, without_bias],
    ids=lambda wrap: wrap.__name__,
)
@pytest.mark.parametrize(
    ("name", "variant"), [("painn", "smooth"), ("painn", "published"), ("schnet", "smooth")]
)
def test_a_wrapped_filter_layer_counts_as_what_it_computes(name, variant, wrap):
    torch.manual_seed(0)
    settings = {"layers": 2, "features": 6, "basis_size": 40, "cutoff": 4.5}
    network = Potential({"name": name, "variant": variant, **settings}).double()
    for weight in network.parameters():  # the published biases start at zero
        weight.data += 0.1 * torch.randn_like(weight)
    rng = np.random.default_rng(0)
    batch = collate(
        [rng.choice([1, 6, 8], n) for n in (6, 3)],
        [rng.normal(scale=1.4, size=(n, 3)) for n in (6, 3)],
        torch.float64,
    )
    plain = network(batch)
    module, attribute = holder(network)
    wrapped, merged = wrap(getattr(module, attribute))
    setattr(module, attribute, wrapped)
    found = network(batch)
    setattr(module, attribute, merged)
    expected = network(batch)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert (found["binding"] - plain["binding"]).abs().max() > 1e-4


def test_an_adapter_learns_and_a_plain_layer_keeps_the_fast_path(monkeypatch):
    torch.manual_seed(0)
    settings = {"layers": 1, "features": 6, "basis_size": 12, "cutoff": 4.5}
    network = Potential({"name": "painn", **settings})
    batch = collate([np.array([8, 1, 1])], [np.eye(3)])
    taken, product = [], Excited.product

    def counted(*given):
        taken.append(1)
        return product(*given)

    monkeypatch.setattr(Excited, "product", counted)
    network(batch)
    assert taken == [1]
    message = network.backbone.messages[0]
    message.filters = low_rank(message.filters)[0]
    output = network(batch, training=True)
    (output["forces"].square().sum() + output["binding"].sum()).backward()
    assert taken == [1]
    for weight in (message.filters.up, message.filters.down, message.filters.base.weight):
        assert weight.grad.abs().max() > 0


def test_hooks_on_all_of_schnet_s_filters_are_called():
    torch.manual_seed(0)
    network = Potential(
        {"name": "schnet", "layers": 1, "features": 6, "basis_size": 12, "cutoff": 4.5}
    )
    batch = collate([np.array([8, 1, 1])], [np.eye(3)])
    plain = network(batch)["binding"]
    filters = network.backbone.interactions[0].filters
    hook = filters.register_forward_hook(lambda _, given, output: 2 * output)
    found = network(batch)["binding"]
    hook.remove()
    filters[2].weight.data *= 2
    filters[2].bias.data *= 2
    torch.testing.assert_close(found, network(batch)["binding"])
    assert abs(float(found - plain)) > 1e-5
