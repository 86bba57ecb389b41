"""`force2geo relax --finish dft` with PySCF: what is written, taken up again and exported."""

import csv
import json

import numpy as np
import pytest
import torch
from rdkit import Chem

from force2geo.cli import main
from force2geo.dft import gradients as module
from force2geo.dft import pool
from force2geo.dft.gradients import Gradient, Task, compute
from force2geo.dft.hessian import slope_and_hessian
from force2geo.dft.level import Level, build_mean_field
from force2geo.dft.points import Molecule, read_points
from force2geo.errors import UserError
from force2geo.interchange.protocol import read_protocol
from force2geo.units import GRADIENT_TO_FORCE, HARTREE_TO_EV

STO = {"method": "hf", "basis": "sto-3g", "density_fit": False}
XTB = ["--calculator", "tblite.ase:TBLite", "--options", '{"method": "GFN2-xTB", "verbosity": 0}']
# HF/STO-3G water (CCCBDB): 0.9894 Å, 100.03 degrees, -74.965901 Hartree.
BOND, ANGLE, ENERGY = 0.9894, 100.03, -74.965901


@pytest.fixture
def here(monkeypatch):
    """Work is done in this process; returns the tasks asked for."""
    asked = []

    def run(function, tasks, workers, seconds=None, megabytes=None):
        for place, task in enumerate(tasks):
            asked.append(task)
            try:
                yield place, function(task), ""
            except MemoryError:
                yield place, None, "no memory"

    monkeypatch.setattr(pool, "run_limited", run)
    return asked


def call(folder, *more, smiles="O water\n"):
    source, target = folder / "in.smi", folder / "out.sdf"
    source.write_text(smiles)
    level = ["--finish", "dft", "--dft-level", json.dumps(STO)]
    return main(["relax", str(source), str(target), *XTB, *level, *more])


def written(folder):
    return list(Chem.SDMolSupplier(str(folder / "out.sdf"), removeHs=False))


