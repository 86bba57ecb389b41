"""A file of another kind, given on a command line, is one line that names it: no traceback."""

import json

import h5py
import numpy as np
import pandas as pd
import pytest

from force2geo.cli import main

PACK = "--settings pack.json --selection selection.json --store store --out o.h5"
CONFORMERS = "--settings s.json --selection selection.json --store store --out o.h5"
PROPERTY = "--data c.h5 --selection selection.json --out o.pt"
STATISTICS = "--store store --index o.parquet --rejects o.csv --out o.json"
EXPORT = "--molecules m.csv --raw raw --out o"
# What is wrong, and the rest of the call: files that are read before it must be good.
CALLS = [
    ("i.parquet", "select --settings select.json --index i.parquet --out o.json"),
    ("select.json", "select --settings select.json --index i.parquet --out o.json"),
    ("selection.json", f"data {PACK}"),
    ("pack.json", f"data {PACK}"),
    ("store/s.lmdb", f"data {PACK}"),
    ("selection.json", f"data {CONFORMERS}"),
    ("store/s.lmdb", f"data {CONFORMERS}"),
    ("store/s.index.parquet", f"statistics {STATISTICS}"),
    ("store/s.lmdb", "audit --store store --out o.json"),
    ("x.h5", "train --settings t.json --data x.h5 --out o.pt"),
    ("t.json", "train --settings t.json --data x.h5 --out o.pt"),
    ("c.h5", f"train --settings p.json {PROPERTY}"),
    ("selection.json", f"train --settings p.json {PROPERTY}"),
    ("r.h5", f"train --settings g.json {PROPERTY} --start m.pt --relaxed r.h5"),
    ("r.h5", "dft --settings d.json --relaxed r.h5 --conformers c.h5 --cache k --out o.csv"),
    ("d.csv", "judge --relaxed r.h5 --dft d.csv --conformers c.h5 --out o.csv"),
    ("n.json", "table table_a3 --settings a3.json --run . --out o"),
    ("p.npz", "figure parity_potential --settings f.json --run . --out o"),
    ("t.csv", "select --settings outside.json --index i.parquet --out o.json"),
    ("c.h5", "relax --settings r.json --model m.pt --conformers c.h5 --selection selection.json "
     "--out o.h5"),
    ("r.json", "relax --settings r.json --model m.pt --conformers c.h5 --selection selection.json "
     "--out o.h5"),
    ("p/0-1.h5", "gather --settings r.json --selection one.json --pieces p --size 1 --out o.h5"),
    ("selection.json", "d-opt --settings s.json --selection selection.json --index i --out o.json"),
    ("m.pt", "export m.pt o.pt2"),
    ("m.csv", f"export-logs {EXPORT}"),
    ("m.csv", "label --molecules m.csv --out o"),
    ("m.csv", "generate --molecules m.csv --out o"),
    ("l.lmdb", "published import l.lmdb --store o"),
    ("l.lmdb", "published export l.lmdb --out o.lmdb"),
    ("i.csv", "published import l.lmdb --identifiers i.csv --store o"),
]  # fmt: skip
TRAINING = {"objective": "energy_forces", "backbone": {"name": "painn"}, "judged_on": None}
PROPERTIES = {
    "objective": "property", "backbone": {"name": "painn"}, "split": "random", "target": "gap",
    "geometry": "dft", "start": None, "mixed": False,
}  # fmt: skip
GOOD = {
    "selection.json": {"random": {"train": [], "val": [], "test": []}, "subset": [], "d_opt": []},
    "pack.json": {"from": "pubchemqcr", "split": "random", "sources": ["hf"]},
    "select.json": {"test_sets": []},
    "outside.json": {"test_sets": ["t.csv"]},
    "s.json": {"from": "pubchemqcr", "as": "molecules", "split": "subset", "seed": 1},
    "t.json": TRAINING,
    "p.json": PROPERTIES,
    "g.json": PROPERTIES | {"geometry": "force2geo", "start": "x", "mixed": True},
    "a3.json": {"files": {"statistics": "n.json"}},
    "f.json": {"files": {"predictions": "p.npz"}},
    "r.json": {"molecules": "d_opt", "start": "hf", "potential": {"training": "x"}},
    "one.json": {"d_opt": ["000000001"]},
    "d.json": {},
}  # fmt: skip
KINDS = {
    "bytes": bytes(range(128, 256)) + b"\x80\x00\n" * 50,
    "nothing": b"",
    "a list": b"[1, 2]",
    "a long line": b"x" * 200_000,
    "other content": None,  # where the format is HDF5 or Parquet; else the file is not there
}


def other_content(path):
    """Write a file of the right format that holds something else."""
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["ptr"] = np.zeros(3)
    else:
        pd.DataFrame({"other": [1]}).to_parquet(path)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("wrong", "line"), CALLS, ids=[f"{c[1].split()[0]}-{c[0]}" for c in CALLS])
def test_a_file_of_another_kind_is_one_line(tmp_path, monkeypatch, capsys, wrong, line, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "raw").mkdir()
    (tmp_path / "p").mkdir()
    for name, value in GOOD.items():
        if name != wrong:
            (tmp_path / name).write_text(json.dumps(value))
    if KINDS[kind] is not None:
        (tmp_path / wrong).write_bytes(KINDS[kind])
    elif wrong.endswith((".h5", ".parquet")):
        other_content(tmp_path / wrong)
    if "store" in line and not wrong.endswith(".lmdb"):
        (tmp_path / "store" / "s.lmdb").touch()
    status = main(line.split())
    error = capsys.readouterr().err.strip().splitlines()
    assert status == 2, error
    folder_is_empty = KINDS[kind] is None and wrong.startswith("store/s.lmdb")
    named = "store: no shard" if folder_is_empty else wrong
    assert len(error) == 1 and named in error[0], error


def test_an_empty_list_is_nothing_to_generate(tmp_path, capsys):
    (tmp_path / "m.smi").write_text("\n")
    arguments = ["--molecules", str(tmp_path / "m.smi"), "--out", str(tmp_path / "out")]
    assert main(["generate", *arguments]) == 2
    assert capsys.readouterr().err.endswith("m.smi: no molecule in it\n")
