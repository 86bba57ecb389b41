"""Labels of DFT in a round's training set: units, level and what is refused."""

import json

import numpy as np
import pytest
from active_pools import write_pool

from force2geo.active.added import LEVEL
from force2geo.active.choice import Chosen, write_choice
from force2geo.active.snapshots import write_round
from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.interchange.export import logs_of
from force2geo.interchange.protocol import read_protocol
from force2geo.logs.read import parse_log
from force2geo.train.snapshots import Snapshots


@pytest.fixture
def labels(tmp_path):
    """A folder with two labels of one molecule, as `force2geo label` writes them."""
    folder = tmp_path / "labels"
    folder.mkdir()
    np.savez(
        folder / "000000962.npz", cid="000000962", z=np.array([8, 1, 1], np.uint8), smiles="O",
        inchi="", charge=0, multiplicity=1, extra_pos=np.arange(18.0).reshape(2, 3, 3),
        extra_energy=[-1.0, -2.0], extra_grad=np.arange(18.0).reshape(2, 3, 3) / 100,
        extra_origin=["unsure_3", "unsure_5"], info=json.dumps({}),
    )  # fmt: skip
    (folder / "labels.csv").touch()
    return folder


def test_labels_are_trained_on_beside_what_was_chosen(pool, labels, tmp_path):
    write_pool(pool, [str(LEVEL)])
    choice, target = tmp_path / "a.csv", tmp_path / "round.h5"
    write_choice(choice, [Chosen("000000016", 4)])
    assert main(["round", "--data", str(pool), "--choice", str(choice), "--labels",
                 str(labels / "labels.csv"), "--out", str(target)]) == 0  # fmt: skip
    found = Snapshots.read(target)
    train = found.where("train", "dft_points")
    assert train.ids().astype(str).tolist() == ["000000016", "000000962", "000000962"]
    batch = train.batch(np.array([1, 2]))
    # A Hartree is 27.2114 eV, a Hartree/bohr 51.4221 eV/Å; a force is the slope downhill.
    np.testing.assert_allclose(batch.energy, [-27.211386, -54.422772], atol=1e-5)
    np.testing.assert_allclose(batch.forces.flatten()[:3], [0, -0.5142207, -1.0284413], atol=1e-6)
    np.testing.assert_allclose(batch.positions.flatten(), np.arange(18.0))
    assert len(found.where("test")) == len(Snapshots.read(pool).where("test"))
    assert found.levels == [str(LEVEL)]


def test_labels_of_another_level_or_without_a_place_are_refused(pool, labels, tmp_path):
    write_choice(tmp_path / "a.csv", [Chosen("000000016", 1)])
    for levels, sources, said in (
        (["smash b3lyp"], {}, "labels of pyscf .*, and the data are of smash b3lyp"),
        ([], {}, "the data are of none known"),
        ([str(LEVEL)], {"sources": ["dft_1st"]}, "add dft_points to the sources of the data"),
    ):
        write_pool(pool, levels, **sources)
        with pytest.raises(UserError, match=said):
            write_round(pool, [tmp_path / "a.csv"], tmp_path / "round.h5", [labels])
    assert not (tmp_path / "round.h5").exists()


def test_the_level_is_the_one_that_logs_of_such_labels_say(labels):
    for text in dict(logs_of(read_protocol(labels / "000000962.npz", "962"), "smash")).values():
        log = parse_log(text.encode())
        assert (LEVEL.form, LEVEL.basis, LEVEL.spherical) == (
            log.functional, log.basis, log.spherical
        )  # fmt: skip