def test_water_is_hartree_fock_s(tmp_path, here):
    assert call(tmp_path, "--finish-fmax", "0.005", smiles="O water\nCO methanol\n") == 0
    water, methanol = written(tmp_path)
    x = water.GetConformer().GetPositions()
    arms = x[1:] - x[0]
    lengths = np.linalg.norm(arms, axis=1)
    assert lengths == pytest.approx([BOND, BOND], abs=1e-3)
    cosine = arms[0] @ arms[1] / lengths.prod()
    assert np.degrees(np.arccos(cosine)) == pytest.approx(ANGLE, abs=0.3)
    assert float(water.GetProp("dft_energy")) == pytest.approx(ENERGY * HARTREE_TO_EV, abs=1e-3)
    counts = [int(one.GetProp("dft_gradients")) for one in (water, methanol)]
    assert sum(counts) == len(here) and max(counts) <= 7
    for one in (water, methanol):
        assert one.GetProp("finish_status") == "minimum"
        assert float(one.GetProp("dft_max_force")) < 0.005
        assert float(one.GetProp("lowest_curvature")) > 0.1
    with (tmp_path / "out.finish.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert [row["name"] for row in rows] == ["water", "methanol"]
    assert [int(row["dft_gradients"]) for row in rows] == counts
    # Every gradient is a labelled point: PySCF, asked anew, says the same of one.
    points = tmp_path / "out.sdf.points"
    with np.load(points / rows[1]["points"]) as data:
        assert data["extra_origin"].tolist() == [
            "relaxed", *(f"finish_{k}" for k in range(1, counts[1]))
        ]  # fmt: skip
        assert (data["smiles"], data["cid"]) == ("CO", "900000002")
        assert json.loads(str(data["info"]))["level"] == Level(**STO).as_dict()
        field = build_mean_field(data["z"], data["extra_pos"][1], Level(**STO))
        assert float(field.kernel()) == pytest.approx(data["extra_energy"][1], abs=1e-7)
        gradient = field.nuc_grad_method().kernel()
        assert data["extra_grad"][1] == pytest.approx(gradient, abs=1e-5)
    with (points / "molecules.csv").open() as handle:
        listed = {row["cid"]: row["smiles"] for row in csv.DictReader(handle)}
    assert listed == {"900000001": "O", "900000002": "CO"}
    # Called again, nothing is computed; what the first call said goes, and is no input's.
    before = len(here)
    assert call(tmp_path, "--finish-fmax", "0.005", smiles="O water\nCO methanol\n") == 0
    assert len(here) == before
    again = main(["relax", str(tmp_path / "out.sdf"), str(tmp_path / "plain.sdf"), *XTB])
    (plain, _) = Chem.SDMolSupplier(str(tmp_path / "plain.sdf"), removeHs=False)
    assert again == 0 and "dft_energy" not in plain.GetPropNames()
    assert "input_dft_energy" not in plain.GetPropNames()


def test_points_at_another_level_are_not_exported_as_b3lyp(tmp_path):
    start = np.array([[0.0, 0, 0], [0, 0, 0.74]])
    molecule = Molecule(np.array([1, 1]), start, cid="000000783", smiles="[H][H]")

    def file(level):
        from force2geo.dft.points import Points

        path = tmp_path / "points.npz"
        points = Points(path, start, np.eye(6), [start, 1.1 * start], [-1.0, -1.1], [start, -start])
        points.write(molecule, level, {})
        return path

    stage = read_protocol(file(Level()), "000000783").stages["dft_points"]
    assert stage.origin == ["relaxed", "finish_1"] and stage.energies.tolist() == [-1.0, -1.1]
    assert stage.positions[1] == pytest.approx(1.1 * start)
    for other in (Level(**STO), Level(cartesian=False)):
        with pytest.raises(UserError, match=r"points\.npz: points at another level"):
            read_protocol(file(other), "000000783")


def test_an_interrupted_call_goes_on(tmp_path, here, monkeypatch, capsys):
    real, stop = module.compute, [2]

    def twice(task):
        if not stop[0]:
            raise KeyboardInterrupt
        stop[0] -= 1
        return real(task)

    monkeypatch.setattr(module, "compute", twice)
    assert call(tmp_path) == 130 and "goes on from here" in capsys.readouterr().err
    assert not (tmp_path / "out.sdf").exists()
    monkeypatch.setattr(module, "compute", real)
    here.clear()
    assert call(tmp_path) == 0
    (water,) = written(tmp_path)
    assert int(water.GetProp("dft_gradients")) == len(here) + 2 > 2
    (file,) = (tmp_path / "out.sdf.points").glob("*.npz")
    assert read_points(file).count == len(here) + 2


def test_the_limit_and_what_is_no_start(tmp_path, here):
    assert call(tmp_path, "--finish-gradients", "2") == 1
    (water,) = written(tmp_path)
    assert water.GetProp("finish_status") == "gradient limit" and len(here) == 2
    here.clear()
    assert call(tmp_path, "--finish-gradients", "2", "--steps", "0", smiles="[H][H] h\n") == 1
    assert len(here) == 2  # one that met the limit of steps is a start
    from force2geo.dft.finished_file import why_not
    from force2geo.relax.relaxation import Relaxation

    torn = Relaxation(np.array([1]), np.zeros((1, 3)), status="exploded", reason="a force")
    assert why_not(torn) == "the relaxation ended as exploded (a force)"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--finish-fmax", "0"], "--finish-fmax 0: give a force above 0"),
        (["--finish-gradients", "0"], "--finish-gradients 0: give a number above 0"),
        (["--dft-level", '{"functional": "pbe"}'], "no 'functional', only method"),
        (["--dft-level", '{"cartesian": "no"}'], "'cartesian' is 'no', give a bool"),
        (["--dft-level", "pbe"], "--dft-level: not JSON"),
        (["--dft-level", '{"method": "nonsense"}'], "none of 1 molecules could be computed"),
    ],
)
def test_mistakes_are_one_line(tmp_path, here, capsys, more, message):
    assert call(tmp_path, *more) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("force2geo relax: ") and message in said


