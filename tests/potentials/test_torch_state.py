"""What torch's engine tells of a backward pass, and a version of it that does not."""

import pytest
import torch

from force2geo.potentials.fast import torch_state
from force2geo.potentials.models import Potential

WATER = torch.tensor([8, 1, 1]), torch.tensor([[0, 0, 0.1], [0.8, 0, -0.5], [-0.7, 0.1, -0.5]])


class Product(torch.autograd.Function):
    """A product that notes which of its two slopes it is asked for."""

    @staticmethod
    def forward(ctx, one, other, noted):
        ctx.save_for_backward(one, other)
        ctx.noted = noted
        return one * other

    @staticmethod
    def backward(ctx, slope):
        ctx.noted.append(torch_state.wanted(ctx)[:2])
        one, other = ctx.saved_tensors
        return slope * other, slope * one, None


def asked_for():
    """Return what a product is asked for by a pass for its first factor, its second, and both."""
    weight, position = (torch.tensor(value, requires_grad=True) for value in (2.0, 3.0))
    noted = []
    for sought in ([weight], [position], [weight, position]):
        slopes = torch.autograd.grad(Product.apply(1.0 * weight, 1.0 * position, noted), sought)
        assert [float(slope) for slope in slopes] == [
            3.0 if one is weight else 2.0 for one in sought
        ]
    return noted


def test_this_torch_tells_which_slopes_a_pass_is_for():
    assert hasattr(torch._C, "_will_engine_execute_node"), f"gone from torch {torch.__version__}"
    assert torch_state.is_told(), f"torch {torch.__version__} means something else by it"
    assert torch_state.TOLD
    assert asked_for() == [[True, False], [False, True], [True, True]]


@pytest.mark.parametrize(
    "other", [None, lambda node: False, lambda node: True], ids=["gone", "never", "always"]
)
def test_a_torch_that_does_not_tell_has_all_slopes_computed(monkeypatch, other):
    if other is None:
        monkeypatch.delattr(torch._C, "_will_engine_execute_node")
    else:
        monkeypatch.setattr(torch._C, "_will_engine_execute_node", other)
    assert not torch_state.is_told()
    monkeypatch.setattr(torch_state, "TOLD", torch_state.is_told())
    assert asked_for() == [[True, True]] * 3


@pytest.mark.parametrize("name", ["painn", "schnet"])
def test_forces_and_their_slopes_are_the_same_without_it(monkeypatch, name):
    from force2geo.potentials.batch import collate

    torch.manual_seed(0)
    model = Potential({"name": name, "layers": 2, "features": 8, "basis_size": 8, "cutoff": 4.5})
    found = []
    for told in (True, False):
        monkeypatch.setattr(torch_state, "TOLD", told)
        output = model(collate([WATER[0]], [WATER[1]]), training=True)
        loss = output["forces"].square().sum() + output["binding"].sum()
        slopes = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        found.append([output["forces"].detach(), *(s for s in slopes if s is not None)])
    assert len(found[0]) == len(found[1]) > 5
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
