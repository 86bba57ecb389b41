"""The open protocol on small molecules, and the audit of what is in a store."""

import itertools
import json
import lzma
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from force2geo.calculators import mopac
from force2geo.cli import main
from force2geo.curation.levels import align, fit_levels, mixed_levels
from force2geo.dft import generate as protocol
from force2geo.dft import starts
from force2geo.dft.audit import check_energy
from force2geo.dft.generate import Report, Settings, folder_name, generate, generate_all
from force2geo.errors import UserError
from force2geo.logs import parse_log, read_log
from force2geo.logs.mopac import STEP
from force2geo.molecules import Molecule, read_molecules
from force2geo.store.lmdb_store import StoreWriter
from force2geo.trajectory import Stage, Trajectory
from force2geo.units import HARTREE_TO_EV

STAGES = ("pm3", "hf", "dft_1st")


@pytest.fixture
def water(tmp_path):
    (tmp_path / "mine.csv").write_text("cid,inchi\n962,InChI=1S/H2O/h1H2\n")
    return read_molecules(tmp_path / "mine.csv")[0]


@pytest.mark.parametrize("mopac", [True, False])
def test_each_stage_starts_where_the_last_one_ended(tmp_path, water, monkeypatch, mopac):
    program = protocol.find_mopac() if mopac else None
    if mopac and program is None:
        pytest.skip("MOPAC is not installed")
    monkeypatch.setattr(protocol, "find_mopac", lambda: program)
    report = generate(water, tmp_path / "out", Settings())
    assert report.error == "" and [s.stage for s in report.stages] == list(STAGES)
    home = tmp_path / "out" / folder_name(Settings()) / "000000962"
    logs = [read_log(home / f"000000962.{stage}.log") for stage in STAGES]
    assert [log.method for log in logs] == ["pm3" if mopac else "gfn2-xtb", "hf", "b3lyp"]
    assert logs[2].functional == "b3lyp(vwn5)" and logs[2].spherical is False
    for log in logs:
        assert log.converged and log.finished and np.isfinite(log.gradients).all()
    for before, after in itertools.pairwise(logs):
        np.testing.assert_allclose(after.positions[0], before.positions[-1], atol=1e-7)
        # Both relaxed: the gradient of the last step is small, that of the next level is not.
    assert np.abs(logs[2].gradients[-1]).max() < 5e-4 < np.abs(logs[2].gradients[0]).max()
    assert abs(logs[0].gradients[-1]).max() < 0.05 / 27.2 * 0.53 * 1.01
    assert logs[2].energies[-1] == pytest.approx(-76.3718, abs=2e-3)
    assert np.linalg.norm(logs[2].dipole) == pytest.approx(2.1, abs=0.2)


def test_a_stage_that_fails_ends_its_molecule_and_no_other(tmp_path, water, monkeypatch):
    def explode(*_):
        raise ArithmeticError("the SCF\n  exploded")

    monkeypatch.setattr(protocol, "_relax_with_pyscf", explode)
    report = generate(water, tmp_path, Settings())
    assert report.error == "hf: ArithmeticError: the SCF exploded"
    home = tmp_path / folder_name(Settings()) / "000000962"
    assert json.loads((home / "000000962.json").read_text())["error"]
    assert (home / "000000962.pm3.log").exists() and not (home / "000000962.hf.log").exists()


