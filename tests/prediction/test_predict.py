"""Predictions beside the models called by hand; a row for each molecule, whatever it is."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from rdkit import Chem
from rdkit.Chem import AllChem

import force2geo
from force2geo.errors import UserError
from force2geo.potentials.checkpoint import save
from force2geo.potentials.heads import Head
from force2geo.potentials.models import Potential
from force2geo.prediction.ask import Question, ask
from force2geo.prediction.predict import predictions
from force2geo.relax import evaluators, smiles
from force2geo.relax.batched import FIRST
from force2geo.relax.structures import Lost
from structures_of import read_structures

WORDS = "CCO", "C", "CC(C)(C)C(=O)O", "O", "C=O", "CCCCCCO", "CO"
BACKBONE = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}


@pytest.fixture
def potential(tmp_path):
    torch.manual_seed(3)
    network = Potential(BACKBONE)
    network.config["elements"] = [1, 6, 8]
    save(network, tmp_path / "potential.pt", {})
    return tmp_path / "potential.pt"


def by_hand(path, rows):
    """What a checkpoint says at the geometries that rows were predicted at."""
    model = force2geo.load(path)
    return [model.predict(Atoms(row.structure.numbers, row.structure.positions))[0] for row in rows]


@pytest.mark.parametrize("batch_atoms", [5, 4096])
def test_rows_are_in_order_and_what_the_models_say_at_their_geometries(make, batch_atoms):
    paths = [make("a.pt", 1), make("b.pt", 2), make("c.pt", 5)]
    rows = list(force2geo.predict(WORDS, models=paths, batch_atoms=batch_atoms))
    assert [(row.place, row.smiles) for row in rows] == list(enumerate(WORDS, start=1))
    alone = [by_hand(path, rows) for path in paths]
    for place, row in enumerate(rows):
        made = Chem.AddHs(Chem.MolFromSmiles(WORDS[place]))
        assert len(row.structure.numbers) == made.GetNumAtoms()
        for name in ("gap", "dipole"):
            said = [found[place][name] for found in alone]
            assert row.values[name] == pytest.approx(np.mean(said), abs=1e-5), name
            assert row.spreads[name] == pytest.approx(np.std(said, ddof=1), abs=1e-5), name
        assert (row.status, row.applicability, row.reason) == ("predicted", "in", "")


def test_models_of_different_properties_answer_together(make):
    gap = make("gap.pt", 1, heads={"property": Head("property", "gap", "eV")})
    both = make("both.pt", 2)
    dipole = make("dipole.pt", 3, heads={"property": Head("property", "dipole", "D")})
    (row,) = force2geo.predict("CCO", models=[gap, both])
    (first,), (second,) = by_hand(gap, [row]), by_hand(both, [row])
    mean = (first["property"] + second["gap"]) / 2
    assert row.values == pytest.approx({"gap": mean, "dipole": second["dipole"]}, abs=1e-5)
    assert list(row.spreads) == ["gap"]
    # Of what is not asked for nothing is computed, and its model's limits do not count.
    narrow = make("narrow.pt", heads={"property": Head("property", "dipole", "D")}, elements=[1])
    (row,) = force2geo.predict("CCO", "gap", [gap, narrow])
    assert list(row.values) == ["gap"] and row.applicability == "in" and not row.spreads
    with pytest.raises(UserError, match="no model given predicts 'zpve', only gap, dipole"):
        force2geo.predict("C", "zpve", [gap, dipole])
    other = make("other.pt", heads={"property": Head("property", "gap", "Hartree")})
    with pytest.raises(UserError, match="'gap' is in eV and in Hartree"):
        force2geo.predict("C", "gap", [gap, other])


def test_a_potential_is_refused_by_name(potential):
    with pytest.raises(UserError, match=r"potential\.pt: a potential; give a model trained for"):
        force2geo.predict("C", models=potential)


def test_what_fails_is_a_row_with_its_reason(make, tmp_path):
    (tmp_path / "a.smi").write_text("CCO ethanol\nnonsense( odd\nCCl chloromethane\n*C any\n"
                                    "[NH4+] ammonium\nC[CH2] ethyl\n")  # fmt: skip
    model = make("m.pt", elements=[1, 6, 7, 8], charge_states=[[0, 1]])
    rows = list(force2geo.predict(tmp_path / "a.smi", "gap", model))
    assert [row.name for row in rows] == ["ethanol", "odd", "chloromethane", "any", "ammonium",
                                          "ethyl"]  # fmt: skip
    assert [bool(row.values) for row in rows] == [True] + 5 * [False]
    assert rows[1].status == "left out: 'nonsense(' is not a SMILES" and not rows[1].applicability
    assert rows[1].smiles == "nonsense(" and rows[3].smiles == "*C"
    for place, reason in (
        (2, "the model has never seen Cl"),
        (4, "the model has never seen charge +1 with multiplicity 1"),
        (5, "the model has never seen charge 0 with multiplicity 2"),
    ):
        assert (rows[place].applicability, rows[place].reason) == ("outside", reason)
        assert rows[place].status == f"refused: {reason}"


def test_atoms_at_one_point_have_no_number_and_their_neighbours_have(make):
    good = Atoms("OH2", [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    double = Atoms("CO", [[0, 0, 0], [0, 0, 0]])
    lattice = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], cell=[5, 5, 5], pbc=True)
    drawing = Chem.MolFromSmiles("CC")
    model = make("m.pt")
    rows = list(force2geo.predict([good, double, lattice, drawing, good, 3], "gap", model))
    assert rows[0].values == pytest.approx(rows[4].values) and rows[0].values
    assert [row.status.split(":")[0] for row in rows] == [
        "predicted", "failed", "left out", "left out", "predicted", "left out"
    ]  # fmt: skip
    assert rows[1].status == "failed: atoms 0 and 1 stand at one point"
    assert "periodic" in rows[2].status and "hydrogens are missing" in rows[3].status


def test_structures_of_all_kinds_are_the_same_molecule(make, tmp_path):
    made = Chem.AddHs(Chem.MolFromSmiles("CC(=O)O"))
    AllChem.EmbedMolecule(made, randomSeed=7)
    made.SetProp("_Name", "acetic acid")
    numbers = [atom.GetAtomicNum() for atom in made.GetAtoms()]
    atoms = Atoms(numbers, made.GetConformer().GetPositions())
    with Chem.SDWriter(str(tmp_path / "a.sdf")) as writer:
        writer.write(made)
    atoms.write(tmp_path / "a.xyz")
    model = make("m.pt")
    expected = force2geo.load(model).predict(atoms)[0]
    for given in (made, atoms, [atoms], tmp_path / "a.sdf", str(tmp_path / "a.xyz")):
        (row,) = force2geo.predict(given, models=model)
        for name in ("gap", "dipole"):  # files have four and eight digits
            assert row.values[name] == pytest.approx(expected[name], abs=2e-3), given
    (row,) = force2geo.predict(tmp_path / "a.sdf", models=model)
    assert (row.name, row.smiles) == ("acetic acid", "CC(=O)O")
    (row,) = force2geo.predict(tmp_path / "a.xyz", models=model)
    assert row.smiles == ""


@pytest.mark.parametrize("given", ["no/such.smi", "nonsense("])
def test_what_is_neither_file_nor_smiles_is_told(make, given):
    with pytest.raises(UserError, match=r"no such file|neither a file of structures nor"):
        list(force2geo.predict(given, models=make("m.pt")))


def test_a_graph_network_gets_the_bonds(make, tmp_path):
    backbone = {"name": "gin_virtual", "layers": 2, "features": 8}
    model = make("gin.pt", backbone=backbone)
    rows = list(force2geo.predict(["CCO", "COC"], "gap", model))
    assert rows[0].values["gap"] != rows[1].values["gap"]
    with Chem.SDWriter(str(tmp_path / "a.sdf")) as writer:
        writer.write(rows[0].structure.kept)
    (again,) = force2geo.predict(tmp_path / "a.sdf", "gap", model)
    assert again.values == pytest.approx(rows[0].values, abs=1e-6)
    (bare,) = force2geo.predict(Atoms("CO", [[0, 0, 0], [0, 0, 1.1]]), "gap", model)
    assert not bare.values and "looks at bonds" in bare.reason


def test_relaxed_molecules_are_predicted_where_relax_ends(make, potential, tmp_path):
    from force2geo.cli import main

    (tmp_path / "a.smi").write_text("CCO ethanol\nCCS thiol\nC methane\n")
    model = make("m.pt", elements=[1, 6, 8, 16])
    rows = list(force2geo.predict(tmp_path / "a.smi", models=model, relax=potential, steps=3,
                                  fmax=1e-9, device="cpu"))  # fmt: skip
    arguments = ["relax", tmp_path / "a.smi", tmp_path / "b.sdf", "--model", potential, "--steps",
                 3, "--fmax", 1e-9, "--device", "cpu"]  # fmt: skip
    assert main(list(map(str, arguments))) == 1
    relaxed, _ = read_structures(tmp_path / "b.sdf")
    for place in (0, 2):
        np.testing.assert_allclose(
            rows[place].structure.positions, relaxed[place].positions, atol=1e-4
        )
        assert rows[place].status == "step limit" and rows[place].applicability == "edge"
        assert rows[place].reason == "not relaxed to the end"
    for row, found in zip(rows[::2], by_hand(model, rows[::2]), strict=True):
        assert row.values["gap"] == pytest.approx(found["gap"], abs=1e-5)
    reason = "relaxation refused: the model has never seen S"
    assert (rows[1].values, rows[1].applicability, rows[1].reason) == ({}, "outside", reason)
    # What the property's model refuses is not relaxed first.
    (row,) = force2geo.predict("CCl", models=model, relax=potential)
    assert row.status == "refused: the model has never seen Cl"


def test_a_molecule_that_became_another_is_outside(make, potential):
    question = Question.of([make("m.pt")], relax=potential, device="cpu", steps=60)

    def torn(batch):
        forces = torch.zeros_like(batch.positions)
        forces[batch.ptr[:-1]] = torch.tensor([-5.0, 0.0, 0.0], dtype=forces.dtype)
        return torch.zeros(batch.size, dtype=torch.float64), forces

    question.relaxer.evaluator = replace(question.relaxer.evaluator, evaluate=torn, threads=1)
    question.relaxer.optimizer = "fire"
    (row,) = ask("O", question)
    assert row.status in ("bonds changed", "dissociated") and row.applicability == "outside"
    assert row.reason.startswith("relaxed into another molecule") and row.values


def test_a_potential_that_gives_no_numbers_stops_nothing(make, potential):
    question = Question.of([make("m.pt")], relax=potential, device="cpu", batch_atoms=48)

    def broken(batch):
        nothing = torch.full_like(batch.positions, torch.nan)
        return torch.full((batch.size,), torch.nan), nothing

    relaxer = question.relaxer
    relaxer.evaluator = evaluators.Evaluator(broken, lambda run: "", {})
    rows = list(ask(["O"] * (FIRST + 15), question))
    assert len(rows) == FIRST + 15 and not any(row.values for row in rows)
    assert all(row.status.startswith("exploded: ") for row in rows)
    assert any("all failed in the same way" in row.status for row in rows)


def test_molecules_stream(make):
    """Of molecules without end the first rows come before more than a group is taken."""
    question = Question.of([make("m.pt")], ["gap"], batch_atoms=6)
    taken = itertools.count()
    one = smiles.structure_of(("O", "water", {}), 7)

    def endless():
        while True:
            place = next(taken)
            assert place < 1000
            yield replace(one, place=place) if place % 5 else Lost("odd", place=place)

    rows = predictions(endless(), question.ensemble, None, question.batch_atoms)
    places = [row.place for row in itertools.islice(rows, 100)]
    assert places == list(range(100)) and next(taken) <= 100 + 12


def test_workers_make_the_same_conformers_in_the_same_order():
    rows = [(text, f"m{place}", {}) for place, text in enumerate([*WORDS, "x("] * 8)]
    one = [smiles.structure_of(row, 7) for row in rows]
    two = list(smiles.embedded(rows, 7, workers=3))
    for a, b in zip(one, two, strict=True):
        assert a.name == b.name and type(a) is type(b)
        if not isinstance(a, Lost):
            np.testing.assert_array_equal(a.positions, b.positions)
    # Who takes no more waits for no more.
    few = smiles.embedded(((text, text, {}) for text in itertools.cycle(["C"])), 7, workers=2)
    assert len(list(itertools.islice(few, 3))) == 3
    few.close()


def test_a_conformer_has_a_time(monkeypatch):
    from rdkit.Chem import rdDistGeom

    tried = []

    def fails(_, options):
        tried.append((options.timeout, options.useRandomCoords))
        return -1

    monkeypatch.setattr(rdDistGeom, "EmbedMolecule", fails)
    found = smiles.structure_of(("CCO", "ethanol", {}), 7)
    assert tried == [(60, False), (60, True)]
    assert isinstance(found, Lost) and "two tries of at most 60 s" in found.reason
