"""A trajectory as bytes: self-describing, lossless, nothing that can run code.

Layout, version 2, little-endian:

    4 bytes   b"F2GR"
    1 byte    version, 2
    4 bytes   length H of the header
    H bytes   header: a Zstandard frame (dictionary: `_DICTIONARY` below) of JSON
    …         one Zstandard frame per stage, in the header's order, of the length it gives

The header holds `cid`, `z` (atomic numbers), `q`, `m` (charge, multiplicity), `smiles`, `inchi`
and `stages`: per name the number of steps `n`, the frame's length `bytes`, under `is` what
`Stage` says of program and level where it is not the default, and `code`: for positions and
gradients the three numbers of `fixed_point`. A stage's frame holds energies (n) as float64, then
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
from force2geo.trajectory import Stage, Trajectory

if TYPE_CHECKING:
    from collections.abc import Iterable

_MAGIC = b"F2GR"
_VERSION = 2
_LEVEL = 12
_SCALARS = (
    "program", "version", "method", "basis", "functional", "spherical", "converged", "status",
    "homo", "lumo", "dipole", "origin",
)  # fmt: skip
_DEFAULTS: dict[str, Any] = {
    "basis": "", "functional": "", "spherical": None, "converged": True, "status": "normal",
    "homo": None, "lumo": None, "dipole": None, "origin": [],
}  # fmt: skip
# Part of the format: headers are short and alike, and compress far better with an example.
_DICTIONARY = zstandard.ZstdCompressionDict(
    b'"smiles":"C[C@@H](c1ccccc1)N(C)C(=O)OCCO","inchi":"InChI=1S/C10H14N2O2/c1-2-3-4-5-6-7-8-9'
    b'-10-11-12-13-14-15-16/h1-7,9H,8H2,1-3H3,(H,12,13)/t7-/m0/s1","program":"smash","version":'
    b'"3.0.2","homo":-0.2,"lumo":0.1,"dipole":[0.0,0.0,0.0],"dft_2nd":{"n":3,"dft_1st":{"n":31,'
    b'"bytes":9000,"code":[[10,1,5],[7,0,3]],"is":{"program":"firefly","version":"8.0.1","me'
    b'thod":"b3lyp","basis":"6-31g*","functional":"b3lyp(vwn5)","spherical":false},"hf":{"n":6,'
    b'"code":[[10,1,5],[7,1,3]],"is":{"program":"gamess","version":"1 OCT 2010 (R1)","method'
    b'":"hf","basis":"sto-6g","spherical":false},{"cid":"000000001","q":0,"m":1,"z":[6,6,6,6,7,'
    b'7,8,8,1,1,1,1,1,1],"stages":{"pm3":{"n":47,"bytes":10000,"code":[[10,1,5],[7,1,3'
    b']],"is":{"program":"gamess","version":"1 OCT 2010 (R1)","method":"pm3","basis":"pm3"',
    dict_type=zstandard.DICT_TYPE_RAWCONTENT,
)


_LOCAL = threading.local()


def _decompressors() -> tuple[zstandard.ZstdDecompressor, zstandard.ZstdDecompressor]:
    """Return this thread's decompressors of headers and of stages, slow to make, fast to use."""
    try:
        return _LOCAL.decompressors
    except AttributeError:
        pair = zstandard.ZstdDecompressor(dict_data=_DICTIONARY), zstandard.ZstdDecompressor()
        _LOCAL.decompressors = pair
        return pair


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
    packed = zstandard.ZstdCompressor(level=19, dict_data=_DICTIONARY).compress(text)
    return b"".join([_MAGIC, bytes([_VERSION]), struct.pack("<I", len(packed)), packed, *frames])


class Record:
    """A record that is decoded as far as it is asked for."""

    def __init__(self, data: bytes) -> None:
        if data[:4] != _MAGIC:
            raise RecordError("not a force2geo record")
        if data[4:5] != bytes([_VERSION]):
            raise RecordError(f"record version {data[4:5].hex()}, this reads {_VERSION}")
        self._data = memoryview(data)
        self._frames = {}
        try:
            (length,) = struct.unpack_from("<I", data, 5)
            start = 9 + length
            self.header: dict[str, Any] = json.loads(
                _decompressors()[0].decompress(self._data[9:start])
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
            frame = memoryview(_decompressors()[1].decompress(self._data[begin:end]))
            steps, codes = values["n"], values["code"]
            shape, place = (steps, 3 * atoms), 8 * steps
            middle = place + steps * 3 * atoms * codes[0][2]
            gradients = fixed_point.decode(frame[middle:], shape, codes[1])
            if "no_gradient" in values:
                gradients[values["no_gradient"]] = np.nan
            return Stage(
                positions=fixed_point.decode(frame[place:middle], shape, codes[0]).reshape(
                    steps, atoms, 3
                ),
                energies=np.frombuffer(frame, dtype="<f8", count=steps),
                gradients=gradients.reshape(steps, atoms, 3),
                **{**_DEFAULTS, **values["is"]},
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