def logs_below(folder):
    """Return `{path: time of its last change}` of all logs, those put aside too."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.log")}


@pytest.fixture
def only_first_stage(monkeypatch):
    """Hartree-Fock and DFT fail at once."""
    monkeypatch.setattr(protocol, "_relax_with_pyscf", lambda *_: 1 / 0)


def test_no_other_settings_cost_a_computed_log(tmp_path, water, only_first_stage):
    generate(water, tmp_path, Settings())
    before = logs_below(tmp_path)
    assert [path.name for path in before] == ["000000962.pm3.log"]
    # A tighter threshold is another relaxation, in a folder of its own.
    generate(water, tmp_path, Settings(force_threshold=0.01))
    assert len(logs_below(tmp_path)) == 2 and before.items() <= logs_below(tmp_path).items()
    # One that ended is the same under any limit of steps.
    for max_steps in (500, 3):
        generate(water, tmp_path, Settings(max_steps=max_steps))
        assert len(logs_below(tmp_path)) == 2 and before.items() <= logs_below(tmp_path).items()


def test_a_relaxation_cut_by_its_limit_is_made_again_under_a_higher_one(
    tmp_path, water, only_first_stage
):
    log = tmp_path / folder_name(Settings()) / "000000962/000000962.pm3.log"
    times, steps = [], []
    for max_steps in (1, 1, 2, 1, 200):
        report = generate(water, tmp_path, Settings(max_steps=max_steps))
        times.append(log.stat().st_mtime_ns)
        steps.append(len(read_log(log).energies))
        assert ("not converged" in report.error) == (max_steps < 200)
        first = report.stages[0]
        assert first.steps == steps[-1] and first.converged == (max_steps == 200)
    assert times[0] == times[1] < times[2] == times[3] < times[4]
    assert steps[:4] == [2, 2, 3, 3] and steps[4] > 3
    # The cut ones are put aside, not removed.
    aside = sorted(path for path in logs_below(tmp_path) if path != log)
    assert [len(read_log(path).energies) for path in aside] == [2, 3]


def test_another_molecule_under_a_cid_takes_no_log_and_costs_none(
    tmp_path, water, only_first_stage
):
    home = tmp_path / folder_name(Settings()) / water.cid
    log = home / f"{water.cid}.pm3.log"
    generate(water, tmp_path, Settings())
    before = log.read_bytes(), log.stat().st_mtime_ns
    generate(replace(water, inchi="InChI=1S/H3N/h1H3"), tmp_path, Settings())
    assert len(read_log(log).atomic_numbers) == 4
    # The first one comes back, and is not computed again.
    generate(water, tmp_path, Settings())
    assert (log.read_bytes(), log.stat().st_mtime_ns) == before
    assert len(logs_below(tmp_path)) == 2


def test_lists_of_molecules(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("cid,smiles\n5,C\n,O\n")
    assert [m.cid for m in read_molecules(path)] == ["000000005", WATER]
    for text, message in (
        ("name\nx\n", "needs a column"), ("smiles\n\nC\n\"\"\n", "neither"),
        ("cid,smiles\n5,C\n5,O\n", "twice"), ("cid,smiles\nx,C\n", "not a CID"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            read_molecules(path)


# 500000000 + the first 8 bytes of SHA-256 of XLYOFNOQVPJJNP-UHFFFAOYSA-N, modulo 490000000.
WATER = "911307401"


def test_a_molecule_s_number_does_not_depend_on_the_list(tmp_path):
    def numbers(*lines):
        (tmp_path / "mine.smi").write_text("\n".join(lines))
        return {m.smiles: m.cid for m in read_molecules(tmp_path / "mine.smi")}

    first = numbers("O", "CCO", "nonsense")
    assert first["O"] == WATER and len(set(first.values())) == 3
    more = numbers("N", "nonsense", "CCO", "O")
    assert first.items() <= more.items()
    # Ways of writing one molecule give one number; tautomers share the InChIKey and take two.
    assert numbers("OCC")["OCC"] == first["CCO"]
    one, other = numbers("Oc1ccccn1", "O=c1cccc[nH]1"), numbers("O=c1cccc[nH]1", "Oc1ccccn1")
    assert one == other and len(set(one.values())) == 2
    assert min(map(int, more.values())) >= 500_000_000 and max(map(len, more.values())) == 9


def stage_of(log, **more):
    about = {key: getattr(log, key) for key in (
        "program", "version", "method", "basis", "converged", "positions", "energies",
        "gradients", "functional", "spherical",
    )}  # fmt: skip
    return Stage(**(about | more))


def test_audit_tells_levels_apart_on_real_logs(shared_data):
    log = read_log(shared_data / "logs/smash/v302_formaldehyde_b3lyp_opt.out")
    real = Trajectory("000000712", log.atomic_numbers, stages={"dft_1st": stage_of(log)})
    found = check_energy(real, "dft_1st", 1e-4)
    assert found["verdict"] == "agrees (density fitting)" and abs(found["difference"]) < 1e-5
    # The same numbers under GAMESS's name are 0.06 Hartree off, and the audit says what they are.
    wrong = stage_of(log, functional="b3lyp(vwn5)", spherical=False)
    found = check_energy(Trajectory("000000712", log.atomic_numbers, stages={"dft_1st": wrong}),
                         "dft_1st", 1e-4)  # fmt: skip
    assert found["verdict"] == "is at another level: b3lypg, spherical functions"
    assert found["difference"] == pytest.approx(0.057, abs=1e-3)


def shard(tmp_path, rng, count=60):
    """Molecules whose energies are sums of elements' ones, on two programs' scales."""
    writer = StoreWriter(tmp_path / "s.lmdb")
    energies = {1: -0.5, 6: -37.8, 8: -75.0}
    shift = {"gamess": {1: 0.0, 6: 0.0, 8: 0.0}, "smash": {1: -0.001, 6: -0.02, 8: -0.03}}
    for number in range(count):
        program = "smash" if number % 3 == 0 else "gamess"
        z = rng.choice([1, 6, 8], size=rng.integers(3, 9)).astype(np.uint8)
        total = sum(energies[k] + shift[program][k] for k in z)
        stage = Stage(
            program=program, version="", method="b3lyp", basis="6-31g*", converged=True,
            positions=rng.normal(size=(2, len(z), 3)).round(7),
            energies=np.array([total, total]).round(9),
            gradients=np.zeros((2, len(z), 3)),
            functional="b3lyp(vwn-rpa)" if program == "smash" else "b3lyp(vwn5)",
            spherical=program == "smash",
        )  # fmt: skip
        writer.put(Trajectory(f"{number:09d}", z, stages={"dft_1st": stage}))
    writer.finish()
    return tmp_path / "s.lmdb"


def test_references_bring_programs_to_one_scale(tmp_path):
    path = shard(tmp_path, np.random.default_rng(0))
    cids = {f"{number:09d}" for number in range(60)}
    references = fit_levels([path], ["dft_1st"], cids)
    assert [level.program for level in references] == ["gamess", "smash"]
    gamess, smash = references.values()
    assert (smash - gamess)[[1, 6, 8]] == pytest.approx(
        np.array([-0.001, -0.02, -0.03]) * HARTREE_TO_EV, abs=2e-3
    )
    level = list(references)[1]
    moved = align(references)(level, np.array([6, 8]), np.array([-112.85 * HARTREE_TO_EV]))
    assert moved / HARTREE_TO_EV == pytest.approx(-112.80, abs=2e-4)
    assert align(None)(level, np.array([6]), np.array([1.0])) == 1.0


def test_mixed_scales_are_warned_of_and_packed_on_one(tmp_path, capsys):
    path = shard(tmp_path, np.random.default_rng(0))
    split = {"train": [f"{number:09d}" for number in range(60)], "val": [], "test": []}
    (tmp_path / "selection.json").write_text(json.dumps({"random": split}))
    import h5py

    for aligned in (False, True):
        use = {"from": "pubchemqcr", "split": "random", "reference_per_level": aligned}
        (tmp_path / "pack.json").write_text(json.dumps(use))
        assert main([
            "data", "--settings", str(tmp_path / "pack.json"), "--selection",
            str(tmp_path / "selection.json"), "--store", str(tmp_path),
            "--out", str(tmp_path / f"{aligned}.h5"),
        ]) == 0  # fmt: skip
        assert ("2 energy scales" in capsys.readouterr().err) is not aligned
    with h5py.File(tmp_path / "True.h5") as file:
        numbers, ptr = file["atomic_numbers"][:], file["ptr"][:]
        sums = [
            sum({1: -0.5, 6: -37.8, 8: -75.0}[z] for z in numbers[a:b])
            for a, b in itertools.pairwise(ptr)
        ]
        np.testing.assert_allclose(file["energy"][:] / HARTREE_TO_EV, sums, atol=1e-3)
        assert len(file.attrs["levels"]) == 2
    audit = tmp_path / "audit.json"
    uses = {"uses": {"pretrain": ["dft_1st"]}, "sample": 0}
    (tmp_path / "audit_settings.json").write_text(json.dumps(uses))
    assert main([
        "audit", "--settings", str(tmp_path / "audit_settings.json"), "--store", str(tmp_path),
        "--out", str(audit),
    ]) == 0  # fmt: skip
    assert "pretrain: snapshots on 2 energy scales" in capsys.readouterr().err
    report = json.loads(audit.read_text())
    assert [(r["program"], r["molecules"]) for r in report["levels"]] == [
        ("gamess", 40), ("smash", 20),
    ]  # fmt: skip
    assert path.exists() and mixed_levels({}) == ""


def test_mopac_s_single_points_are_read_as_steps_of_a_relaxation(monkeypatch):
    # MOPAC's own text of two points; what it was told as a comment is what it repeats.
    data = Path(__file__).parents[1] / "logs/data/methanol_1scf.aux.xz"
    text = lzma.decompress(data.read_bytes()).decode("latin-1")
    first = parse_log(text.encode("latin-1"))

    def point(_atoms, method, program, comment=STEP):
        assert (method, program) == ("PM3", "here")
        return text.replace("for Force2Geo, triplet or not", comment)

    monkeypatch.setattr(mopac, "find_mopac", lambda: "here")
    for module in (mopac, starts):
        monkeypatch.setattr(module, "point", point)
    geometry = starts.Geometry(first.atomic_numbers, first.positions[0], 0, 1)
    made = starts.relax_semiempirically(geometry, 1e-9, 0, mopac=True)
    assert first.run == "gradient"
    log = parse_log(made.encode("latin-1"))
    assert log.run == "optimize" and not log.converged
    made = starts.relax_semiempirically(geometry, 1e9, 0, mopac=True)
    log = parse_log(made.encode("latin-1"))
    assert log.run == "optimize" and log.converged and len(log.energies) == 1


MOLECULES = [Molecule(f"{i:09d}", "O", "") for i in (1, 2, 3)]


def test_a_molecule_that_kills_its_process_ends_alone(tmp_path, monkeypatch):
    def run(function, jobs, workers, *_):
        assert workers == 2 and [molecule.cid for molecule, *_ in jobs] == [
            "000000001", "000000002", "000000003",
        ]  # fmt: skip
        yield 1, None, "the process died (exit code -9): out of memory, perhaps"
        yield from ((place, function(jobs[place]), "") for place in (2, 0))

    monkeypatch.setattr("force2geo.dft.pool.run_limited", run)
    monkeypatch.setattr(protocol, "generate", lambda molecule, *_: Report(molecule.cid, "O", ""))
    reports = list(generate_all(MOLECULES, tmp_path, Settings(), 2))
    assert [(report.cid, report.error.partition(" (")[0]) for report in reports] == [
        ("000000002", "the process died"), ("000000003", ""), ("000000001", ""),
    ]  # fmt: skip


def test_a_missing_program_ends_the_run(tmp_path, monkeypatch):
    def nothing(*_):
        raise UserError("MOPAC is not installed")

    monkeypatch.setattr(protocol, "generate", nothing)
    monkeypatch.setattr(
        "force2geo.dft.pool.run_limited",
        lambda function, jobs, *_: ((0, function(job), "") for job in jobs),
    )
    with pytest.raises(UserError, match="MOPAC is not installed"):
        list(generate_all(MOLECULES, tmp_path, Settings(), 2))
