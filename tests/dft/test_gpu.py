"""What goes to a GPU where gpu4pyscf and one are there: a fake that notes who is moved."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from force2geo.dft import gradients, label, single_points
from force2geo.dft.level import Level, build_mean_field

WATER = np.array([8, 1, 1]), np.array([[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])


class OnGpu:
    """An array that is not numpy's before it is asked for."""

    __array__ = None

    def __init__(self, values):
        self.values = values

    def get(self):
        return self.values


@pytest.fixture
def gpu(monkeypatch):
    """A GPU to PySCF's eyes: who is moved there is noted, and what it gives is a GPU's."""
    moved = []

    def build(*args, **options):
        field = build_mean_field(*args, **options)

        def to_gpu():
            moved.append(field.mol.natm)
            density = field.make_rdm1
            field.make_rdm1 = lambda *given, **named: (
                density(*given, **named) if given or named else OnGpu(density())
            )
            return field

        field.to_gpu = to_gpu
        return field

    monkeypatch.setitem(sys.modules, "gpu4pyscf", ModuleType("gpu4pyscf"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for module in (single_points, label):
        monkeypatch.setattr(module, "build_mean_field", build)
    return moved


def test_gradients_of_finishing_and_labels_are_computed_on_a_gpu_where_there_is_one(gpu):
    task = gradients.Task(*WATER, Level())
    found = gradients.compute(task)
    assert gpu == [3] and not found.error and isinstance(found.density, np.ndarray)
    energies, slopes, density = label.energies_and_gradients(WATER[0], [WATER[1]] * 2)
    assert gpu == [3] * 3 and isinstance(density, np.ndarray)
    assert energies == pytest.approx([found.energy] * 2, abs=1e-6)
    np.testing.assert_allclose(slopes, [found.gradient] * 2, atol=1e-5)
