"""3BPA: numbers as the file prints them, and parts that do not meet."""

import gzip
import re

import numpy as np
import pytest

from force2geo.errors import UserError
from force2geo.training_data import registry


def test_frames_are_the_file_s(shared_data):
    folder = shared_data.whole("rmd17")
    data = registry.build({"from": "threebpa", "folder": str(folder), "test": 40})
    data.check_files()
    parts = {frames.part: frames for frames in data.snapshots()}
    assert {part: len(f.energies) for part, f in parts.items()} == {
        "train": 410, "val": 50, "test": 40,
    }  # fmt: skip
    text = gzip.decompress((folder / data.files()[0].path).read_bytes()).decode()
    printed = [float(value) for value in re.findall(r"(?<=\benergy=)\S+", text)]
    together = np.concatenate([frames.energies for frames in parts.values()])
    np.testing.assert_array_equal(np.sort(together), np.sort(printed))
    # The first frame, which a test takes: its first atom and the force on it, eV and eV/Å.
    test = parts["test"]
    assert test.energies[0] == -17660.461737861464
    assert test.positions[0, 0].tolist() == [0.3265699, -1.01286015, 0.72107275]
    assert test.forces[0, 0].tolist() == [0.17092934, 0.132742, 0.79555789]
    assert np.abs(test.forces.sum(axis=1)).max() < 0.05
    # 3-(benzyloxy)pyridin-2-amine, C12H12N2O.
    assert np.bincount(test.atomic_numbers)[[1, 6, 7, 8]].tolist() == [12, 12, 2, 1]


def test_something_is_left_to_train_on():
    with pytest.raises(UserError, match="of 500 frames none is left"):
        registry.build({"from": "threebpa", "folder": "x", "validation": 400, "test": 100})
