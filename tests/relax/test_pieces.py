"""A relaxation in pieces is the whole one, whatever becomes of a piece."""

import itertools
import json
import tracemalloc

import h5py
import numpy as np
import pytest
import torch

from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential
from force2geo.relax.journal import Journal
from force2geo.relax.molecule_set import gather
from force2geo.relax.relaxation import Relaxation
from force2geo.relax.result import read_relaxed, write_relaxed
from force2geo.training_data.conformers import Conformers, write_conformers

CIDS = [f"{number:09d}" for number in (40, 10, 30, 20, 50)]
SPRINGS = {"calculator": "toy_calculators:Springs", "options": {}}


@pytest.fixture
def run(tmp_path):
    """Relax molecules of 2 to 6 atoms on springs or a network; `run(range, out)`."""
    rng = np.random.default_rng(4)
    ptr = np.array([0, 2, 5, 9, 14, 20])
    geometry = {name: 1.2 * rng.normal(size=(20, 3)) for name in ("dft", "hf", "rdkit")}
    geometry["rdkit"][ptr[1] : ptr[2]] = np.nan  # RDKit could not embed the second
    sorted_cids = sorted(CIDS)
    numbers = rng.choice([1, 6, 8], size=20)
    write_conformers(tmp_path / "c.h5", Conformers(
        sorted_cids, ptr, numbers, {}, geometry, np.zeros(5, int),
        np.where([numbers[a:b].sum() % 2 for a, b in itertools.pairwise(ptr)], 2, 1),
    ))  # fmt: skip
    (tmp_path / "set.json").write_text(json.dumps({"d_opt": CIDS}))

    def call(piece, out, potential=SPRINGS, start="hf", steps=30, molecules="d_opt"):
        record = {
            "data": "downstream", "molecules": molecules, "start": start, "potential": potential,
            "optimizer": "bfgs", "force_threshold": 0.01, "max_steps": steps,
        }  # fmt: skip
        (tmp_path / "r.json").write_text(json.dumps(record))
        command = ["relax", "--settings", tmp_path / "r.json", "--conformers", tmp_path / "c.h5"]
        command += ["--out", tmp_path / out]
        if molecules != "all":
            command += ["--selection", tmp_path / "set.json"]
        if "training" in potential:
            command += ["--model", tmp_path / "m.pt"]
        return main([*map(str, command), *(["--range", piece] if piece else [])])

    return tmp_path, geometry, ptr, call


def gathered(folder, size, *more):
    command = ["gather", "--settings", folder / "r.json", "--selection", folder / "set.json"]
    command += ["--pieces", folder / "p", "--size", size, "--out", folder / "all.h5"]
    return main([*map(str, command), *map(str, more)])


@pytest.mark.parametrize("kind", ["springs", "network"])
def test_pieces_are_the_whole(run, kind):
    folder, _, _, call = run
    potential = SPRINGS
    if kind == "network":
        torch.manual_seed(3)
        settings = {"name": "painn", "layers": 2, "features": 16, "basis_size": 8, "cutoff": 4.0}
        network = Potential(settings)
        network.config["elements"] = [1, 6, 8]
        network.config["charge_states"] = [[0, 1], [0, 2]]
        save(network, folder / "m.pt", {})
        potential = {"training": "pretrain"}
    assert call(None, "whole.h5", potential) == 0
    # Two molecules a piece; of eight that were planned there are five.
    for piece in ("0-2", "2-4", "4-6", "6-8"):
        assert call(piece, f"p/{piece}.h5", potential) == 0
    assert gathered(folder, 2, "--count", 8) == 0
    assert max(read_relaxed(folder / "whole.h5").steps) > 3
    with h5py.File(folder / "whole.h5") as whole, h5py.File(folder / "all.h5") as pieces:
        assert [cid.decode() for cid in pieces["cid"][:]] == CIDS and set(whole) == set(pieces)
        for name in whole:
            one, other = whole[name][:], pieces[name][:]
            if name == "seconds":  # no two runs take the same
                assert (one > 0).all() and (other > 0).all()
                continue
            # Sums of a batch's matrix products round as its size has it.
            if kind == "network" and one.dtype.kind == "f":
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-8, err_msg=name)
            else:
                np.testing.assert_array_equal(one, other, err_msg=name)
    provenance = json.loads((folder / "all.h5.provenance.json").read_text())
    assert provenance["settings"]["potential"] == potential and provenance["stage"] == "gather"
    assert sum(name.endswith(".h5") for name in provenance["inputs"]) == 4


def test_a_killed_piece_goes_on_and_the_others_stay(run, monkeypatch, capsys):
    folder, _, _, call = run
    assert call("0-2", "p/0-2.h5") == 0
    before = (folder / "p/0-2.h5").stat()

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(Journal, "results", killed)
        assert call("2-5", "p/2-5.h5") == 130
    assert not (folder / "p/2-5.h5").exists() and (folder / "p/.2-5.h5.unfinished").is_dir()
    capsys.readouterr()
    assert call("2-5", "p/2-5.h5") == 0
    assert "going on: 3 of 3 were finished" in capsys.readouterr().err
    assert read_relaxed(folder / "p/2-5.h5").cids == CIDS[2:]
    assert (folder / "p/0-2.h5").stat().st_mtime_ns == before.st_mtime_ns
    assert not [path for path in (folder / "p").glob(".*") if "unfinished" in path.name]


