"""A small run of the fuzz of pairs of runs in one file (`benchmarks/curation/fuzz_pairs.py`)."""

import sys
from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest

from force2geo.logs import parse_log


@pytest.fixture(scope="module")
def fuzz(repository):
    path = repository / "benchmarks/curation/fuzz_pairs.py"
    spec = spec_from_file_location("fuzz_pairs", path)
    module = module_from_spec(spec)
    before = list(sys.path)
    sys.modules["fuzz_pairs"] = module
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


def test_no_step_of_a_complete_run_is_missing(fuzz):
    tried, faults = fuzz.run(400, seed=2024)
    assert faults == []
    assert tried.total() == 400 and len(tried) == len(fuzz.KINDS) * len(fuzz.SCENARIOS)


def test_the_fuzz_notices_what_is_missing(fuzz, gamess):
    whole, less = parse_log(gamess), parse_log(gamess)
    assert fuzz.missing(whole, whole) == ""
    less.positions, less.energies = whole.positions[1:], whole.energies[1:]
    less.gradients = whole.gradients[1:]
    assert fuzz.missing(less, whole) == "step 1 of 7 is missing"
    less = parse_log(gamess)
    less.gradients[2] = np.nan
    assert fuzz.missing(less, whole) == "step 3 of 7 is missing"
    less = parse_log(gamess)
    less.converged = False
    assert fuzz.missing(less, whole) == "it is not converged"


def test_turned_text_is_the_same_molecule_in_another_orientation(fuzz, smash):
    log = parse_log(smash)
    other = parse_log(fuzz.turned(smash, fuzz.KINDS["smash"], np.random.default_rng(1)))
    assert np.abs(other.positions - log.positions).max() > 0.5
    np.testing.assert_allclose(
        fuzz.distances(other.positions), fuzz.distances(log.positions), atol=5e-7
    )
    np.testing.assert_allclose(
        np.linalg.norm(other.gradients, axis=-1), np.linalg.norm(log.gradients, axis=-1), atol=5e-7
    )
