"""The published PubChemQCR format, both ways (dataset card of PubChemQCR; Force2Geo, appendix A.2).

A value is a gzip'd pickle of `{'pm3', 'hf', 'DFT_1st', 'DFT_2nd'}`, each None or a list of steps
`{'coordinates': [{'atom', 'charge', 'x', 'y', 'z'}, …], 'energy', 'gradient': [{'atom', 'charge',
'dx', 'dy', 'dz'}, …]}` in Å, Hartree and Hartree/bohr; atoms of SMASH runs carry no `charge`.
"""

from __future__ import annotations

import gzip
import pickle
import zlib
from typing import TYPE_CHECKING, Any

import lmdb
import numpy as np

from force2geo.elements import SYMBOLS, atomic_number
from force2geo.errors import UserError
from force2geo.interchange.plain_pickle import PlainPickleError, loads
from force2geo.trajectory import Stage, Trajectory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAGE_NAMES = {"pm3": "pm3", "hf": "hf", "DFT_1st": "dft_1st", "DFT_2nd": "dft_2nd"}
_MAX_BYTES = 1 << 29
# What the published protocol ran at each stage (appendix A.1); records do not say it themselves.
_LEVELS = {
    "pm3": ("gamess", "pm3", "pm3", "", None),
    "hf": ("gamess", "hf", "sto-6g", "", False),
    "dft_1st": ("firefly", "b3lyp", "6-31g*", "b3lyp(vwn-rpa)", False),
    "dft_2nd": ("gamess", "b3lyp", "6-31g*", "b3lyp(vwn5)", False),
}
_SMASH = ("smash", "b3lyp", "6-31g*", "b3lyp(vwn-rpa)", True)


class PublishedFormatError(ValueError):
    """A value is not a trajectory in the published format; the message says why."""


def _decompress(value: bytes) -> bytes:
    stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
    try:
        data = stream.decompress(value, _MAX_BYTES)
    except zlib.error as error:
        raise PublishedFormatError(f"not gzip data ({error})") from None
    if stream.unconsumed_tail:
        raise PublishedFormatError(f"more than {_MAX_BYTES} bytes")
    if not stream.eof:
        raise PublishedFormatError("the gzip data are cut off")
    return data


def _stage(name: str, steps: list[dict[str, Any]], symbols: list[str]) -> Stage:
    atoms = len(symbols)
    positions = np.array(
        [[(atom["x"], atom["y"], atom["z"]) for atom in step["coordinates"]] for step in steps],
        dtype=np.float64,
    )
    gradients = np.full((len(steps), atoms, 3), np.nan)
    energies = np.full(len(steps), np.nan)
    for index, step in enumerate(steps):
        if [atom["atom"] for atom in step["coordinates"]] != symbols:
            raise PublishedFormatError(f"{name}: the atoms change at step {index}")
        if step.get("energy") is not None:
            energies[index] = step["energy"]
        if step.get("gradient"):
            gradients[index] = [(atom["dx"], atom["dy"], atom["dz"]) for atom in step["gradient"]]
    level = _LEVELS[name]
    if name == "dft_1st" and "charge" not in steps[0]["coordinates"][0]:
        level = _SMASH
    program, method, basis, functional, spherical = level
    return Stage(
        program=program,
        version="",
        method=method,
        basis=basis,
        # A stage is followed by the next only when it converged; the format has no flag.
        converged=True,
        positions=positions,
        energies=energies,
        gradients=gradients,
        functional=functional,
        spherical=spherical,
    )


def _cid(key: bytes) -> str:
    """Return a key as a nine-digit CID; any other key would be cut, or be another molecule's."""
    text = key.decode("ascii", "replace")
    if not (text.isascii() and text.isdigit()) or len(text.lstrip("0")) > 9:
        raise PublishedFormatError("the key is not a CID, a number of at most nine digits")
    return text.lstrip("0").zfill(9)


def decode(key: bytes, value: bytes) -> Trajectory:
    """Return the trajectory of a published record; `PublishedFormatError` when it is none.

    The format has no charge and no multiplicity: see `published.set_charge`.
    """
    try:
        cid = _cid(key)
        stages = loads(_decompress(value))
        present = {STAGE_NAMES[k]: steps for k, steps in stages.items() if steps}
        if not present:
            raise PublishedFormatError("no stage")
        first = next(iter(present.values()))[0]["coordinates"]
        symbols = [atom["atom"] for atom in first]
        return Trajectory(
            cid=cid,
            atomic_numbers=np.array([atomic_number(s) for s in symbols], dtype=np.uint8),
            stages={name: _stage(name, steps, symbols) for name, steps in present.items()},
        )
    except PlainPickleError as error:
        raise PublishedFormatError(str(error)) from None
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, PublishedFormatError):
            raise
        raise PublishedFormatError(f"not a published record ({error!r})") from None


def _steps(stage: Stage, numbers: np.ndarray) -> list[dict[str, Any]]:
    smash = stage.program == "smash"
    atoms = [{"atom": SYMBOLS[z]} | ({} if smash else {"charge": float(z)}) for z in numbers]
    steps = []
    for x, energy, gradient in zip(
        stage.positions.tolist(), stage.energies.tolist(), stage.gradients.tolist(), strict=True
    ):
        slope = None
        if gradient and gradient[0][0] == gradient[0][0]:
            slope = [
                {**atom, "dx": g[0], "dy": g[1], "dz": g[2]}
                for atom, g in zip(atoms, gradient, strict=True)
            ]
        steps.append(
            {
                "coordinates": [
                    {**atom, "x": p[0], "y": p[1], "z": p[2]}
                    for atom, p in zip(atoms, x, strict=True)
                ],
                "energy": energy if energy == energy else None,
                "gradient": slope,
            }
        )
    return steps


def encode(trajectory: Trajectory) -> bytes:
    """Return the published record of a trajectory; sets of points have no place in it.

    Numbers that a step did not print become None, which the published loader skips.
    """
    stages = {
        published: _steps(trajectory.stages[name], trajectory.atomic_numbers)
        if name in trajectory.stages
        else None
        for published, name in STAGE_NAMES.items()
    }
    # mtime=0: the same trajectory gives the same bytes.
    return gzip.compress(pickle.dumps(stages, protocol=4), mtime=0)


def read_published(path: Path) -> Iterator[tuple[str, Trajectory | PublishedFormatError]]:
    """Yield each key of a published LMDB with its trajectory or what is wrong with it."""
    try:
        environment = lmdb.open(
            str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False
        )
    except lmdb.Error as error:
        raise UserError(f"{path}: not a readable LMDB ({error})") from None
    with environment, environment.begin() as transaction:
        for key, value in transaction.cursor():
            result: Trajectory | PublishedFormatError
            try:
                result = decode(key, value)
            except PublishedFormatError as error:
                result = error
            yield key.decode("ascii", "replace"), result