def test_the_record_says_where_molecules_start(run):
    folder, geometry, ptr, call = run
    for start in ("dft", "rdkit"):
        assert call(None, f"{start}.h5", start=start, steps=2) == 0
        found = read_relaxed(folder / f"{start}.h5")
        for cid, frames, status in zip(found.cids, found.frames, found.status, strict=True):
            row = sorted(CIDS).index(cid)
            np.testing.assert_array_equal(frames[0], geometry[start][ptr[row] : ptr[row + 1]])
            assert (status == "refused") == (start == "rdkit" and row == 1)
    with h5py.File(folder / "rdkit.h5") as file:
        assert file["reason"][CIDS.index(sorted(CIDS)[1])] == b"it has no rdkit geometry"


def test_a_piece_may_fail_whole_the_set_may_not(run, capsys):
    folder, _, _, call = run
    broken = {"calculator": "toy_calculators:Broken", "options": {}}
    assert call("0-2", "p/0-2.h5", broken) == 0 and call("2-5", "p/2-5.h5", broken) == 0
    assert call(None, "whole.h5", broken) == 2
    capsys.readouterr()
    assert gathered(folder, 2) == 2
    assert "p/2-4.h5: no such file" in capsys.readouterr().err
    for first, last in ((0, 3), (3, 5)):
        assert call(f"{first}-{last}", f"p/{first}-{last}.h5", broken) == 0
    capsys.readouterr()
    assert gathered(folder, 3) == 2
    said = capsys.readouterr().err
    assert "none of 5 molecules was relaxed" in said and "licence server" in said
    assert not (folder / "all.h5").exists()
    # With one that is relaxed all are a result.
    works = {"calculator": "toy_calculators:Broken", "options": {"size": 4}}
    for first, last in ((0, 3), (3, 5)):
        assert call(f"{first}-{last}", f"p/{first}-{last}.h5", works) == 0
    assert gathered(folder, 3) == 0


def still(atoms):
    run = Relaxation(np.full(atoms, 6), np.zeros((atoms, 3)), status="converged")
    for _ in range(50):
        run.record(np.zeros((atoms, 3)), np.zeros((atoms, 3)), 0.0, 0.0)
    return run


def test_pieces_of_other_molecules_are_named(tmp_path):
    paths = tmp_path / "0-2.h5", tmp_path / "2-3.h5"
    for path, cids in zip(paths, (CIDS[:2], CIDS[2:3]), strict=True):
        write_relaxed(path, cids, [still(2) for _ in cids])
    assert gather(paths, CIDS[:3], tmp_path / "o.h5") == {"converged": 3}
    for cids, message in (
        (CIDS[:4], "2-3.h5: the pieces end after 3 of 4 molecules"),
        ([CIDS[1], CIDS[0], CIDS[2]], "0-2.h5: it holds other molecules than the set; remove it"),
        (CIDS[:2], "2-3.h5: it holds other molecules"),
    ):
        with pytest.raises(UserError, match=message):
            gather(paths, cids, tmp_path / "wrong.h5")
    assert not (tmp_path / "wrong.h5").exists()


def test_pieces_are_put_together_without_being_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("force2geo.relax.result._WAITING", 500)
    paths = [tmp_path / f"{first}-{first + 100}.h5" for first in (0, 100, 200)]
    for path in paths:
        write_relaxed(path, ["x"] * 100, (still(20) for _ in range(100)))
    tracemalloc.start()
    try:
        gather(paths, ["x"] * 300, tmp_path / "all.h5")
        assert tracemalloc.get_traced_memory()[1] < (tmp_path / "all.h5").stat().st_size / 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", ["5-5", "7-3", "x", "1-2-3"])
def test_a_range_that_is_none_is_said(run, capsys, text):
    assert run[3](text, "o.h5") == 2
    assert f"--range {text}: give the first" in capsys.readouterr().err


def test_names_are_not_cut(run):
    """They are no CIDs everywhere; QM9 has gdb_100000."""
    folder, *_ = run
    names = ["gdb_100000", "gdb_1000000", "x"]
    runs = [Relaxation(np.array([1]), np.zeros((1, 3)), place) for place in range(3)]
    for one in runs:
        one.refuse("no")
    write_relaxed(folder / "n.h5", names, runs)
    assert read_relaxed(folder / "n.h5").cids == names


def test_all_molecules_of_a_set_relax_in_its_order(run, capsys):
    folder, geometry, ptr, call = run
    for piece in ("0-3", "3-5"):
        assert call(piece, f"p/{piece}.h5", start="rdkit", molecules="all") == 0
    command = ["gather", "--settings", folder / "r.json", "--conformers", folder / "c.h5",
               "--pieces", folder / "p", "--size", 3, "--out", folder / "all.h5"]  # fmt: skip
    assert main(list(map(str, command))) == 0
    found = read_relaxed(folder / "all.h5")
    assert found.cids == sorted(CIDS)
    np.testing.assert_array_equal(found.frames[2][0], geometry["rdkit"][ptr[2] : ptr[3]])
    assert found.status[1] == "refused"
    capsys.readouterr()
    assert main([*map(str, command), "--selection", str(folder / "set.json")]) == 2
    assert "r.json needs --conformers, and no --selection" in capsys.readouterr().err
    # Which molecules relax is said once: in the record or in a file that it asks for.
    given = ["relax", "--settings", folder / "r.json", "--conformers", folder / "c.h5", "--out",
             folder / "x.h5", "--selection", folder / "set.json"]  # fmt: skip
    assert main(list(map(str, given))) == 2
    assert "r.json takes none" in capsys.readouterr().err
