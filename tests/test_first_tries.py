"""First tries of a new user: odd inputs are done right or told, no traceback, no silence."""

import gzip
import json
import shlex

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.io import read
from rdkit import Chem
from rdkit.Chem.rdDistGeom import EmbedMolecule

import force2geo
from force2geo.cli import main
from force2geo.errors import UserError
from force2geo.locks import locked
from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential, PropertyModel

WATER = "O 0 0 0.1\nH 0 0.8 -0.5\nH 0 -0.8 -0.5\n"
FRAME = "3\nwater\n" + WATER
TO_XYZ = "relax {0} out.xyz --model m.pt --steps 2"
NO_GPU = not torch.cuda.is_available()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a potential and a property model that know a few elements."""
    folder = tmp_path_factory.mktemp("models")
    backbone = {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
    torch.manual_seed(3)
    for name, kind in (("m", Potential), ("property", PropertyModel)):
        network = kind(backbone)
        network.config["elements"] = [1, 6, 7, 8, 11, 17]
        save(network, folder / f"{name}.pt", {})
    return folder


@pytest.fixture
def here(models, tmp_path, monkeypatch):
    for path in models.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(line, capsys):
    """Return exit status, stdout and stderr of a command line; an exception is a traceback."""
    capsys.readouterr()
    try:
        status = main(shlex.split(line))
    except SystemExit as end:
        status = end.code
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return status, shown.out, shown.err


def sdf(smiles, lines="", name="x"):
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    EmbedMolecule(molecule, randomSeed=1)
    molecule.SetProp("_Name", name)
    return Chem.MolToMolBlock(molecule, kekulize=False) + lines + "$$$$\n"


def extended(comment, rows=WATER):
    return f"{len(rows.splitlines())}\n{comment}\n{rows}"


# What is in the file, how many structures come out, the exit status and what is said.
INPUTS = {
    "blank lines between frames": ("a.xyz", (FRAME + "\n\n") * 3, 3, 0, ""),
    "blank lines at the end": ("a.xyz", FRAME + "\n\n\n", 1, 0, ""),
    "Windows line ends": ("a.xyz", FRAME.replace("\n", "\r\n") * 2, 2, 0, ""),
    "a page's letters in a comment": (
        "a.xyz", (FRAME.replace("water", "water\x85\x0c") * 2).encode("latin-1"), 2, 0, "",
    ),
    "a page's letters in a list": ("a.smi", b"C methane\x85 pure\x0c\rO\n", 2, 0, ""),
    "a frame cut off": ("a.xyz", FRAME + FRAME[:20], 1, 1, "ends after"),
    "a count too large": ("a.xyz", FRAME.replace("3", "4", 1) + FRAME, 1, 1, "left out"),
    "a count too small": ("a.xyz", "2\nx\n" + WATER + FRAME, 2, 1, "not a number of atoms"),
    "no count": ("a.xyz", "water\n" + WATER + FRAME, 1, 1, "line 1: not a number of atoms"),
    "a frame of no atoms": ("a.xyz", "0\n\n" + FRAME, 1, 1, "no atoms"),
    "a coordinate that is none": ("a.xyz", FRAME.replace("0.1", "nan") + FRAME, 1, 1, "finite"),
    "a word for a coordinate": ("a.xyz", FRAME.replace("0.1", "oops") + FRAME, 1, 1, "readable"),
    "a dummy atom": ("a.xyz", FRAME.replace("O", "X") + FRAME, 1, 1, "no element"),
    "an unknown symbol": ("a.xyz", FRAME.replace("O", "Qq") + FRAME, 1, 1, "left out"),
    "an upper-case name": ("A.XYZ", FRAME, 1, 0, ""),
    "a periodic cell": (
        "a.xyz", extended('Lattice="9 0 0 0 9 0 0 0 9"') + FRAME, 1, 1, "periodic cell",
    ),
    "a box that is not periodic": (
        "a.xyz", extended('Lattice="9 0 0 0 9 0 0 0 9" pbc="F F F"'), 1, 0, "",
    ),
    "a charge": ("a.xyz", extended("charge=-1") + FRAME, 2, 1, "never seen charge -1"),
    "a triplet": ("a.xyz", extended("multiplicity=3") + FRAME, 2, 1, "multiplicity 3"),
    "a spin": ("a.xyz", extended("spin=3") + FRAME, 2, 1, "multiplicity 3"),
    "a charge without sense": ("a.xyz", extended("charge=plus") + FRAME, 1, 1, "not a number"),
    "electrons that do not fit": ("a.xyz", extended("multiplicity=2") + FRAME, 1, 1, "do not fit"),
    "initial charges": (
        "a.xyz",
        extended(
            "Properties=species:S:1:pos:R:3:initial_charges:R:1",
            "O 0 0 0 -1\nH 0 0 1 0\nH 1 0 0 0\n",
        ) + FRAME, 2, 1, "never seen charge -1",
    ),
    "initial magmoms": (
        "a.xyz",
        extended(
            "Properties=species:S:1:pos:R:3:initial_magmoms:R:1",
            "O 0 0 0 2\nH 0 0 1 0\nH 1 0 0 0\n",
        ) + FRAME, 2, 1, "multiplicity 3",
    ),
    "an odd electron": ("a.xyz", "2\nOH\nO 0 0 0\nH 0 0 1\n" + FRAME, 2, 1, "multiplicity 2"),
    "atoms at one point": ("a.xyz", "2\nx\nH 0 0 0\nH 0 0 0\n" + FRAME, 2, 1, "one point"),
    "nothing at all": ("a.xyz", "", 0, 2, "no structure"),
    "elements never seen": ("a.xyz", "2\nHBr\nH 0 0 0\nBr 0 0 1.4\n", 1, 2, "never seen Br"),
    "an empty SDF": ("a.sdf", "", 0, 2, "no structure"),
    "an SDF of blank lines": ("a.sdf", "\n\n\n", 0, 2, "no structure"),
    "words in an SDF": ("a.sdf", "Dear all\n" * 5, 0, 2, "not a readable SDF record"),
    "a bad record between good ones": (
        "a.sdf", sdf("C") + "x\n\n\nbad\n$$$$\n" + sdf("O"), 2, 1, "molecule 2: left out",
    ),
    "a drawing": (
        "a.sdf", Chem.MolToMolBlock(Chem.AddHs(Chem.MolFromSmiles("CC"))) + "$$$$\n", 0, 2,
        "two dimensions",
    ),
    "no hydrogens": (
        "a.sdf", Chem.MolToMolBlock(Chem.MolFromSmiles("CC")) + "$$$$\n", 0, 2, "hydrogens",
    ),
    "no end of the record": ("a.sdf", sdf("C").replace("$$$$\n", ""), 1, 0, ""),
    "an ion in an SDF": ("a.sdf", sdf("C[NH3+]") + sdf("C"), 2, 1, "never seen charge +1"),
    "a radical in an SDF": ("a.sdf", sdf("[OH]") + sdf("C"), 2, 1, "multiplicity 2"),
    "a charge as a property": (
        "a.sdf", sdf("[OH-]", "> <charge>\n1\n\n") + sdf("C"), 1, 1, "given twice",
    ),
    "an SDF named .MOL": ("a.MOL", sdf("C"), 1, 0, ""),
    "a property in Latin-1": ("a.sdf", sdf("C", "> <p>\ncafé\n\n").encode("latin-1"), 1, 0, ""),
    "an upper-case list": ("a.SMI", "C methane\n", 1, 0, ""),
    "a packed list": ("a.smi.gz", gzip.compress(b"C methane\nO\n"), 2, 0, ""),
    "a packed SDF": ("a.sdf.gz", gzip.compress(sdf("C").encode()), 1, 0, ""),
    "a packed file that is none": ("a.smi.gz", b"C methane\n", 0, 2, "cannot be read"),
    "a packed file cut off": ("a.smi.gz", gzip.compress(b"C " * 99)[:-12], 0, 2, "cannot be read"),
    "a text file": ("a.txt", "C\n\nO water\n", 2, 0, ""),
    "a list with a header": ("a.smi", "SMILES name\nC methane\n", 1, 0, ""),
    "a list in Latin-1": ("a.smi", "C méthane\n".encode("latin-1"), 1, 0, ""),
    "a byte order mark": ("a.smi", "\ufeffC methane\n", 1, 0, ""),
    "words in a list": ("a.smi", "C\nhello world\nO\n", 2, 1, "'hello' is not a SMILES"),
    "a wildcard": ("a.smi", "C\n*C\n", 1, 1, "no element"),
    "a table": ("a.csv", "id,SMILES,price\nm1,C,3\nm2,O,4\n", 2, 0, ""),
    "a table by semicolons": ("a.csv", "name;smiles\nm1;C\n", 1, 0, ""),
    "a table by tabs": ("a.tsv", "smiles\tname\nC\tm1\n", 1, 0, ""),
    "a row without SMILES": ("a.csv", "smiles,name\n,m1\nC,m2\n", 1, 1, "not a SMILES"),
    "a table without SMILES": ("a.csv", "a,b\n1,2\n", 0, 2, "no column 'smiles'"),
    "an ion in a list": ("a.smi", "C[NH3+]\nC\n", 2, 1, "never seen charge +1"),
    "a radical in a list": ("a.smi", "[OH]\nC\n", 2, 1, "multiplicity 2"),
    "bytes": ("a.smi", bytes(range(256)), 0, 2, "is not a SMILES"),
    "a format not known": ("a.pdb", FRAME, 0, 2, "give one of .sdf"),
}  # fmt: skip


@pytest.mark.parametrize("name", INPUTS)
def test_input_of_relax(here, capsys, name):
    file, text, count, wanted, said = INPUTS[name]
    (here / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    status, out, err = call(TO_XYZ.format(file), capsys)
    assert status == wanted and said in err
    frames = read("out.xyz", index=":", format="extxyz") if (here / "out.xyz").exists() else []
    assert len(frames) == count
    assert all("status" in frame.info for frame in frames)
    # Each loss is counted and named; without one nothing is said.
    lost = [line for line in err.splitlines() if "left out" in line]
    assert ("left out" in out) == bool(lost and frames) and bool(err) == bool(wanted)
    assert not list(here.glob(".*"))


OPTIONS = {
    "--fmax -1": "--fmax -1", "--fmax 0": "--fmax 0", "--fmax nan": "--fmax nan",
    "--steps -1": "--steps -1", "--batch-atoms 0": "--batch-atoms 0",
    "--optimizer newton": "choose one of bfgs", "--device tpu": "device 'tpu'",
    "--dtype float16": "invalid choice", "--fmax abc": "invalid float value",
    "--paths p.traj": "give one of .h5", "--calculator x:Y": "either --model or --calculator",
    "--options '{\"charge\": 1}'": "a calculator's",
    "--range 0-9": "an input and an output file", "--nonsense 3": "unrecognized arguments",
}  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS)
def test_options_that_cannot_be_meant(here, capsys, options):
    (here / "a.smi").write_text("C\n")
    status, _, err = call(f"relax a.smi out.xyz --model m.pt {options}", capsys)
    assert status == 2 and OPTIONS[options] in err
    assert "invalid" in err or "unrecognized" in err or err.count("\n") == 1
    assert not (here / "out.xyz").exists()


@pytest.mark.skipif(not NO_GPU, reason="there is a GPU")
def test_a_gpu_that_is_not_there(here, capsys):
    (here / "a.smi").write_text("C\n")
    status, _, err = call("relax a.smi out.xyz --model m.pt --device cuda", capsys)
    assert status == 2 and "no GPU" in err and "checkpoint" not in err


RECORD = "relax --settings record.json --selection ok.json --out o.h5"
GATHER = "gather --settings record.json --selection set.json --pieces p --out o.h5"
EMT = "relax a.xyz out.xyz --calculator ase.calculators.emt:EMT"
LINES = {
    "relax a.smi out.xyz --model no.pt": "no such checkpoint",
    "relax a.smi out.xyz --model a.smi": "not a readable checkpoint",
    "relax a.smi out.xyz --model property.pt": "give a potential",
    "relax a.smi out.pdb --model m.pt": "give one of .sdf",
    "relax a.smi --model m.pt": "an input and an output file",
    "relax a.xyz a.xyz --model m.pt": "the input itself",
    "relax . out.xyz --model m.pt": "give one of .sdf",
    "relax folder.sdf out.xyz --model m.pt": "cannot be read",
    "relax no.sdf out.xyz --model m.pt": "no such file",
    f"{EMT} --options nope": "--options: not JSON",
    f"{EMT} --options [1]": "a JSON object",
    "relax a.xyz out.xyz --calculator force2geo.dft.calculator:DFT "
    "--options '{\"what\": 1}'": "what",
    "relax a.xyz out.xyz --calculator ase.calculators.emt": "MODULE:CLASS",
    "relax a.xyz out.xyz --calculator no_such_module:X": "no_such_module",
    "relax a.xyz out.xyz --calculator ase.calculators.emt:No": "No",
    "relax a.xyz out.xyz --calculator builtins:dict": "no ASE calculator",
    "export no.pt o.pt2": "no such checkpoint",
    "export a.smi o.pt2": "checkpoint",
    "report --settings no.json --run no --out r.html": "no run's folder",
    "report --settings no.json --run . --out r.html": "no run's folder",
    "label --molecules no.csv --out l": "no.csv",
    "published import no.lmdb --store s": "not a readable LMDB",
    "published import a.smi --store s": "not a readable LMDB",
    "published export no.lmdb --out o.lmdb": "not a readable shard",
    "select --settings no.json --index x --out y": "no such settings file",
    "select --settings bad.json --index x --out y": "not settings, JSON",
    "generate --molecules no.smi --out g": "cannot be read",
    "generate --molecules a.xyz --out g": "column 'smiles'",
    "relax --settings ok.json --conformers no.h5 --selection ok.json --out o.h5 "
    "--model m.pt": "ok.json: not a relaxation's record",
    f"{RECORD} --model m.pt --conformers no.h5": "no.h5",
    f"{RECORD} --conformers no.h5": "--model: record.json needs a checkpoint",
    f"{GATHER} --size 0": "give 1 or more",
    f"{GATHER} --size 3": "p/0-3.h5: no such file",
    "d-opt --settings ok.json --selection ok.json --index x --out o.json": "ok.json: not a sel",
}


@pytest.mark.parametrize("line", LINES)
def test_one_line_says_what_is_wrong(here, capsys, line):
    (here / "a.smi").write_text("C\n")
    (here / "a.xyz").write_text(FRAME)
    (here / "bad.json").write_text("{nope")
    (here / "ok.json").write_text("{}")
    record = {"potential": {"training": "x"}, "start": "hf", "molecules": "d_opt"}
    (here / "record.json").write_text(json.dumps(record))
    (here / "set.json").write_text('{"d_opt": ["1", "2", "3"]}')
    (here / "folder.sdf").mkdir()
    status, _, err = call(line, capsys)
    assert status == 2 and LINES[line] in err and err.count("\n") == 1
    assert not (here / "out.xyz").exists()


def test_two_calls_with_one_output(here, capsys):
    (here / "a.smi").write_text("C\n")
    with locked(here / "out.xyz"):
        status, _, err = call(TO_XYZ.format("a.smi"), capsys)
    assert status == 2 and "is writing it: wait" in err and err.count("\n") == 1
    assert call(TO_XYZ.format("a.smi"), capsys)[0] == 0


def test_logs_that_are_none(here, capsys):
    (here / "empty.log").write_text("")
    (here / "a.bin").write_bytes(bytes(range(256)) * 9)
    status, out, err = call("logs empty.log a.bin no.log", capsys)
    assert status == 2 and not out and err.count(": rejected: ") == 3
    assert err.splitlines()[3:] == [
        "force2geo logs: 0 logs read, 3 rejected, 0 files that are no logs"
    ]
    status, out, _ = call("logs empty.log --json", capsys)
    assert status == 2 and json.loads(out)["status"] == "rejected"


def test_properties_survive_both_ways(here, capsys):
    held = {"text": "one\ntwo", "with space": 'a "quote"', "a=b": "x", "back": "c\\n", "id": "007",
            "Lattice": "cubic", "empty": "", "json": "_JSON {", "tab": "a\tb", "energy": "-1.5",
            "status": "sold"}  # fmt: skip
    lines = "".join(f"> <{key}>\n{value}\n\n" for key, value in held.items())
    (here / "a.sdf").write_text(sdf("C", lines, name="my molecule"))
    status, _, err = call(TO_XYZ.format("a.sdf"), capsys)
    assert status == 0 and "its own 'status' is kept as 'input_status'" in err
    (frame,) = read("out.xyz", index=":", format="extxyz")
    info = frame.info
    assert info["name"] == "my molecule" and info["text"] == r"one\ntwo"
    assert info["with space"] == 'a "quote"' and info["a_b"] == "x" and info["back"] == r"c\n"
    assert (
        info["Lattice_"] == "cubic"
        and info["json"] == " _JSON {"
        and "empty" in info
        and info["tab"] == "a b"
    )
    assert "id=007" in (here / "out.xyz").read_text() and not frame.cell.any()
    assert frame.calc.results["energy"] == -1.5 != info["relaxed_energy"]
    assert info["input_status"] == "sold" and info["status"] == "converged"

    call("relax a.sdf out.sdf --model m.pt --steps 2", capsys)
    (molecule,) = Chem.SDMolSupplier("out.sdf", removeHs=False)
    assert (
        held.items() - {("status", "sold"), ("tab", "a\tb")}
        <= molecule.GetPropsAsDict(autoConvertStrings=False).items()
    )
    assert molecule.GetProp("input_status") == "sold"
    # Ours of an earlier run are replaced, not kept.
    status, _, err = call("relax out.sdf again.sdf --model m.pt --steps 0", capsys)
    (molecule,) = Chem.SDMolSupplier("again.sdf", removeHs=False)
    assert status == 0 and not err and molecule.GetProp("n_steps") == "0"
    assert molecule.GetProp("input_status") == "sold"
    assert molecule.GetProp("relaxed_by").startswith("force2geo")


def test_columns_and_names_of_lists(here, capsys):
    (here / "a.smi").write_text("C\tmethane\tlot 7\nO water of life\n")
    call(TO_XYZ.format("a.smi"), capsys)
    one, two = read("out.xyz", index=":", format="extxyz")
    assert one.info["name"] == "methane" and one.info["column_3"] == "lot 7"
    assert two.info["name"] == "water of life"
    (here / "a.csv").write_text("id,SMILES,price\nm1,C,3\n")
    call(TO_XYZ.format("a.csv"), capsys)
    (one,) = read("out.xyz", index=":", format="extxyz")
    assert one.info["name"] == "m1" and one.info["price"] == 3 and len(one) == 5


def test_predict_says_what_it_cannot(models):
    model = force2geo.load(models / "m.pt")
    for atoms, said in (
        (Atoms("HBr", [[0, 0, 0], [0, 0, 1.4]]), "never seen Br"),
        (Atoms("H2", [[0, 0, 0], [0, 0, np.nan]]), "finite"),
        (Atoms("H2", [[0, 0, 0], [0, 0, 0]]), "one point"),
        (Atoms(), "no atoms"),
    ):
        with pytest.raises(UserError, match=said):
            model.predict([atoms])
    assert model.predict([]) == []


def test_columns_of_atoms_survive(here, capsys):
    text = extended(
        "Properties=species:S:1:pos:R:3:partial:R:1:move_mask:L:1 energy=-3.5",
        "O 0 0 0.1 -0.8 F\nH 0 0.8 -0.5 0.4 T\nH 0 -0.8 -0.5 0.4 T\n",
    )
    (here / "a.xyz").write_text(text)
    assert call(TO_XYZ.format("a.xyz"), capsys)[0] == 0
    (frame,) = read("out.xyz", index=":", format="extxyz")
    assert frame.arrays["partial"].tolist() == [-0.8, 0.4, 0.4]
    assert frame.constraints[0].index.tolist() == [0]
    assert frame.calc.results == {"energy": -3.5}
    assert call("relax a.xyz out.sdf --model m.pt --steps 2", capsys)[0] == 0
    (molecule,) = Chem.SDMolSupplier("out.sdf", sanitize=False, removeHs=False)
    assert json.loads(molecule.GetProp("partial")) == [-0.8, 0.4, 0.4]
    assert json.loads(molecule.GetProp("move_mask")) == [[False] * 3, [True] * 3, [True] * 3]
    assert float(molecule.GetProp("energy")) == -3.5
