"""A trajectory as bytes: self-describing, lossless, nothing that can run code.

Layout, version 3, little-endian:

    4 bytes   b"F2GR"
    1 byte    version, 3
    1 byte    number of the header's dictionary (`dictionaries`)
    4 bytes   length H of the header
    H bytes   header: a Zstandard frame of JSON
    …         one Zstandard frame per stage, in the header's order, of the length it gives

Version 2, which is still read, has no number of a dictionary: it is the first.

The header holds `cid`, `z` (atomic numbers), `q`, `m` (charge, multiplicity), `smiles`, `inchi`
and `stages`: per name the number of steps `n`, the frame's length `bytes`, under `is` what
`Stage` says of program and level where it is not the default, and `code`: for positions and
gradients the numbers of `fixed_point`. A stage's frame holds energies (n) as float64, then
the byte planes of positions (n, 3·atoms) and of gradients (n, 3·atoms). An energy that a step
did not print is NaN; steps without gradient are listed in `no_gradient` and stand as zeros.

Each stage is decoded alone and only when asked for.
"""

from __future__ import annotations

import json
import struct
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

from force2geo.store import fixed_point
from force2geo.store.dictionaries import NEWEST, TEXTS, dictionary
from force2geo.trajectory import Stage, Trajectory

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAGIC = b"F2GR"
_VERSION = 3
_FIRST_DICTIONARY = 1  # that of version 2
_LEVEL = 12
_SCALARS = (
    "program", "version", "method", "basis", "functional", "spherical", "converged", "status",
    "homo", "lumo", "dipole", "origin", "notes",
)  # fmt: skip
# Said of a stage only where it is otherwise. The first two have no default in `Stage`.
_USUAL: dict[str, Any] = {"basis": "", "converged": True}
_DEFAULTS: dict[str, Any] = {
    **_USUAL,
    "functional": "", "spherical": None, "status": "normal",
    "homo": None, "lumo": None, "dipole": None, "origin": [], "notes": [],
}  # fmt: skip
_LOCAL = threading.local()


def _decompressor(number: int) -> zstandard.ZstdDecompressor:
    """Return this thread's decompressor of a dictionary (0: none), slow to make, fast to use."""
    try:
        return _LOCAL.decompressors[number]
    except (AttributeError, KeyError):
        made = zstandard.ZstdDecompressor(dict_data=dictionary(number) if number else None)
        _LOCAL.__dict__.setdefault("decompressors", {})[number] = made
        return made


_DAMAGE = (
    zstandard.ZstdError, struct.error, KeyError, TypeError, ValueError, IndexError, OverflowError,
    AttributeError,
)  # fmt: skip


class RecordError(ValueError):
    """Bytes are not a record this version reads."""


def _encode_stage(stage: Stage) -> tuple[bytes, dict[str, Any]]:
    steps = len(stage)
    positions = np.asarray(stage.positions, dtype=np.float64).reshape(steps, -1)
    gradients = np.asarray(stage.gradients, dtype=np.float64).reshape(steps, -1)
    values: dict[str, Any] = {"n": steps, "bytes": 0}
    missing = np.asarray(np.isnan(gradients).any(axis=1))
    if missing.any():
        values["no_gradient"] = np.flatnonzero(missing).tolist()
        gradients = np.where(missing[:, None], 0.0, gradients)
    planes = np.asarray(stage.energies, dtype="<f8").tobytes()
    values["code"] = []
    for array in (positions, gradients):
        data, code = fixed_point.encode(array)
        planes += data
        values["code"].append(code)
    about = {key: getattr(stage, key) for key in _SCALARS}
    values["is"] = {k: v for k, v in about.items() if k not in _DEFAULTS or v != _DEFAULTS[k]}
    frame = zstandard.ZstdCompressor(level=_LEVEL).compress(planes)
    values["bytes"] = len(frame)
    return frame, values


