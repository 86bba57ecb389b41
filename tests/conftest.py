"""Fixtures: the repository, the real data beside it where there is some, small molecules."""

from __future__ import annotations

import lzma
import os
import signal
import tempfile
from functools import cache
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported: workers share the cores already.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

pytest_plugins = ["made_trajectories"]

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
SHARED = REPOSITORY.parent / "shared"
_UNPACKED = tempfile.TemporaryDirectory()


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


def pytest_configure() -> None:
    """Let interrupts arrive: shells start background jobs with them ignored, tests send some."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file, and of the miniature, in one process: they share what they make.

    The workflow's come first, for they take longest.
    """
    items.sort(key=lambda item: "tests/workflow/" not in item.path.as_posix())
    for item in items:
        whole = item.path.parent.name == "miniature"
        item.add_marker(pytest.mark.xdist_group(str(item.path.parent if whole else item.path)))


class SharedData:
    """Real data: `shared_data / "logs/x.out"` is a path, or skips the test when it is not there.

    The large set lies in `../shared/data`; a small part of it ships in `tests/data`, and logs in
    `tests/logs/data`.
    """

    def __init__(self, folder: str = "") -> None:
        self.folder = folder

    def __truediv__(self, name: str) -> Path | SharedData:
        inside = f"{self.folder}{name}"
        places = [SHARED / "data" / inside, HERE / "data" / inside]
        if inside.startswith("logs/"):
            places += [HERE / "logs/data" / inside[5:], HERE / "logs/data" / Path(inside).name]
        for path in places:
            if path.exists():
                return path
            packed = path.with_name(f"{path.name}.xz")
            if packed.exists():
                return _unpacked(packed)
        if not Path(inside).suffix:  # a folder: a file in it may be there
            return SharedData(f"{inside}/")
        pytest.skip(f"{inside} is not in ../shared/data")

    def whole(self, name: str) -> Path:
        """Return a folder with all that the large set has in it; the test is skipped without."""
        folder = SHARED / "data" / name
        if not folder.exists():
            pytest.skip(f"all of {name} is in ../shared/data alone")
        return folder


@cache
def _unpacked(packed: Path) -> Path:
    target = Path(_UNPACKED.name) / packed.stem
    target.write_bytes(lzma.decompress(packed.read_bytes()))
    return target


@pytest.fixture(scope="session")
def shared_data() -> SharedData:
    """Real logs, trajectories and reference weights, as far as they are there."""
    return SharedData()


@pytest.fixture(scope="session")
def ethanol() -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers (9,) and positions (9,3) Å of ethanol."""
    numbers = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])
    positions = np.array(
        [
            [1.17, -0.41, 0.0], [0.0, 0.55, 0.0], [-1.20, -0.22, 0.0],
            [2.12, 0.14, 0.01], [1.14, -1.05, 0.88], [1.13, -1.06, -0.88],
            [0.04, 1.19, 0.89], [0.03, 1.19, -0.89], [-1.95, 0.38, 0.0],
        ]
    )  # fmt: skip
    return numbers, positions
