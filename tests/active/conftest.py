"""A pool of packed snapshots."""

import pytest
from active_pools import write_pool


@pytest.fixture
def pool(tmp_path):
    """Six molecules of three atoms and five snapshots each, of two sources."""
    write_pool(tmp_path / "pool.h5")
    return tmp_path / "pool.h5"