def test_a_gradient_starts_from_the_density_before_and_knows_the_state(here):
    numbers, x = np.array([8, 1]), np.array([[0.0, 0, 0], [0, 0, 1.0]])
    task = Task(numbers, x, Level(**STO), -1, 1)
    first = compute(task)
    assert first.error == "" and first.density.shape == (6, 6)
    # OH-: 10 electrons; the overlap's trace with the density counts them.
    overlap = build_mean_field(numbers, x, task.level, -1).mol.intor("int1e_ovlp")
    assert np.trace(first.density @ overlap) == pytest.approx(10, abs=1e-6)
    again = compute(Task(numbers, x, task.level, -1, 1, first.density))
    assert again.energy == pytest.approx(first.energy, abs=1e-8)
    step = 1e-3
    ends = [
        compute(Task(numbers, x + np.array([[0, 0, 0], [0, 0, s]]), task.level, -1, 1)).energy
        for s in (step, -step)
    ]
    slope = (ends[0] - ends[1]) / (2 * step) * HARTREE_TO_EV
    assert -first.gradient[1, 2] * GRADIENT_TO_FORCE == pytest.approx(slope, abs=1e-4)
    assert compute(Task(numbers, 0 * x, task.level)).outcome == "failed"


def test_what_is_not_computed_is_tried_again_with_more(here, monkeypatch):
    tried, limits = [], []
    inner = pool.run_limited

    def run(function, tasks, workers, seconds=None, megabytes=None):
        if tasks:
            limits.append((workers, seconds, megabytes))
        yield from inner(function, tasks, workers)

    def heavy(task):
        tried.append(int(task.charge))
        if task.charge == 1 and tried.count(1) == 1:
            raise MemoryError
        if task.charge == 2:
            raise MemoryError
        return Gradient(float(task.charge), np.zeros((1, 3)))

    monkeypatch.setattr(pool, "run_limited", run)
    monkeypatch.setattr(module, "compute", heavy)
    tasks = [Task(np.array([3]), np.zeros((1, 3)), Level(), charge) for charge in (0, 1, 2)]
    found = dict(module.gradients(tasks, 4, 10.0, 100.0))
    assert limits == [(4, 10.0, 100.0), (2, 20.0, 200.0)] and tried == [0, 1, 2, 1, 2]
    assert [found[k].outcome for k in range(3)] == ["computed", "computed", "not computed"]
    assert found[1].energy == 1.0 and found[2].error == "no memory"


def test_a_hessian_is_the_springs_however_many_at_once():
    """Two atoms, 10 eV/Å² about 1.5 Å; stretched by 0.1 Å they resist a turn, too."""

    def evaluate(batch):
        x = batch.positions.reshape(-1, 2, 3)
        along = x[:, 1] - x[:, 0]
        length = along.norm(dim=1, keepdim=True)
        pull = 10 * (length - 1.5) * along / length
        return 5 * (length[:, 0] - 1.5) ** 2, torch.stack([pull, -pull], 1).reshape(-1, 3)

    molecule = Molecule(np.array([6, 6]), np.array([[0.0, 0, 0], [0, 0, 1.6]]))
    for atoms in (4096, 1):
        slope, hessian = slope_and_hessian(molecule, evaluate, batch_atoms=atoms)
        assert slope[1] == pytest.approx([0, 0, 1.0]) and slope[0] == pytest.approx([0, 0, -1.0])
        block = np.diag([1.0 / 1.6, 1.0 / 1.6, 10.0])
        assert hessian == pytest.approx(np.block([[block, -block], [-block, block]]), abs=1e-4)
