"""Long files go in portions: the same result, flat memory, and a kill loses no portion."""

import csv
import re
import tracemalloc

import pytest
import torch
from rdkit import Chem

from force2geo.cli import main
from force2geo.potentials.checkpoint import save
from force2geo.potentials.heads import Head
from force2geo.potentials.models import Network
from force2geo.relax import smiles
from force2geo.relax.portions import Portions
from force2geo.relax.structures import each_structure, is_longer

SMILES = ["O water", "CO", "not-one", "C methane", "N", "CC", "[He]", "CCO", "*C odd", "OO"]
SPRINGS = ["--calculator", "toy_calculators:Springs", "--steps", "3"]


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.smi").write_text("\n".join(SMILES) + "\n")
    return tmp_path


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr("force2geo.relax.portions.SIZE", 3)


@pytest.fixture
def embedded(monkeypatch):
    """The SMILES that conformers were made of."""
    made, make = [], smiles.structure_of

    def counted(row, seed):
        made.append(row[0])
        return make(row, seed)

    def here(function, tasks, *_):
        yield from ((place, function(task), "") for place, task in enumerate(tasks))

    monkeypatch.setattr(smiles, "structure_of", counted)
    monkeypatch.setattr(smiles, "run_limited", here)
    return made


def text_of(path):
    """A file's text without the number that RDKit's writer, begun anew, counts records by."""
    return re.sub(r"^(>  <.*>)  \(\d+\)", r"\1", path.read_text(), flags=re.M)


