"""Checkpoints."""

import pickle

import numpy as np
import pytest
import torch
from ase import Atoms

import force2geo
from force2geo.errors import UserError
from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential, PropertyModel

BACKBONE = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}


@pytest.mark.parametrize("kind", [Potential, PropertyModel])
def test_a_saved_model_predicts_the_same(tmp_path, ethanol, kind):
    torch.manual_seed(0)
    network = kind(BACKBONE)
    save(network, tmp_path / "m.pt", {"stage": "test"})
    model = force2geo.load(tmp_path / "m.pt")
    assert model.provenance == {"stage": "test"}
    molecules = [Atoms(*ethanol), Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])]
    results = model.predict(molecules)
    again = model.predict(molecules, batch_atoms=1)
    for one, two in zip(results, again, strict=True):
        for key in one:
            np.testing.assert_allclose(one[key], two[key], atol=1e-5)
    expected = {"energy", "forces"} if kind is Potential else {"property", "displacement"}
    assert set(results[0]) == expected
    shape = results[1]["forces" if kind is Potential else "displacement"].shape
    assert shape == (3, 3)


def test_what_is_no_checkpoint_is_refused_without_running_it(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    (tmp_path / "trap.pt").write_bytes(pickle.dumps(Trap()))
    torch.save({"weights": 1}, tmp_path / "other.pt")
    for name in ("trap.pt", "other.pt", "absent.pt"):
        with pytest.raises(UserError, match=name):
            force2geo.load(tmp_path / name)
    assert not (tmp_path / "ran").exists()
