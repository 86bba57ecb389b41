"""tblite called directly, beside its own ASE calculator."""

import numpy as np
import pytest
from ase import Atoms
from tblite.ase import TBLite

from force2geo.calling import tight_binding
from force2geo.calling.tight_binding import TightBinding, takes
from force2geo.calling.worker import Shared, opened


@pytest.mark.parametrize(
    "options",
    [{"method": "GFN2-xTB"}, {"method": "GFN1-xTB", "accuracy": 0.1},
     {"electronic_temperature": 3000.0, "max_iterations": 99}],
)  # fmt: skip
def test_options_are_the_calculator_s(ethanol, options):
    options = {"verbosity": 0, **options}
    energy, forces = TightBinding(options).compute(*ethanol)
    atoms = Atoms(*ethanol, calculator=TBLite(**options))
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-10)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-10)


def test_what_else_the_calculator_takes_is_left_to_it(ethanol):
    solvated = {"method": "GFN2-xTB", "verbosity": 0, "alpb_solvation": ("water",)}
    assert takes(tight_binding.PATH, {"method": "GFN2-xTB", "verbosity": 0})
    assert not takes(tight_binding.PATH, solvated) and not takes("a:B", {})
    made = opened({"calculator": tight_binding.PATH, "options": solvated})
    assert isinstance(made, Shared)
    numbers, x = ethanol
    alone = Atoms(numbers, x, calculator=TBLite(**solvated)).get_potential_energy()
    # Another molecule of the same atoms before it leaves no trace.
    made.compute(numbers, x[::-1].copy()[[8, 7, 6, 5, 4, 3, 2, 1, 0]] * 1.05)
    assert made.compute(numbers, x)[0] == alone


def test_one_that_leads_nowhere_starts_anew_and_what_fails_fails(ethanol, monkeypatch):
    made = TightBinding({"verbosity": 0})
    cold, _ = made.compute(*ethanol)
    made.compute(*ethanol, identity=1)
    kept = made._kept[1][0]

    def fails(result):
        raise RuntimeError("SCF not converged in 250 cycles")

    monkeypatch.setattr(kept, "singlepoint", fails)
    assert made.compute(*ethanol, identity=1)[0] == cold
    assert made._kept[1][0] is not kept and made._atoms == 9
    with pytest.raises(RuntimeError, match="not converged"):
        TightBinding({"verbosity": 0, "max_iterations": 1}).compute(*ethanol)


def test_wave_functions_of_so_many_atoms_are_kept(monkeypatch, ethanol):
    monkeypatch.setattr(tight_binding, "MOST_ATOMS", 20)
    made = TightBinding({"verbosity": 0})
    for identity in (1, 2, 1, 3):
        made.compute(*ethanol, identity=identity)
    assert list(made._kept) == [1, 3] and made._atoms == 18
