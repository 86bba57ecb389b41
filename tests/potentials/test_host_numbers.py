"""Networks ask the device for no number at a step, once a batch's pairs are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_contract import KNOWN, small

from force2geo.potentials import pairs as pairing
from force2geo.potentials import registry
from force2geo.potentials.batch import collate
from force2geo.potentials.models import Potential, PropertyModel
from force2geo.potentials.pairs import find_pairs, occurrences
from force2geo.train.ahead import with_pairs
from force2geo.train.waits import waits

# Frames are eigenvectors, of which torch looks whether they were found.
KNOWN_TO_WAIT = {"faenet": {"_linalg_eigh in faenet.py:forward": 1}}
# Its package asks for sizes and takes what lies behind masks; nothing here can spare it that.
LEFT_ALONE = "torchmd_net"
# Those that line neighbours or atoms up want to know how many there are at most.
WANTING = {"comenet": "most", "dimenet_pp": "most", "spherenet": "most", "unimol_plus": "of"}


def molecules(seed=0, kind=torch.float32):
    rng = np.random.default_rng(seed)
    numbers = [rng.choice([1, 6, 8], size) for size in (5, 9, 7)]
    return collate(numbers, [1.5 * rng.normal(size=(len(z), 3)) for z in numbers], kind)


def step(model, batch):
    """Do what a training on forces does."""
    output = model(batch, training=True)
    loss = output["binding"].square().mean() + output["forces"].square().mean()
    loss.backward(inputs=[weight for weight in model.parameters() if weight.requires_grad])


@pytest.mark.parametrize("name", registry.names())
def test_a_step_with_known_pairs_waits_for_nothing(name, monkeypatch):
    settings, found = small(name)
    if found.needs_bonds:
        pytest.skip(f"{name} gives no forces")
    if name == LEFT_ALONE:
        pytest.skip(f"{name}: the package's own modules wait")
    monkeypatch.setattr(pairing, "sorts", lambda device: False)  # as on a GPU
    torch.manual_seed(0)
    model, batch = Potential(settings, KNOWN), molecules()
    known = with_pairs(batch, model)
    step(model, known)
    with waits() as asked:
        step(model, known)
    assert dict(asked) == KNOWN_TO_WAIT.get(name, {})
    bare = replace(known.pairs, largest=None)
    with waits() as asked:
        step(model, replace(known, pairs=bare))
    wanted = {key for key in asked if key.startswith("_local_scalar_dense")}
    assert [key.split(":")[1] for key in wanted] == ([WANTING[name]] if name in WANTING else [])


def test_pairs_that_a_batch_brings_are_found_again_where_atoms_have_moved():
    batch = molecules(kind=torch.float64)
    batch.pairs = pairs = find_pairs(batch, 3.0)
    assert find_pairs(batch, 3.0) is pairs and find_pairs(batch, 3.1) is not pairs
    alias = replace(batch, positions=batch.positions.detach().requires_grad_(True))
    assert find_pairs(alias, 3.0) is pairs
    far = replace(batch, positions=10 * batch.positions)
    assert len(find_pairs(far, 3.0)) < len(pairs)
    batch.positions *= 10  # in place
    assert len(find_pairs(batch, 3.0)) == len(find_pairs(far, 3.0))
    with torch.inference_mode():
        batch = molecules()
        batch.pairs = pairs = find_pairs(batch, 3.0)
        assert find_pairs(batch, 3.0) is pairs


def test_what_is_known_of_pairs_is_true_of_them():
    batch = molecules(kind=torch.float64)
    pairs = find_pairs(batch, 3.0)
    near = torch.cdist(batch.positions, batch.positions) < 3.0
    near &= batch.molecule[:, None] == batch.molecule
    assert pairs.most == int(near.sum(1).max()) - 1 and pairs.largest == 9
    assert find_pairs(collate([[8]], [[[0.0, 0, 0]]]), 3.0).most == 0
    index = torch.tensor([3, 0, 3, 3])
    assert occurrences(index, 5).tolist() == [1, 0, 0, 3, 0]


def test_pairs_are_brought_under_the_networks_cutoff_alone():
    batch = molecules()
    settings = {"name": "schnet", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 2.5}
    pairs = with_pairs(batch, PropertyModel(settings)).pairs
    assert pairs.cutoff == 2.5 and len(pairs) == len(find_pairs(batch, 2.5))
    assert "most" in vars(pairs)
    assert with_pairs(batch, torch.nn.Linear(1, 1)) is batch
