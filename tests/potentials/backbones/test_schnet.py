"""SchNet: sizes; its physics is in the contract, its equations in test_by_hand.py."""

from force2geo.potentials.registry import find

SMALL = {"layers": 2, "features": 16, "basis_size": 16, "cutoff": 4.5}


def test_size_of_table_8():
    settings, batch_size = find("schnet").about.table8
    assert settings == {"layers": 4, "features": 128, "basis_size": 128, "cutoff": 4.5}
    assert batch_size == 128
