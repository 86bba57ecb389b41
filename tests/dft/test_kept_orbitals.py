"""Orbitals on the grid are computed once a field, and nothing else is any different."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import molecule

from force2geo.dft import kept_orbitals
from force2geo.dft.kept_orbitals import KeptOrbitals
from force2geo.dft.level import Level, build_mean_field, on_gpu

WATER = np.array([8, 1, 1]), np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])
SMALL, LARGER = (Level(basis="sto-3g", grid_level=level) for level in (1, 2))
STATES = pytest.mark.parametrize(("charge", "multiplicity"), [(0, 1), (1, 2)])


@pytest.fixture
def evaluated(monkeypatch):
    """Derivatives of orbitals that are evaluated, one entry a call."""
    found, real = [], kept_orbitals.NumInt.eval_ao

    def eval_ao(self, mol, coords, deriv=0, **more):
        found.append(deriv)
        return real(mol, coords, deriv=deriv, **more)

    monkeypatch.setattr(kept_orbitals.NumInt, "eval_ao", eval_ao)
    return found


def solved(field):
    energy = field.kernel()
    assert field.converged
    return energy, field.nuc_grad_method().kernel()


@STATES
def test_energy_and_gradient_are_pyscf_s_to_the_last_bit(charge, multiplicity):
    plain, ours = (build_mean_field(*WATER, Level(), charge, multiplicity) for _ in range(2))
    ours = on_gpu(ours)
    assert isinstance(ours._numint, KeptOrbitals)
    one, other = solved(plain), solved(ours)
    assert one[0] == other[0]
    np.testing.assert_array_equal(one[1], other[1])


def test_many_points_are_several_blocks_and_each_has_its_own_orbitals(evaluated):
    atoms = molecule("C3H8")
    plain, ours = (build_mean_field(atoms.numbers, atoms.positions, LARGER) for _ in range(2))
    ours = on_gpu(ours)
    energy = ours.kernel()
    assert len(ours._numint._blocks) == len(evaluated) == 2
    assert energy == plain.kernel()


@STATES
def test_they_are_evaluated_once(evaluated, charge, multiplicity):
    field = on_gpu(build_mean_field(*WATER, SMALL, charge, multiplicity))
    field.kernel()
    assert evaluated == [1] and field.cycles > 3
    field.nuc_grad_method().kernel()
    assert evaluated == [1, 2] and field._numint._blocks == []  # let go of for the gradient


def test_another_geometry_has_its_own(evaluated):
    scanner = on_gpu(build_mean_field(*WATER, SMALL)).as_scanner()
    moved = WATER[1] + np.array([[0, 0, 0.0], [0, 0.02, 0], [0, 0, 0.03]])
    for places in (WATER[1], moved):
        atoms = [(int(z), tuple(x)) for z, x in zip(WATER[0], places, strict=True)]
        energy = scanner(scanner.mol.set_geom_(atoms, unit="Angstrom", inplace=False))
        assert energy == pytest.approx(build_mean_field(WATER[0], places, SMALL).kernel(), abs=1e-7)
    assert evaluated.count(1) >= 2


@pytest.mark.parametrize("why", ["too many", "PySCF may not", "no memory"])
def test_what_has_no_room_is_evaluated_in_each_cycle(evaluated, monkeypatch, why):
    class Full(np.ndarray):
        def copy(self, *_, **__):
            raise MemoryError

    if why == "too many":
        monkeypatch.setattr(kept_orbitals, "MOST", 0)
    elif why == "no memory":
        real = kept_orbitals.NumInt.eval_ao
        monkeypatch.setattr(
            kept_orbitals.NumInt, "eval_ao", lambda *a, **k: real(*a, **k).view(Full)
        )
    field = on_gpu(build_mean_field(*WATER, SMALL))
    if why == "PySCF may not":
        field.max_memory = 1
    energy = field.kernel()
    assert evaluated.count(1) > 3 and field._numint._blocks == []
    assert energy == pytest.approx(build_mean_field(*WATER, SMALL).kernel(), abs=1e-10)


def test_hartree_fock_has_none():
    field = on_gpu(build_mean_field(*WATER, Level(method="hf", basis="sto-3g")))
    assert not hasattr(field, "_numint") and field.kernel() < -74
