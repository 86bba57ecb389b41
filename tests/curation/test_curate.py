"""From logs to shards: what fits, what does not, and what a kill leaves."""

import csv
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from force2geo.cli import main
from force2geo.curation.curate import curate
from force2geo.curation.identifiers import Identifiers
from force2geo.errors import UserError
from force2geo.interchange.export import logs_of, write_shard
from force2geo.interchange.protocol import read_protocol
from force2geo.logs import parse_log
from force2geo.logs.names import NamePattern
from force2geo.store.lmdb_store import Shard, read_shard
from force2geo.units import HARTREE_TO_EV


def run(source, folder, pattern, identifiers=None):
    """Curate into a folder; return counts, trajectories by CID and rejects by file name."""
    table = folder / "molecules.csv"
    lines = [f'{cid},{smiles},"{inchi}"\n' for cid, (smiles, inchi) in (identifiers or {}).items()]
    table.write_text("cid,smiles,inchi\n" + "".join(lines))
    paths = folder / "s.lmdb", folder / "s.csv", folder / "s.parquet"
    counts = curate(source, *paths, pattern, Identifiers(table))
    with (folder / "s.csv").open(newline="") as handle:
        rejects = {row["file"].rsplit("/", 1)[-1]: row for row in csv.DictReader(handle)}
    return counts, {t.cid: t for t in read_shard(folder / "s.lmdb")}, rejects


@pytest.fixture
def folder(tmp_path, trajectories):
    """Logs of two molecules, one file each."""
    for trajectory in trajectories:
        for name, text in logs_of(trajectory, "smash"):
            path = tmp_path / "logs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return tmp_path / "logs"


@pytest.fixture
def water(folder):
    """A function from a stage's name to water's log of it."""
    first = next(folder.rglob("000000962.pm3.log"))
    return lambda stage: first.with_name(f"000000962.{stage}.log")


def test_every_digit_is_kept(tmp_path, trajectories, pattern):
    write_shard(trajectories, tmp_path / "shard.tar.xz")
    identifiers = {t.cid: (t.smiles, t.inchi) for t in trajectories}
    counts, found, rejects = run(tmp_path / "shard.tar.xz", tmp_path, pattern, identifiers)
    assert (counts.rejected, counts.read, counts.molecules) == (0, 10, 2) and not rejects
    for trajectory in trajectories:
        assert found[trajectory.cid].smiles == trajectory.smiles
        for name, expected in trajectory.stages.items():
            got = found[trajectory.cid].stages[name]
            np.testing.assert_array_equal(got.positions, expected.positions)
            np.testing.assert_array_equal(got.energies, expected.energies)
            np.testing.assert_array_equal(got.gradients, expected.gradients)
            # The layout is SMASH's or GAMESS's, the results are the open programs'.
            assert got.program == ("mopac" if name == "pm3" else "pyscf")
        assert found[trajectory.cid].stages["dft_points"].origin == ["rattle_0.03", "rattle_0.07"]


def test_bad_logs_become_rejects_and_stop_nothing(tmp_path, folder, water, pattern):
    water("dft_1st").write_text(water("hf").read_text())
    water("pm3").write_text(water("pm3").read_text()[:900])
    (water("pm3").parent / "notes.txt").write_text("hello")
    water("dft_2nd").write_bytes(b"")
    (water("pm3").parent / "000000962.hf.log.gz").write_bytes(b"no gzip")
    _, found, rejects = run(folder, tmp_path, pattern)
    assert set(rejects) == {
        "000000962.dft_1st.log", "000000962.pm3.log", "notes.txt", "000000962.dft_2nd.log",
        "000000962.hf.log.gz",
    }  # fmt: skip
    row = rejects["000000962.dft_1st.log"]
    assert "method is 'hf'" in row["reason"] and (row["atoms"], row["steps"]) == ("3", "3")
    assert (row["cid"], row["stage"], row["source"]) == ("000000962", "dft_1st", "logs")
    assert "name_pattern" in rejects["notes.txt"]["reason"]
    assert set(found["000000962"].stages) == {"hf", "dft_points"}
    assert set(found["000000297"].stages) == {"pm3", "hf", "dft_1st", "dft_points"}


