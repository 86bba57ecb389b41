"""The published PaiNN: its numbers are in test_published.py, its physics in the contract."""

from force2geo.potentials.registry import find, named

SMALL = {"layers": 2, "features": 16, "basis_size": 16, "cutoff": 4.5}


def test_it_was_a_variant_once():
    assert named({"name": "painn", "variant": "published"} | SMALL) == ("painn_published", SMALL)
    assert find("painn_published").largest_element == 79
