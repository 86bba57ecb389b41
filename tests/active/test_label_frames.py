"""Labels of chosen geometries: right, shared, and the same however often the work was killed."""

import json

import numpy as np
import pytest
from pyscf import dft, gto
from typed_numbers import MENDED, typed

from force2geo.dft import label_frames as module
from force2geo.dft.label_frames import Frame, label_frames
from force2geo.dft.points import Molecule
from force2geo.interchange.protocol import read_protocol


def pair(length, number, cid="000000783"):
    """Hydrogen, its atoms so many Å apart."""
    positions = np.array([[0.0, 0, 0], [0, 0, length]])
    molecule = Molecule(np.array([1, 1]), positions, cid=cid, smiles="[H][H]", inchi="InChI=1S/H2/")
    return Frame(molecule, number, f"unsure_{number}")


def arrays(folder):
    found = {}
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as data:
            found[path.stem] = {name: data[name].tolist() for name in data}
    return found


def test_a_label_is_dft_s_and_is_read_as_any_other(tmp_path):
    frames = [pair(0.9, 12), pair(0.7, 3)]
    about = {"models": {"a.pt": "0123"}}
    assert label_frames(frames, tmp_path, tmp_path / "points", 1, about) == ["", ""]
    stage = read_protocol(tmp_path / "000000783.npz", "000000783").stages["dft_points"]
    assert stage.origin == ["unsure_3", "unsure_12"]
    for place, length in enumerate((0.7, 0.9)):
        molecule = gto.M(atom=[("H", (0, 0, 0)), ("H", (0, 0, length))], basis="6-31g*", cart=True)
        field = dft.RKS(molecule, xc="b3lyp5").density_fit()
        field.grids.level, field.verbose = 2, 0
        assert stage.energies[place] == pytest.approx(field.kernel(), abs=1e-7)
        slope = field.nuc_grad_method().kernel()
        np.testing.assert_allclose(stage.gradients[place], slope, atol=1e-6)
    assert (stage.gradients[0] * stage.gradients[1])[0, 2] < 0  # a bond too short, one too long
    info = json.loads(arrays(tmp_path)["000000783"]["info"])
    assert info["chosen"] == about and info["level"]["method"] == "b3lyp5"


def test_killed_work_goes_on_to_the_same_labels(tmp_path, monkeypatch):
    frames = [pair(length, number) for number, length in enumerate((0.7, 0.5, 0.6, 0.8))]
    frames.append(pair(0.9, 0, "000000784"))
    monkeypatch.setattr(module, "_point", typed)
    out, store = tmp_path / "out", tmp_path / "points"
    out.mkdir()
    failed = label_frames(frames, out, store, 1, {})
    assert "the process died (exit code 9)" in failed[1] and failed[2] == "LabelError: no"
    assert failed[0] == failed[3] == failed[4] == ""
    rejects = "000000783,unsure_2: LabelError: no\n"
    assert (out / "rejects.csv").read_text() == rejects
    made = {path: path.stat().st_mtime_ns for path in store.iterdir()}
    assert len(made) == 4
    monkeypatch.setenv(MENDED, "1")
    assert label_frames(frames, out, store, 1, {}) == ["", "", "LabelError: no", "", ""]
    assert {path: path.stat().st_mtime_ns for path in made} == made and len(
        list(store.iterdir())
    ) == 5
    assert (out / "rejects.csv").read_text() == rejects
    at_once = tmp_path / "at once"
    at_once.mkdir()
    label_frames(frames, at_once, tmp_path / "other", 2, {})
    assert arrays(out) == arrays(at_once)
    assert arrays(out)["000000783"]["extra_energy"] == [0.7, 0.5, 0.8]
    assert arrays(out)["000000784"]["extra_origin"] == ["unsure_0"]


def test_choices_that_share_a_geometry_share_its_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_point", typed)
    store = tmp_path / "points"
    for name, lengths in (("one", (0.7, 0.8)), ("other", (0.8, 0.9))):
        (tmp_path / name).mkdir()
        label_frames([pair(x, k) for k, x in enumerate(lengths)], tmp_path / name, store, 1, {})
    assert len(list(store.iterdir())) == 3
    assert arrays(tmp_path / "other")["000000783"]["extra_energy"] == [0.8, 0.9]
    charged = pair(0.8, 0)
    charged.molecule.charge, charged.molecule.multiplicity = 1, 2
    assert charged.point(store) not in list(store.iterdir())  # another state, other numbers