def test_logs_that_end_early_are_data_with_a_status(tmp_path, folder, water, pattern):
    text = water("dft_1st").read_text()
    water("dft_1st").write_text(text[: text.rindex("Gradient (Hartree/Bohr)")])
    _, found, rejects = run(folder, tmp_path, pattern)
    stage = found["000000962"].stages["dft_1st"]
    assert not rejects and stage.status == "abnormal" and not stage.converged
    assert np.isnan(stage.gradients[-1]).all() and np.isfinite(stage.gradients[:-1]).all()
    index = pd.read_parquet(tmp_path / "s.parquet").set_index("cid")
    assert index["dft_1st_status"].to_dict() == {"000000297": "converged", "000000962": "abnormal"}


def test_of_two_logs_for_a_stage_the_better_counts(tmp_path, folder, water, pattern):
    text = water("dft_1st").read_text()
    again = water("dft_1st").parent.parent / "zz" / "000000962"
    again.mkdir(parents=True)
    (again / "000000962.dft_1st.log").write_text(text)
    (again / "000000962.hf.log").write_text(water("hf").read_text())
    water("dft_1st").write_text(text[: text.rindex("Gradient (Hartree/Bohr)")])
    _, found, rejects = run(folder, tmp_path, pattern)
    assert found["000000962"].stages["dft_1st"].status == "normal"
    assert "gave way" in rejects["000000962.dft_1st.log"]["reason"]
    assert "the same log" in rejects["000000962.hf.log"]["reason"]


def test_wrong_molecules_and_charges_are_rejected(tmp_path, folder, water, pattern):
    methane = next(folder.rglob("000000297.hf.log"))
    water("hf").write_text(methane.read_text().replace("000000297", "000000962"))
    text = water("dft_1st").read_text()
    water("dft_1st").write_text(text.replace("Charge  = 0.0", "Charge  = 2.0"))
    identifiers = {
        "000000962": ("O", "InChI=1S/H2O/h1H2"),
        "000000297": ("[NH4+]", "InChI=1S/H3N/h1H3/p+1"),
    }
    _, found, rejects = run(folder, tmp_path, pattern, identifiers)
    assert set(found) == {"000000962"} and set(found["000000962"].stages) == {"pm3", "dft_points"}
    assert "those of the InChI H2O" in rejects["000000962.hf.log"]["reason"]
    assert "the charge is 2, that of the InChI 0" in rejects["000000962.dft_1st.log"]["reason"]
    assert "those of the InChI H4N" in rejects["000000297.pm3.log"]["reason"]


def test_a_stage_that_starts_elsewhere_is_noted(tmp_path, trajectories, pattern):
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    trajectories[0].stages["hf"].positions @= turn  # programs turn molecules: no break
    trajectories[1].stages["dft_1st"].positions[0, 0] += 0.5
    write_shard(trajectories, tmp_path / "shard.tar.xz")
    run(tmp_path / "shard.tar.xz", tmp_path, pattern)
    notes = pd.read_parquet(tmp_path / "s.parquet").set_index("cid")["notes"]
    assert notes["000000962"].startswith("dft_1st starts 0.") and not notes["000000297"]


def test_names_of_other_layouts():
    pattern = NamePattern(
        r"(?P<cid>\d{9})\.(?P<stage>PM3|B3LYP_1)\.S0\.log$", {"PM3": "pm3", "B3LYP_1": "dft_1st"}
    )
    name = pattern.read("Compound_x/000000962/000000962.B3LYP_1.S0.log.xz")
    assert (name.cid, name.stage, name.origin) == ("000000962", "dft_1st", "")
    assert pattern.read("000000962.hf.log") is None
    with pytest.raises(UserError, match="no stage 'dft'"):
        NamePattern(r"(?P<cid>\d)(?P<stage>x)", {"x": "dft"})
    with pytest.raises(UserError, match="not a regular expression"):
        NamePattern("(", None)


