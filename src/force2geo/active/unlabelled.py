"""Geometries of a pool of molecules without labels: which to label, and their labels."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from force2geo.active.choice import COLUMNS, Chosen, read_choice, row_of, write_choice
from force2geo.active.disagreement import read_committee
from force2geo.active.paths import Paths, refusal, starts_of, write_paths
from force2geo.active.ranking import Limits, enough, first_apart, least_sure
from force2geo.dft.label import B3LYP, label
from force2geo.dft.label_frames import Frame, label_frames
from force2geo.dft.points import Molecule
from force2geo.errors import UserError
from force2geo.files import hash_value, read_json, write_json, write_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from force2geo.active.wanted import Wanted

POINTS = 3
"""Geometries of a molecule that is drawn at random: its conformer and both rattled ones."""
# What a choice leaves, beside the molecules' files and what says whose the folder is.
_MADE = ("choice.csv", "paths.h5", "labels.csv", "rejects.csv")
_ORIGINS = {"spread": "unsure", "frames": "frame"}


def label_chosen(
    rows: Sequence[dict[str, str]],
    out: Path,
    wanted: Wanted,
    workers: int,
    store: Path,
    anew: bool = False,
) -> list[str]:
    """Choose geometries of the molecules of a list and label them in `out`; a rerun goes on.

    `out` gets the choice (`choice.csv`), one `.npz` a molecule, and in the end `labels.csv`: the
    choice, and why a geometry has no label, empty where it has one, which is returned as well.
    Where `out` has labels of something else, `UserError`, or with `anew` another choice's files are
    removed; numbers in `store` stay.
    """
    choice_of = wanted.record()
    _claim(out, {"chosen": choice_of, "pool": hash_value(list(rows))}, anew)
    rows = wanted.of(rows)
    choose = _random if wanted.choose == "random" else _of_paths
    choice = out / "choice.csv"
    if not choice.exists():
        write_choice(choice, choose(rows, out, wanted))
    chosen = read_choice(choice)
    if wanted.choose == "random":
        failed = _label_random(rows, chosen, out, wanted, workers)
    else:
        failed = label_frames(_frames(rows, chosen, out, wanted), out, store, workers, choice_of)
    write_table(
        out / "labels.csv",
        (*COLUMNS, "reason"),
        (
            row_of(one, rank) | {"reason": reason}
            for rank, (one, reason) in enumerate(zip(chosen, failed, strict=True), 1)
        ),
    )
    return failed


def _claim(out: Path, about: dict[str, Any], anew: bool) -> None:
    """Write what a folder is of; `UserError` where it is of something else."""
    about = json.loads(json.dumps({**about, "level": B3LYP.as_dict()}))
    path = out / "chosen.json"
    if not path.exists() and next(out.glob("*.npz"), None):
        raise UserError(f"{out}: labels that nobody chose are there, give another folder")
    other = read_json(path) if path.exists() else about
    if other != about:
        if not anew:
            keys = [key for key in about if other.get(key) != about[key]]
            raise UserError(
                f"{out}: labels of another choice are there (another {' and '.join(keys)}), give "
                "another folder"
            )
        for left in (*out.glob("*.npz"), *(out / name for name in _MADE)):
            left.unlink(missing_ok=True)
    write_json(path, about)


def _of_paths(rows: Sequence[dict[str, str]], out: Path, wanted: Wanted) -> list[Chosen]:
    """Relax the pool, and choose of all geometries on the way."""
    committee, target = read_committee(wanted.models), out / "paths.h5"
    if not target.exists():
        cids, starts = starts_of(rows, wanted.seed)
        if not starts:
            raise UserError("no molecule of the list can be embedded by RDKit")
        write_paths(target, cids, starts, committee, wanted.models)
    paths = Paths(target)
    if paths.refused:
        told = f"{paths.refused} molecules are left out: elements or charges never seen, or no path"
        print(f"warning: {told}", file=sys.stderr)
    spread = np.full(len(paths.cids), np.nan)
    if wanted.choose == "spread":
        spread = paths.spread(committee)
        order = least_sure(spread, paths.cids, paths.frames)
    else:
        order = np.random.default_rng(wanted.seed).permutation(len(paths.cids))
    limits = Limits(wanted.per_molecule, wanted.distance)
    taken = _labelled(wanted.earlier)
    chosen = first_apart(order, paths.cids, paths.geometry, wanted.budget, limits, taken)
    return [
        Chosen(str(paths.cids[place]), int(paths.frames[place]), float(spread[place]))
        for place in chosen
    ]


def _labelled(folders: Sequence[Path]) -> dict[str, list[np.ndarray]]:
    """Return geometries (n,3) Å that have labels, by CID."""
    found: dict[str, list[np.ndarray]] = defaultdict(list)
    for path in (path for folder in folders for path in sorted(folder.glob("*.npz"))):
        with np.load(path, allow_pickle=False) as data:
            found[path.stem] += list(data["extra_pos"])
    return found


def _frames(
    rows: Sequence[dict[str, str]], chosen: Sequence[Chosen], out: Path, wanted: Wanted
) -> list[Frame]:
    """Return what was chosen with its geometry."""
    paths, known = Paths(out / "paths.h5"), {row["cid"]: row for row in rows}
    where = {key: place for place, key in enumerate(zip(paths.cids, paths.frames, strict=True))}
    found = []
    for one in chosen:
        place, row = where[one.cid, one.frame], known[one.cid]
        molecule = Molecule(
            paths.numbers(place),
            paths.geometry(place),
            *paths.state(place),
            cid=one.cid,
            smiles=row["smiles"],
            inchi=row.get("inchi") or "",
        )
        found.append(Frame(molecule, one.frame, f"{_ORIGINS[wanted.choose]}_{one.frame}"))
    return found


def _random(rows: Sequence[dict[str, str]], out: Path, wanted: Wanted) -> list[Chosen]:
    """Draw molecules that can be embedded, each with all its geometries but for the last."""
    used = set(_labelled(wanted.earlier))
    committee = read_committee(wanted.models) if wanted.models else None
    left = [row for row in rows if row["cid"] not in used]
    found: list[Chosen] = []
    for place in np.random.default_rng(wanted.seed).permutation(len(left)):
        if len(found) >= wanted.budget:
            break
        cids, starts = starts_of([left[place]], wanted.seed)
        if committee is not None and any(refusal(committee, start) for start in starts):
            continue
        found += [Chosen(cid, frame) for cid in cids for frame in range(POINTS)]
    return enough(found[: wanted.budget], wanted.budget)


def _label_random(
    rows: Sequence[dict[str, str]],
    chosen: Sequence[Chosen],
    out: Path,
    wanted: Wanted,
    workers: int,
) -> list[str]:
    points = Counter(one.cid for one in chosen)
    known = {row["cid"]: row for row in rows}
    left = label([known[cid] for cid in points], out, wanted.seed, workers, points)
    return [
        left.get(one.cid) or ("" if (out / f"{one.cid}.npz").exists() else "see rejects.csv")
        for one in chosen
    ]
