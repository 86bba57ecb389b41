"""A trajectory as bytes: self-describing, lossless, nothing that can run code.

Layout: 4 bytes `F2GR`, 1 byte version, then a Zstandard frame holding a little-endian uint32
length L, L bytes of JSON (the molecule, its stages and the number of steps T of each) and, stage
by stage in the JSON's order, little-endian float64 arrays: positions (T,n,3), energies (T,),
gradients (T,n,3).
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import zstandard

from force2geo.trajectory import Stage, Trajectory

_MAGIC = b"F2GR"
_VERSION = 1
_SCALARS = (
    "program",
    "version",
    "method",
    "basis",
    "converged",
    "homo",
    "lumo",
    "dipole",
    "origin",
)
_MAX_BYTES = 1 << 31


class RecordError(ValueError):
    """Bytes are not a record this version reads."""


def encode(trajectory: Trajectory) -> bytes:
    """Return the record of a trajectory."""
    header: dict[str, Any] = {
        "cid": trajectory.cid,
        "atomic_numbers": [int(z) for z in trajectory.atomic_numbers],
        "charge": trajectory.charge,
        "multiplicity": trajectory.multiplicity,
        "smiles": trajectory.smiles,
        "inchi": trajectory.inchi,
        "stages": {},
    }
    arrays = []
    for name, stage in trajectory.stages.items():
        values = {key: getattr(stage, key) for key in _SCALARS}
        header["stages"][name] = {"steps": len(stage), **values}
        arrays += [stage.positions, stage.energies, stage.gradients]
    text = json.dumps(header).encode()
    body = b"".join(np.ascontiguousarray(a, dtype="<f8").tobytes() for a in arrays)
    payload = struct.pack("<I", len(text)) + text + body
    return _MAGIC + bytes([_VERSION]) + zstandard.compress(payload, 9)


def decode(record: bytes) -> Trajectory:
    """Return the trajectory of a record; `RecordError` when it is none."""
    if record[:4] != _MAGIC:
        raise RecordError("not a force2geo record")
    if record[4] != _VERSION:
        raise RecordError(f"record version {record[4]}, this reads {_VERSION}")
    try:
        payload = zstandard.ZstdDecompressor().decompress(record[5:], max_output_size=_MAX_BYTES)
        (length,) = struct.unpack_from("<I", payload)
        header = json.loads(payload[4 : 4 + length])
        numbers = np.array(header["atomic_numbers"], dtype=np.uint8)
        trajectory = Trajectory(
            atomic_numbers=numbers,
            **{k: header[k] for k in ("cid", "charge", "multiplicity", "smiles", "inchi")},
        )
        offset, atoms = 4 + length, len(numbers)
        for name, values in header["stages"].items():
            steps = values.pop("steps")
            arrays = []
            for shape in ((steps, atoms, 3), (steps,), (steps, atoms, 3)):
                count = int(np.prod(shape))
                array = np.frombuffer(payload, "<f8", count, offset).reshape(shape)
                arrays.append(array)
                offset += 8 * count
            trajectory.stages[name] = Stage(
                positions=arrays[0], energies=arrays[1], gradients=arrays[2], **values
            )
    except (zstandard.ZstdError, struct.error, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"damaged record ({error})") from error
    return trajectory