def test_default_pattern_reads_names(pattern):
    name = pattern.read("Compound_x/000000962/000000962.dft_points.003.rattle_0.07.log")
    assert (name.cid, name.stage, name.origin) == ("000000962", "dft_points", "rattle_0.07")
    assert pattern.read("000000962/000000963.hf.log") is None


def many(target, trajectories, count):
    with tarfile.open(target, "w") as archive:
        for number in range(1, count + 1):
            trajectory = trajectories[number % 2]
            trajectory.cid = f"{number:09d}"
            for name, text in logs_of(trajectory, "smash"):
                content = b"broken" if number % 7 == 0 and ".hf." in name else text.encode()
                path = target.parent / "member"
                path.write_bytes(content)
                archive.add(path, name)


def test_a_killed_run_is_taken_up_and_gives_the_same(tmp_path, trajectories):
    many(tmp_path / "shard.tar", trajectories, 600)
    (tmp_path / "curate.json").write_text(json.dumps({
        "name_pattern": r"(?P<cid>\d{9})\.(?P<stage>pm3|hf|dft_1st|dft_points)"
        r"(?:\.\d+\.(?P<origin>[\w.]+))?\.log$",
    }))  # fmt: skip

    def command(name):
        return [
            sys.executable, "-m", "force2geo.cli", "curate", "--settings",
            str(tmp_path / "curate.json"), "--logs", str(tmp_path / "shard.tar"),
            "--store", str(tmp_path / name / "s.lmdb"), "--index",
            str(tmp_path / name / "s.parquet"), "--rejects", str(tmp_path / name / "s.csv"),
        ]  # fmt: skip

    begin = time.monotonic()
    assert main(command("whole")[3:]) == 0
    whole = time.monotonic() - begin
    kills = 0
    lock = tmp_path / "killed/.s.lmdb.lock"
    for attempt in range(20):
        process = subprocess.Popen(command("killed"), stdout=subprocess.DEVNULL)

        def works(process=process):
            return lock.exists() and lock.read_text().endswith(f" {process.pid}")

        while process.poll() is None and not works():
            time.sleep(0.01)
        # From here on it reads logs; longer each time, so that one run comes to its end.
        deadline = time.monotonic() + 0.3 * whole * 1.4**attempt
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
        else:
            assert process.returncode == 0
            break
    assert kills > 0 and (tmp_path / "killed" / "s.lmdb").exists()
    names = [{p.name for p in (tmp_path / name).iterdir()} for name in ("killed", "whole")]
    assert names[0] == names[1]
    assert (tmp_path / "killed/s.csv").read_text() == (tmp_path / "whole/s.csv").read_text()
    one, two = Shard(tmp_path / "whole/s.lmdb"), Shard(tmp_path / "killed/s.lmdb")
    assert one.cids() == two.cids() and len(one) == 600
    assert [bytes(r._data) for r in one.records()] == [bytes(r._data) for r in two.records()]


