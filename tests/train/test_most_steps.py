"""Trainings that end with so many batches."""

from __future__ import annotations

import pytest

from force2geo.train.runs import _epochs


@pytest.mark.parametrize(
    ("epochs", "steps", "molecules", "found"),
    [
        (150, None, 118, 150),
        (150, 600, 118, 150),  # 4 batches an epoch, the last of 22
        (150, 599, 118, 150),
        (150, 596, 118, 149),
        (150, 700, 1600, 14),
        (150, 1, 1600, 1),
        (0, 700, 1600, 0),  # what is not trained stays so
    ],
)
def test_epochs_hold_no_more_batches_than_asked(epochs, steps, molecules, found):
    settings = {"epochs": epochs, "batch_size": 32} | ({"most_steps": steps} if steps else {})
    assert _epochs(settings, molecules) == found


def test_passes_of_an_epoch_count_as_batches():
    settings = {"epochs": 150, "batch_size": 32, "most_steps": 598}
    assert _epochs(settings | {"passes": 4}, 118) == 40  # 15 batches an epoch