def killed(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("suffix", [".sdf", ".xyz"])
def test_portions_relax_to_what_the_whole_does(given, monkeypatch, capsys, suffix):
    whole, parts = given / f"whole{suffix}", given / f"parts{suffix}"
    assert main(["relax", "a.smi", whole.name, *SPRINGS]) == 1
    told = capsys.readouterr().out
    monkeypatch.setattr("force2geo.relax.portions.SIZE", 3)
    assert main(["relax", "a.smi", parts.name, *SPRINGS]) == 1
    assert capsys.readouterr().out == told and "left out" in told
    assert text_of(parts) == text_of(whole)
    lost = [(given / f"{name}.left_out.csv").read_text() for name in ("whole", "parts")]
    assert lost[0] == lost[1]
    rows = list(csv.DictReader(lost[0].splitlines()))
    assert [(row["molecule"], row["smiles"]) for row in rows] == [("3", "not-one"), ("9", "*C")]
    assert rows[0]["reason"] == "'not-one' is not a SMILES" and rows[1]["name"] == "odd"
    assert not list(given.glob(".*"))


def test_a_killed_call_embeds_and_relaxes_no_finished_portion_again(
    given, small, embedded, monkeypatch, capsys
):
    assert main(["relax", "a.smi", "expected.sdf", *SPRINGS]) == 1
    finished = Portions.finished

    def second(portions, number, told):
        if number == 1:
            killed()
        finished(portions, number, told)

    with monkeypatch.context() as broken:
        broken.setattr(Portions, "finished", second)
        assert main(["relax", "a.smi", "b.sdf", *SPRINGS]) == 130
    assert not (given / "b.sdf").exists()
    # Another call with this output is another run, which takes nothing up and nothing away.
    (begun,) = (given / ".b.sdf.unfinished").iterdir()
    capsys.readouterr()
    assert main(["relax", "a.smi", "b.sdf", *SPRINGS[:-1], "1"]) == 1
    assert f"{begun.name}: unfinished work of another call" in capsys.readouterr().err
    assert (given / "b.sdf").read_text() != (given / "expected.sdf").read_text()
    embedded.clear()
    capsys.readouterr()
    assert main(["relax", "a.smi", "b.sdf", *SPRINGS]) == 1
    assert "going on: 3 molecules" in capsys.readouterr().err
    assert embedded == [line.split()[0] for line in SMILES[3:]]
    assert (given / "b.sdf").read_text() == (given / "expected.sdf").read_text()
    assert not list(given.glob(".*"))


def test_why_molecules_failed_is_counted_over_all_portions(given, small, capsys):
    only_water = ["--calculator", "toy_calculators:Broken", "--options", '{"size": 3}']
    (given / "b.smi").write_text("O\nC\nO\nO\nCO\nO\nO\n")
    assert main(["relax", "b.smi", "b.xyz", *only_water, "--steps", "3"]) == 1
    said = capsys.readouterr().err
    assert said.count("1 of 7 failed: RuntimeError: licence server") == 2


def test_a_file_with_no_molecule_at_all_is_told(given, small, capsys):
    (given / "none.smi").write_text("x y\n" * 4)
    assert main(["relax", "none.smi", "b.sdf", *SPRINGS]) == 2
    assert "none.smi: no structure to relax" in capsys.readouterr().err
    assert not (given / "b.sdf").exists()


def network(path, seed):
    torch.manual_seed(seed)
    sizes = {"layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.0}
    save(Network({"name": "painn", **sizes}, {"gap": Head("property", "gap", "eV")}), path, {})


@pytest.fixture
def model(tmp_path):
    network(tmp_path / "gap.pt", 0)


@pytest.mark.parametrize("suffix", [".csv", ".sdf"])
def test_portions_are_predicted_as_the_whole_and_taken_up(
    given, model, embedded, monkeypatch, suffix
):
    options = ["--model", "gap.pt", "--out"]
    assert main(["predict", "a.smi", *options, f"whole{suffix}"]) == 1
    monkeypatch.setattr("force2geo.relax.portions.SIZE", 3)
    with monkeypatch.context() as broken:  # of another model: nothing of it is taken up
        broken.setattr(Portions, "join", killed)
        network(given / "other.pt", 1)
        other = ["--model", "other.pt", "--out", f"b{suffix}"]
        assert main(["predict", "a.smi", *other]) == 130
    with monkeypatch.context() as broken:
        broken.setattr(Portions, "join", killed)
        assert main(["predict", "a.smi", *options, f"b{suffix}"]) == 130
    embedded.clear()
    assert main(["predict", "a.smi", *options, f"b{suffix}"]) == 1
    assert embedded == []
    assert [path.name for path in (given / f".b{suffix}.unfinished").iterdir()]  # the other's
    assert text_of(given / f"b{suffix}") == text_of(given / f"whole{suffix}")


def test_an_sdf_is_read_a_record_at_a_time(tmp_path):
    water = Chem.AddHs(Chem.MolFromSmiles("O"))
    water.AddConformer(Chem.Conformer(3))
    water.GetConformer().Set3D(True)
    for atom in range(3):
        water.GetConformer().SetAtomPosition(atom, (float(atom), 0.0, 1.0))
    record = Chem.MolToMolBlock(water) + "> <note>\n" + 2000 * "x" + "\n\n$$$$\n"
    (tmp_path / "a.sdf").write_text(2000 * record)
    tracemalloc.start()
    count = sum(1 for _ in each_structure(tmp_path / "a.sdf"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 2000 and peak < 1e6 < (tmp_path / "a.sdf").stat().st_size / 4
    places = [one.place for one in each_structure(tmp_path / "a.sdf", skip=1997)]
    assert places == [1998, 1999, 2000]
    assert is_longer(tmp_path / "a.sdf", 1999) and not is_longer(tmp_path / "a.sdf", 2000)


def test_to_see_how_long_a_file_is_says_nothing_of_its_records(tmp_path, capfd):
    (tmp_path / "bad.sdf").write_text("odd\n\n\nno counts\nM  END\n$$$$\n" * 3)
    assert is_longer(tmp_path / "bad.sdf", 2) and not is_longer(tmp_path / "bad.sdf", 3)
    assert capfd.readouterr() == ("", "")