def test_commands_from_logs_to_packed(tmp_path, trajectories, capsys):
    write_shard(trajectories, tmp_path / "shard.tar.xz")
    pattern = r"(?P<cid>\d{9})\.(?P<stage>\w+?)(?:\.\d+\.(?P<origin>[\w.]+))?\.log$"
    (tmp_path / "curate.json").write_text(json.dumps({"name_pattern": pattern}))
    entry = {"from": "pubchemqcr", "split": "random", "sources": ["dft_1st", "dft_points"]}
    (tmp_path / "pack.json").write_text(json.dumps(entry | {"shards": ["one", "two"]}))
    split = {"train": ["000000297"], "val": ["000000962"], "test": []}
    (tmp_path / "selection.json").write_text(json.dumps({"random": split}))
    p = lambda name: str(tmp_path / name)  # noqa: E731
    for shard in ("one", "two"):  # every molecule is in two shards
        assert main([
            "curate", "--settings", p("curate.json"), "--logs", p("shard.tar.xz"),
            "--store", p(f"store/{shard}.lmdb"), "--index", p(f"store/{shard}.index.parquet"),
            "--rejects", p(f"store/{shard}.rejects.csv"),
        ]) == 0  # fmt: skip
    assert main([
        "statistics", "--store", p("store"), "--index", p("index.parquet"),
        "--rejects", p("rejects.csv"), "--out", p("statistics.json"), "--figures", p("figures"),
    ]) == 0  # fmt: skip
    numbers = json.loads((tmp_path / "statistics.json").read_text())
    assert (numbers["trajectories"], numbers["snapshots"], numbers["rejected_logs"]) == (2, 28, 0)
    # Stages that two shards have are no logs that were rejected.
    assert numbers["other_rejects"] == {"stage": 8}
    assert numbers["dft_1st"]["trajectories_by_steps"] == {"5": 2}
    assert numbers["molecules_by_element"] == {"H": 2, "C": 1, "O": 1}
    assert "earlier shard" in (tmp_path / "rejects.csv").read_text()
    assert (tmp_path / "figures/elements.png").stat().st_size > 5000
    assert main([
        "data", "--settings", p("pack.json"), "--selection",
        p("selection.json"), "--store", p("store"), "--out", p("x.h5"),
    ]) == 0  # fmt: skip
    assert "14 snapshots of pyscf b3lyp(vwn5)/6-31g*, Cartesian" in capsys.readouterr().out
    index = pd.read_parquet(tmp_path / "index.parquet").set_index("cid")
    row = index.loc["000000962"]
    assert (row["formula"], row["dft_1st_steps"], row["shard"]) == ("H2O", 5, "one.lmdb")
    assert row["gap"] == pytest.approx(0.30 * HARTREE_TO_EV) and row["dft_2nd_status"] == ""
    methane = next(t for t in trajectories if t.cid == "000000297")
    expected = methane.stages["dft_1st"]
    assert index.loc["000000297"]["dft_1st_energy_last"] == expected.energies[-1]
    with h5py.File(tmp_path / "x.h5") as file:
        assert len(file["energy"]) == 14
        np.testing.assert_allclose(file["energy"][:5], expected.energies * 27.211386, rtol=1e-8)
        forces = file["forces"][:5]
        np.testing.assert_allclose(forces, -expected.gradients[0] * 51.422067, rtol=1e-6)
        np.testing.assert_allclose(file["positions"][:5], expected.positions[0], atol=1e-6)


def test_protocol_files_export_to_logs_that_hold_them(shared_data):
    trajectory = read_protocol(shared_data / "dft_trajectories/0112.npz", "000000612")
    for name, text in logs_of(trajectory, "firefly"):
        log = parse_log(text.encode())
        if name.endswith("dft_1st.log"):
            expected = trajectory.stages["dft_1st"]
            assert np.abs(log.positions - expected.positions).max() < 1e-9
            assert np.abs(log.energies - expected.energies).max() < 1e-9
            assert np.abs(log.gradients - expected.gradients).max() < 1e-6
            assert "PySCF" in log.origin and log.functional == "b3lyp(vwn5)"


def test_one_log_given_by_hand(tmp_path, shared_data, pattern):
    content = (shared_data / "logs/smash/v302_formaldehyde_b3lyp_opt.out").read_bytes()
    path = Path(tmp_path / "000000712" / "000000712.dft_1st.log")
    path.parent.mkdir()
    path.write_bytes(content)
    _, found, rejects = run(path.parent.parent, tmp_path, pattern)
    assert found["000000712"].stages["dft_1st"].spherical is True and len(rejects) <= 3
