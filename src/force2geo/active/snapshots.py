"""A pool whose labels are there already, hidden until they are chosen: packed snapshots."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from force2geo.active.added import add_labels
from force2geo.active.choice import Chosen, frame_numbers, read_choice
from force2geo.active.disagreement import spreads
from force2geo.active.ranking import Limits, covering, first_apart, least_sure
from force2geo.elements import MAX_ATOMIC_NUMBER
from force2geo.errors import UserError
from force2geo.files import atomic_path, reading
from force2geo.train.snapshots import Snapshots
from force2geo.training_data.packed import SPLITS, PackedWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from force2geo.potentials.batch import Batch
    from force2geo.potentials.model import Model


class Hidden:
    """The training part of a packed file without its labels.

    `cids` (S,) are names, `frames` (S,) the snapshots' numbers among their molecules'.
    """

    def __init__(self, path: Path) -> None:
        whole = Snapshots.read(path)
        self.snapshots = whole.where("train").require("pool")
        self.cids = np.char.decode(self.snapshots.ids(), "ascii")
        self.frames = frame_numbers(whole.cid)[self.snapshots.rows.numpy()]
        self.sizes = self.snapshots.sizes()

    def batch(self, places: np.ndarray) -> Batch:
        """Return geometries without energies and forces."""
        batch = self.snapshots.batch(places)
        batch.energy = batch.forces = None
        return batch

    def geometry(self, place: int) -> np.ndarray:
        """Return positions (n,3) Å."""
        return self.batch(np.array([place])).positions.numpy().astype(float)

    def composition(self) -> np.ndarray:
        """Return which elements (S,E) a snapshot has."""
        found = [counts.numpy() > 0 for counts, _ in self.snapshots.compositions()]
        assert found[0].shape[1] == MAX_ATOMIC_NUMBER + 1
        return np.concatenate(found)

    def places(self, chosen: Sequence[Chosen], origin: Path) -> np.ndarray:
        """Return where chosen snapshots are; `UserError` where one is not in the pool."""
        where = {key: place for place, key in enumerate(zip(self.cids, self.frames, strict=True))}
        try:
            return np.array([where[one.cid, one.frame] for one in chosen], dtype=np.int64)
        except KeyError as absent:
            cid, frame = absent.args[0]
            raise UserError(
                f"{origin}: frame {frame} of {cid} is no training snapshot of the pool, the choice "
                "is of another one"
            ) from None


def choose(
    data: Path, settings: dict[str, Any], earlier: Sequence[Path], committee: Model | None = None
) -> list[Chosen]:
    """Return which training snapshots of a packed file are labelled next; no label is looked at.

    `settings` have `choose`: `spread`, those that the `committee` is least sure of; without one
    `frames`, any that keep to the same limits, or `random`, any; then `budget`, `seed`, `round`
    and, but for `random`, `per_molecule` and `distance` (Å), see `Limits`. Of `earlier` choices
    nothing is chosen again; the first choice has every element of the pool.
    """
    pool = Hidden(data)
    used = np.concatenate(
        [np.zeros(0, np.int64), *(pool.places(read_choice(path), path) for path in earlier)]
    )
    left = np.setdiff1d(np.arange(len(pool.cids)), used)
    spread = np.full(len(pool.cids), np.nan)
    if committee is None:
        order = np.random.default_rng([settings["seed"], settings["round"]]).permutation(left)
        if not earlier:
            order = covering(order, pool.composition(), settings["budget"])
    else:
        spread[left] = spreads(committee, pool.sizes[left], lambda some: pool.batch(left[some]))
        order = left[least_sure(spread[left], pool.cids[left], pool.frames[left])]
    limits = Limits()
    if settings["choose"] != "random":
        limits = Limits(settings["per_molecule"], settings["distance"])
    taken: dict[str, list[np.ndarray]] = defaultdict(list)
    for place in used if limits.distance else ():
        taken[pool.cids[place]].append(pool.geometry(place))
    chosen = first_apart(order, pool.cids, pool.geometry, settings["budget"], limits, taken)
    return [
        Chosen(str(pool.cids[place]), int(pool.frames[place]), float(spread[place]))
        for place in chosen
    ]


def write_round(
    data: Path, choices: Sequence[Path], target: Path, labels: Sequence[Path] = ()
) -> int:
    """Write a packed file whose training part is what was chosen; return how many those are.

    `choices` are of the training part of `data`; `labels` are folders of `force2geo label`, whose
    numbers are of the level of `data` or `UserError`. Validation and test are those of `data`, as
    they are.
    """
    pool = Hidden(data)
    found = [pool.places(read_choice(path), path) for path in choices]
    places = np.unique(np.concatenate(found))
    if len(places) < sum(map(len, found)):
        raise UserError(f"{', '.join(map(str, choices))}: they choose a snapshot twice")
    with reading(data, "packed snapshots, HDF5"), h5py.File(data, "r") as file:
        kept = file["split"][:] != SPLITS.index("train")
        kept[pool.snapshots.rows.numpy()[places]] = True
        names = [str(name) for name in file.attrs.get("packed_levels", [])]
        with atomic_path(target) as part:
            writer = PackedWriter(part, [str(name) for name in file.attrs["sources"]])
            _copy(file, np.flatnonzero(kept), writer)
            counts = [add_labels(writer, folder, names) for folder in labels]
            # One each: the order is the frequency's.
            writer.close(levels=Counter(dict.fromkeys(names, 1)))
    return len(places) + sum(counts)


def _copy(file: h5py.File, rows: np.ndarray, writer: PackedWriter) -> None:
    """Write the snapshots at `rows` of a packed file."""
    ptr = file["ptr"][:]
    columns = {name: file[name][:] for name in ("cid", "source", "split", "charge", "multiplicity")}
    # Snapshots that follow one another and differ in their geometry alone are written together.
    ends = np.ones(len(rows), dtype=bool)
    ends[:-1] = np.diff(rows) != 1
    for column in columns.values():
        ends[:-1] |= column[rows[1:]] != column[rows[:-1]]
    for run in np.split(rows, np.flatnonzero(ends[:-1]) + 1):
        first, last = int(run[0]), int(run[-1])
        atoms = slice(int(ptr[first]), int(ptr[last + 1]))
        size = int(ptr[first + 1] - ptr[first])
        writer.add(
            columns["cid"][first].decode(),
            file["atomic_numbers"][atoms][:size],
            file["positions"][atoms].reshape(-1, size, 3),
            file["energy"][first : last + 1],
            file["forces"][atoms].reshape(-1, size, 3),
            writer.sources[columns["source"][first]],
            SPLITS[columns["split"][first]],
            (int(columns["charge"][first]), int(columns["multiplicity"][first])),
        )
