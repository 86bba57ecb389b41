"""Checkpoints."""

import pickle

import numpy as np
import pytest
import torch
from ase import Atoms

import force2geo
from force2geo.errors import UserError
from force2geo.potentials.batch import collate
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


WATER = np.array([8, 1, 1]), np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])
METHANE = (
    np.array([6, 1, 1, 1, 1]),
    0.63 * np.array([[0, 0, 0], [1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]]),
)


@pytest.mark.parametrize("kind", ["potential", "property"])
def test_version_1_gives_what_it_gave(repository, tmp_path, kind):
    """Checkpoints and outputs that the code of version 1 wrote."""
    folder = repository / "tests/data/checkpoints"
    first = force2geo.load(folder / f"{kind}.version1.pt")
    save(first.network, tmp_path / "again.pt", first.provenance)
    batch = collate(*zip(WATER, METHANE, strict=True))
    with np.load(folder / "version1.npz") as known:
        expected = {key.split("/")[1]: known[key] for key in known if key.startswith(kind)}
    for model in (first, force2geo.load(tmp_path / "again.pt")):
        found = {key: value.detach().numpy() for key, value in model.network(batch).items()}
        assert found.keys() == expected.keys() and model.network.kind == kind
        for key, values in expected.items():
            np.testing.assert_allclose(found[key], values, rtol=1e-6, atol=1e-7)
        assert model.network.config.keys() == first.network.config.keys()
        assert model.known_elements() == {1, 6, 8}
        assert ("predicts: gap (eV)" in repr(model)) == (kind == "property")
    # A training that was not finished goes on with its old names, too.
    state = torch.load(folder / f"{kind}.version1.pt", weights_only=True)["state_dict"]
    outer = torch.nn.ModuleDict({"model": first.network})
    outer.load_state_dict({f"model.{key}": value for key, value in state.items()})


def test_a_checkpoint_says_its_heads_statistics_and_precision(repository, tmp_path):
    folder = repository / "tests/data/checkpoints"
    contents = []
    for kind in ("potential", "property"):
        network = force2geo.load(folder / f"{kind}.version1.pt").network.double()
        save(network, tmp_path / "m.pt", {})
        contents.append(torch.load(tmp_path / "m.pt", weights_only=True))
        assert force2geo.load(tmp_path / "m.pt").dtype == torch.float64
    potential, prop = contents
    assert {name: head["kind"] for name, head in potential["heads"].items()} == {
        "energy": "energy", "forces": "forces"
    }  # fmt: skip
    assert potential["version"] == 2 and potential["dtype"] == "float64"
    found = potential["statistics"]
    assert found["network"] == {"elements": [1, 6, 8], "mean_neighbours": 3.2, "force_rms": 0.7}
    assert found["references"] == pytest.approx({1: -13.5, 6: -1030.1, 8: -2043.2}, rel=1e-6)
    assert prop["statistics"]["targets"] == {"property": {"mean": 7.0, "deviation": 1.5}}
    assert prop["units"]["property"] == "eV" and prop["statistics"]["network"] is None
    assert prop["heads"]["property"]["target"] == "gap"
