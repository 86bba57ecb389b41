"""What a file of structures holds, for tests."""

from force2geo.relax.structures import Lost, each_structure


def read_structures(path):
    """Return its structures, and place and reason of those it has in vain."""
    found = list(each_structure(path))
    lost = [(one.place, one.reason) for one in found if isinstance(one, Lost)]
    return [one for one in found if not isinstance(one, Lost)], lost
