"""Charge, spin and failures on their way: files, batch, calculators, models, result."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from ase.calculators.emt import EMT
from ase.io import read
from rdkit import Chem
from tblite.ase import TBLite
from test_relaxation import fresh, springs
from test_structures import relaxed
from toy_calculators import HasParameters, ReadsInfo, Springs

from force2geo.cli import main
from force2geo.potentials.checkpoint import save
from force2geo.potentials.models import Potential
from force2geo.relax.batched import FIRST, SameFailureError, relax_runs
from force2geo.relax.evaluators import of_calculator, state_by_options
from force2geo.relax.result import read_relaxed
from force2geo.training_data.conformers import Conformers, write_conformers
from structures_of import read_structures

TBLITE = ["--calculator", "tblite.ase:TBLite", "--options"]
GFN2 = '{"method": "GFN2-xTB", "verbosity": 0}'
LINE = np.array([[0.0, 0, 0], [1.4, 0, 0], [0, 1.4, 0]])


def three(states):
    """Molecules of two, three, four … oxygen atoms in states (charge, multiplicity)."""
    sizes = range(2, 2 + len(states))
    rng = np.random.default_rng(6)
    runs = fresh([np.full(n, 8) for n in sizes], [2 * rng.normal(size=(n, 3)) for n in sizes])
    for run, state in zip(runs, states, strict=True):
        run.charge, run.multiplicity = state
    return runs


@pytest.mark.parametrize(
    ("file", "text", "states"),
    [
        ("a.smi", "C[NH3+]\n[OH-]\n[CH3]\n[O][O]\nO=O\nCC(=O)[O-]\n[Na+].[Cl-]\nC[N+](=O)[O-]\n",
         [(1, 1), (-1, 1), (0, 2), (0, 3), (0, 1), (-1, 1), (0, 1), (0, 1)]),
        ("a.csv", "smiles,charge,multiplicity\nO=O,0,3\nO=O,0,\n[O-],-1,2\n",
         [(0, 3), (0, 1), (-1, 2)]),
        ("a.xyz", "1\ncharge=-1\nCl 0 0 0\n1\nspin=3\nO 0 0 0\n1\nCl\nCl 0 0 0\n"
                  "1\ncharge=1 multiplicity=4\nO 0 0 0\n",
         [(-1, 1), (0, 3), (0, 2), (1, 4)]),
    ],
)  # fmt: skip
def test_states_of_files(tmp_path, file, text, states):
    (tmp_path / file).write_text(text)
    structures, lost = read_structures(tmp_path / file)
    assert not lost and [(s.charge, s.multiplicity) for s in structures] == states


def test_states_go_from_list_to_sdf_to_xyz_and_back(tmp_path):
    (tmp_path / "a.smi").write_text("C[NH3+]\n[OH]\n[O][O]\nC\n")
    calculator = ["--calculator", "toy_calculators:ReadsInfo", "--steps", "1"]
    states = [(1, 1), (0, 2), (0, 3), (0, 1)]
    for source, target in (("a.smi", "b.sdf"), ("b.sdf", "c.xyz"), ("c.xyz", "d.sdf")):
        paths = tmp_path / f"{source}.h5"
        command = ["relax", str(tmp_path / source), str(tmp_path / target), *calculator]
        assert main([*command, "--paths", str(paths)]) == 0
        structures, lost = read_structures(tmp_path / target)
        assert not lost and [(s.charge, s.multiplicity) for s in structures] == states
        found = read_relaxed(paths)
        assert list(zip(found.charge.tolist(), found.multiplicity.tolist(), strict=True)) == states
        with h5py.File(paths) as file:
            assert file["name"][0] == b"C[NH3+]"


def test_the_batch_holds_states_and_none_where_all_are_neutral():
    seen = []

    def evaluate(batch):
        charges = None if batch.charge is None else batch.charge.tolist()
        spins = None if batch.multiplicity is None else batch.multiplicity.tolist()
        seen.append((batch.atoms_per_molecule.tolist(), charges, spins))
        return springs(batch)

    # Neither charges nor spins rise or fall with size, and the molecules leave one by one.
    by_size = {2: (1, 2), 3: (-2, 4), 4: (2, 1), 5: (0, 3)}
    relax_runs(three(list(by_size.values())), evaluate, 0.01, 40)
    assert len({tuple(atoms) for atoms, _, _ in seen}) > 2
    for atoms, charges, spins in seen:
        assert list(zip(charges, spins, strict=True)) == [by_size[n] for n in atoms]
    seen.clear()
    relax_runs(three([(0, 1), (0, 1)]), evaluate, 10.0, 0)
    ((_, *neutral),) = seen
    assert neutral == [None, None]


def test_calculators_get_the_state_by_parameters_or_by_the_atoms():
    calculator = HasParameters()
    runs = three([(1, 2), (0, 1), (-2, 3), (0, 1)])
    relax_runs(runs, of_calculator(calculator), 1e-9, 2, batch_atoms=1)
    by_size = {2: (1, 2), 3: (0, 1), 4: (-2, 3), 5: (0, 1)}
    assert {n: (charge, spin) for n, charge, spin in calculator.seen} == by_size
    assert {one[0] for one in calculator.seen} == set(by_size)

    states = [(1, 2), (0, 1), (-2, 3)]
    runs, neutral = three(states), three([(0, 1)] * 3)
    for these in (runs, neutral):
        called = of_calculator(ReadsInfo())
        relax_runs(these, called, 1e-9, 2, refuse=called.refusal)
    for one, other, (charge, spin) in zip(runs, neutral, states, strict=True):
        assert one.energies[0] - other.energies[0] == pytest.approx(10 * charge + spin - 1)


def test_a_calculator_that_takes_no_charge_refuses_by_name():
    for calculator, name in ((EMT(), "EMT"), (Springs(), "Springs")):
        called = of_calculator(calculator)
        runs = three([(1, 2), (0, 1), (0, 3)])
        relax_runs(runs, called, 0.5, 1, refuse=called.refusal)
        assert runs[0].status == runs[2].status == "refused"
        assert runs[0].reason == f"{name} takes no charge (here +1)"
        assert runs[2].reason == f"{name} takes no multiplicity (here 3)"
        assert runs[1].status != "refused"


def test_gfn2_is_asked_for_the_ion_and_the_triplet(tmp_path):
    (tmp_path / "a.smi").write_text("[NH4+]\nO\n[O][O]\nO=O\n")
    command = ["relax", str(tmp_path / "a.smi"), str(tmp_path / "b.xyz"), *TBLITE, GFN2]
    assert main(command) == 0
    found = read(tmp_path / "b.xyz", index=":", format="extxyz")
    for atoms, (charge, multiplicity) in zip(found, [(1, 1), (0, 1), (0, 3), (0, 1)], strict=True):
        energy = atoms.info["relaxed_energy"]
        assert atoms.info["status"] == "converged"
        atoms.calc = TBLite(
            method="GFN2-xTB", verbosity=0, charge=charge, multiplicity=multiplicity
        )
        assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-4)
    assert abs(found[2].info["relaxed_energy"] - found[3].info["relaxed_energy"]) > 0.01


def test_options_may_name_the_charge_of_all(tmp_path):
    oh = np.array([8, 1])
    for given, own, wanted in (
        ({"charge": -1}, (0, 2), (-1, 1, "")), ({"charge": -1}, (-1, 1), (-1, 1, "")),
        ({}, (-1, 1), (-1, 1, "")), ({"charge": None}, (-1, 1), (-1, 1, "")),
        ({"multiplicity": 4}, (0, 2), (0, 4, "")), ({"charge": 1, "mult": 3}, (0, 2), (1, 3, "")),
    ):  # fmt: skip
        assert state_by_options(given, oh, *own) == wanted
    assert "options say +1" in state_by_options({"charge": 1}, oh, -1, 1)[2]
    assert "options say 2" in state_by_options({"multiplicity": 2}, oh, 0, 4)[2]
    (tmp_path / "a.xyz").write_text(
        "2\nhydroxide\nO 0 0 0\nH 0 0 1\n2\ncharge=1\nO 0 0 0\nH 0 0 1\n"
    )
    options = json.dumps({**json.loads(GFN2), "charge": -1})
    command = ["relax", str(tmp_path / "a.xyz"), str(tmp_path / "b.xyz"), *TBLITE, options]
    assert main(command) == 1
    one, two = read(tmp_path / "b.xyz", index=":", format="extxyz")
    assert one.info["status"] == "converged" and one.info["charge"] == -1
    assert two.info["status"] == "refused: charge +1, but the options say -1"


def test_the_sets_start_at_the_hf_geometry_and_keep_their_state(tmp_path, capsys):
    torch.manual_seed(3)
    network = Potential(
        {"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}
    )
    network.config["elements"] = [1, 8]
    save(network, tmp_path / "m.pt", {})
    rng = np.random.default_rng(2)
    numbers = np.array([8, 1, 1, 8, 1, 8, 1, 1])
    geometry = {name: rng.normal(size=(8, 3)) for name in ("dft", "hf", "rdkit")}
    conformers = Conformers(
        ["000000001", "000000002", "000000003"], np.array([0, 3, 5, 8]), numbers, {},
        geometry, np.array([0, -1, 0]), np.array([1, 1, 1]),
    )  # fmt: skip
    write_conformers(tmp_path / "c.h5", conformers)
    record = {
        "data": "downstream", "molecules": "d_opt", "start": "hf",
        "potential": {"training": "pretrain"},
        "force_threshold": 1e-9, "max_steps": 2, "optimizer": "bfgs",
    }  # fmt: skip
    (tmp_path / "s.json").write_text(json.dumps(record))
    (tmp_path / "sel.json").write_text(json.dumps({"d_opt": ["000000003", "000000002"]}))
    files = ["--settings", tmp_path / "s.json", "--conformers", tmp_path / "c.h5"]
    files += ["--selection", tmp_path / "sel.json"]
    files += ["--model", tmp_path / "m.pt", "--out", tmp_path / "o.h5"]
    # Of the workflow's sets a molecule that fails is a result, for evaluation to count.
    assert main(["relax", *map(str, files)]) == 0
    found = read_relaxed(tmp_path / "o.h5")
    assert found.cids == ["000000003", "000000002"]
    np.testing.assert_array_equal(found.frames[0][0], geometry["hf"][5:8])
    np.testing.assert_array_equal(found.frames[1][0], geometry["hf"][3:5])
    assert found.status[1] == "refused" and found.charge.tolist() == [0, -1]
    assert "never seen charge -1" in capsys.readouterr().err
    (tmp_path / "sel.json").write_text(json.dumps({"d_opt": ["000000009"]}))
    assert main(["relax", *map(str, files)]) == 2
    assert "it lacks CID 000000009" in capsys.readouterr().err


def test_the_first_that_all_fail_alike_end_the_run(tmp_path, capsys):
    command = ["--calculator", "toy_calculators:Broken", "--options"]
    (tmp_path / "a.smi").write_text("C\nO\nN\n" * 9)
    files = [str(tmp_path / "a.smi"), str(tmp_path / "b.xyz")]
    assert main(["relax", *files, *command, "{}"]) == 2
    err = capsys.readouterr().err
    assert f"the first {FIRST} molecules all failed in the same way" in err
    assert "RuntimeError: licence server 10.0.0." in err and "does not answer" in err
    assert [path.name for path in tmp_path.iterdir()] == ["a.smi"]
    # One that does not fail, and the others are that molecule's failures.
    assert main(["relax", *files, *command, '{"size": 3}']) == 1
    capsys.readouterr()
    frames = read(tmp_path / "b.xyz", index=":", format="extxyz")
    assert [f.info["status"].partition(":")[0] for f in frames] == (
        ["exploded", "converged", "exploded"] * 9
    )
    assert (
        frames[0].info["status"]
        == "exploded: RuntimeError: licence server 10.0.0.5 does not answer"
    )
    # Fewer: all are written, and the reason is said.
    (tmp_path / "a.smi").write_text("C\nO\n")
    assert main(["relax", *files, *command, "{}"]) == 2
    assert "1 of 2 failed: RuntimeError: licence server" in capsys.readouterr().err
    assert len(read(tmp_path / "b.xyz", index=":", format="extxyz")) == 2


def test_what_moves_or_differs_does_not_end_the_run():
    runs = fresh([np.array([6, 6])] * 30, [np.array([[0.0, 0, 0], [1.4, 0, 0]])] * 30)

    sizes = []

    def evaluate(batch):
        energies, forces = springs(batch)
        energies[: 0 if sizes else 15] = torch.nan
        sizes.append(batch.size)
        return energies, forces

    # Half of the first batch explodes, and the other half moves.
    relax_runs(runs, evaluate, 0.01, 2, batch_atoms=58)
    assert sum(run.status == "exploded" for run in runs) == 15
    texts = iter(f"reason {'ab'[k % 2]}" for k in range(99))

    def nothing(batch):
        energies, forces = springs(batch)
        return energies * torch.nan, forces, [next(texts) for _ in range(batch.size)]

    runs = fresh([np.array([6, 6])] * 30, [np.array([[0.0, 0, 0], [1.4, 0, 0]])] * 30)
    relax_runs(runs, nothing, batch_atoms=2)
    assert [run.reason for run in runs[:2]] in (["reason a", "reason b"], ["reason b", "reason a"])
    runs = fresh([np.array([6, 6])] * 30, [np.array([[0.0, 0, 0], [1.4, 0, 0]])] * 30)
    with pytest.raises(SameFailureError, match="first 10 "):
        relax_runs(runs, lambda batch: (*springs(batch)[:1], springs(batch)[1] * torch.nan),
                   batch_atoms=2)  # fmt: skip
    # Molecules that are refused one after the other say nothing of the next.
    relax_runs(runs[15:], springs, 0.01, 1, refuse=lambda run: "no" if run.place < 28 else "")
    assert runs[29].status == "step limit"


def test_salts_fragments_do_not_touch_and_sdf_has_no_false_parities(tmp_path):
    (tmp_path / "a.smi").write_text("CCO.CCO.O salt\nCC(C)C\nC[C@H](F)O\n")
    structures, _ = read_structures(tmp_path / "a.smi")
    owner = np.zeros(len(structures[0].numbers), int)
    for k, own in enumerate(Chem.GetMolFrags(structures[0].kept)):
        owner[list(own)] = k
    x = structures[0].positions
    apart = np.linalg.norm(x[:, None] - x, axis=2)[owner[:, None] != owner]
    assert len(set(owner)) == 3 and 2.5 < apart.min() < 4.0
    command = ["--calculator", "toy_calculators:Springs", "--steps", "0"]
    main(["relax", str(tmp_path / "a.smi"), str(tmp_path / "b.sdf"), *command])
    main(["relax", str(tmp_path / "b.sdf"), str(tmp_path / "c.sdf"), *command])
    for record in (tmp_path / "c.sdf").read_text().split("$$$$\n")[:2]:
        lines = record.splitlines()
        atoms, bonds = int(lines[3][:3]), int(lines[3][3:6])
        assert {line[39:42] for line in lines[4 : 4 + atoms]} == {"  0"}
        assert {line[9:12] for line in lines[4 + atoms : 4 + atoms + bonds]} == {"  0"}
    last = list(Chem.SDMolSupplier(str(tmp_path / "c.sdf")))[2]
    Chem.AssignStereochemistryFrom3D(last)
    assert Chem.MolToSmiles(last) == Chem.CanonSmiles("C[C@H](F)O")


def test_fixed_atoms_of_a_file_stay(tmp_path):
    (tmp_path / "a.xyz").write_text(
        "3\nProperties=species:S:1:pos:R:3:move_mask:L:1 name=held\n"
        "C 0 0 0 F\nC 1.4 0 0 T\nC 0 1.4 0 F\n3\nfree\nC 0 0 0\nC 1.4 0 0\nC 0 1.4 0\n"
    )
    command = ["relax", str(tmp_path / "a.xyz"), str(tmp_path / "b.xyz"), "--fmax", "1e-4"]
    assert main([*command, "--calculator", "toy_calculators:Springs"]) == 0
    held, free = read(tmp_path / "b.xyz", index=":", format="extxyz")
    np.testing.assert_array_equal(held.positions[[0, 2]], LINE[[0, 2]])
    # The atom between two that stay is at 1.5 Å from both; the free ones from one another.
    np.testing.assert_allclose(held.get_distances(1, [0, 2]), 1.5, atol=1e-4)
    np.testing.assert_allclose(free.get_all_distances()[np.triu_indices(3, 1)], 1.5, atol=1e-4)
    assert np.abs(free.positions[[0, 2]] - LINE[[0, 2]]).max() > 0.01
    assert held.constraints[0].index.tolist() == [0, 2]


def test_another_input_leaves_unfinished_work_alone(tmp_path, capsys, monkeypatch):
    (tmp_path / "a.smi").write_text("CCO\nC\n")
    (tmp_path / "b.smi").write_text("CO\n")
    command = ["--calculator", "toy_calculators:Springs", "--steps", "2"]

    def run(name):
        return main(["relax", str(tmp_path / name), str(tmp_path / "o.xyz"), *command])

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("force2geo.relax.journal.Journal.results", killed)
        assert run("a.smi") == 130
    (begun,) = (tmp_path / ".o.xyz.unfinished").iterdir()
    capsys.readouterr()
    assert run("b.smi") == 0
    assert f"{begun}: unfinished work of another call" in capsys.readouterr().err
    assert run("a.smi") == 0
    assert "going on: 2 of 2 were finished" in capsys.readouterr().err
    assert not (tmp_path / ".o.xyz.unfinished").exists()


@pytest.mark.parametrize("kind", ["calculator", "model"])
def test_ctrl_c_is_one_line_and_the_same_call_goes_on(tmp_path, kind):
    (tmp_path / "a.smi").write_text("CCO\nCO\nC\nCC\n" * 2)
    torch.manual_seed(3)
    save(Potential({"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}),
         tmp_path / "m.pt", {})  # fmt: skip
    what = {"calculator": ["--calculator", "toy_calculators:Slow"], "model": ["--model", "m.pt"]}
    arguments = ["relax", "a.smi", "b.xyz", *what[kind]]
    code = (
        "import sys\nfrom pathlib import Path\nfrom force2geo.cli import main\n"
        "from force2geo.relax.journal import Journal\nmoving = Journal.moving\n"
        "def told(self, runs):\n    Path('at-work').touch()\n    moving(self, runs)\n"
        "Journal.moving = told\n"
        "from force2geo.relax.relaxation import Relaxation\n"
        f"Relaxation.judge = lambda *_: False\nsys.exit(main({arguments!r}))\n"
    )
    path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "at-work").exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and err.count("\n") == 1
    assert err.startswith("force2geo relax: interrupted: 0 of 8 molecules have finished; the same")
    (begun,) = (tmp_path / ".b.xyz.unfinished").iterdir()
    with h5py.File(begun / "moving.h5") as file:
        assert len(file["cid"]) >= 1


def test_a_line_a_minute_where_no_terminal_is(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("force2geo.progress._SECONDS", 0.0)
    (tmp_path / "a.smi").write_text("CO\nC\n")
    command = ["relax", str(tmp_path / "a.smi"), str(tmp_path / "b.xyz"), "--steps", "3"]
    assert main([*command, "--calculator", "toy_calculators:Springs"]) == 0
    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if "a minute" in line]
    assert lines[0].startswith("0 of 2 molecules") and "1 move, the farthest at step 0" in lines[0]
    assert lines[-1].startswith("2 of 2 molecules") and "a minute" not in shown.out


@pytest.mark.parametrize("threads", [1, 3])
def test_many_small_molecules_share_the_cores(tmp_path, monkeypatch, threads):
    import force2geo.relax.batched as batched

    asked = []
    whole = batched.relax_runs
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(
        batched,
        "relax_runs",
        lambda *a, **k: (asked.append(k["threads"]), whole(*a, **k | {"threads": 1})),
    )
    torch.manual_seed(3)
    save(Potential({"name": "painn", "layers": 1, "features": 8, "basis_size": 8, "cutoff": 4.5}),
         tmp_path / "m.pt", {})  # fmt: skip
    (tmp_path / "a.smi").write_text("C\n" * 5)
    assert relaxed(tmp_path / "m.pt", tmp_path / "a.smi", tmp_path / "b.xyz") == 0
    assert asked == [threads]