def encode(trajectory: Trajectory) -> bytes:
    """Return the record of a trajectory."""
    header: dict[str, Any] = {
        "cid": trajectory.cid,
        "q": trajectory.charge,
        "m": trajectory.multiplicity,
        "z": [int(z) for z in trajectory.atomic_numbers],
        "stages": {},
        "smiles": trajectory.smiles,
        "inchi": trajectory.inchi,
    }
    frames = []
    for name, stage in trajectory.stages.items():
        frame, header["stages"][name] = _encode_stage(stage)
        frames.append(frame)
    text = json.dumps(header, separators=(",", ":")).encode()
    packed = zstandard.ZstdCompressor(level=19, dict_data=dictionary(NEWEST)).compress(text)
    return b"".join(
        [_MAGIC, bytes([_VERSION, NEWEST]), struct.pack("<I", len(packed)), packed, *frames]
    )


class Record:
    """A record that is decoded as far as it is asked for."""

    def __init__(self, data: bytes) -> None:
        if data[:4] != _MAGIC:
            raise RecordError("not a force2geo record")
        version = data[4:5]
        if version == b"\x03":
            number, place = data[5] if len(data) > 5 else 0, 6
        elif version == b"\x02":
            number, place = _FIRST_DICTIONARY, 5
        else:
            raise RecordError(
                f"record version {version.hex()}, this reads 02 and 03: update force2geo, or "
                "curate the logs again"
            )
        if number not in TEXTS:
            raise RecordError(f"record of dictionary {number}, unknown here: update force2geo")
        self._data = memoryview(data)
        self._frames = {}
        try:
            (length,) = struct.unpack_from("<I", data, place)
            begin = place + 4
            start = begin + length
            self.header: dict[str, Any] = json.loads(
                _decompressor(number).decompress(self._data[begin:start])
            )
            for name, values in self.header["stages"].items():
                self._frames[name] = (start, start + values["bytes"])
                start += values["bytes"]
        except _DAMAGE as error:
            raise RecordError(f"damaged record ({error})") from error
        if start != len(data):
            raise RecordError(f"damaged record ({len(data)} bytes, {start} expected)")

    def stage(self, name: str) -> Stage:
        """Return one stage (`KeyError` when there is none of that name)."""
        begin, end = self._frames[name]
        try:
            values, atoms = self.header["stages"][name], len(self.header["z"])
            frame = memoryview(_decompressor(0).decompress(self._data[begin:end]))
            steps, codes = values["n"], values["code"]
            shape, place = (steps, 3 * atoms), 8 * steps
            middle = place + fixed_point.size(shape, codes[0])
            gradients = fixed_point.decode(frame[middle:], shape, codes[1])
            if "no_gradient" in values:
                gradients[values["no_gradient"]] = np.nan
            return Stage(
                positions=fixed_point.decode(frame[place:middle], shape, codes[0]).reshape(
                    steps, atoms, 3
                ),
                energies=np.frombuffer(frame, dtype="<f8", count=steps),
                gradients=gradients.reshape(steps, atoms, 3),
                **(_USUAL | values["is"]),
            )
        except _DAMAGE as error:
            raise RecordError(f"damaged record, stage {name} ({error})") from error

    def trajectory(self, stages: Iterable[str] | None = None) -> Trajectory:
        """Return the molecule with the named stages that it has; None means all."""
        header = self.header
        try:
            wanted = header["stages"] if stages is None else stages
            return Trajectory(
                cid=header["cid"],
                atomic_numbers=np.array(header["z"], dtype=np.uint8),
                charge=header["q"],
                multiplicity=header["m"],
                smiles=header["smiles"],
                inchi=header["inchi"],
                stages={name: self.stage(name) for name in wanted if name in header["stages"]},
            )
        except _DAMAGE as error:
            raise RecordError(f"damaged record ({error})") from error


def decode(data: bytes, stages: Iterable[str] | None = None) -> Trajectory:
    """Return the trajectory of a record, with all its stages or the named ones."""
    return Record(data).trajectory(stages)
