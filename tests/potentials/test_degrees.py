"""Pieces of networks of several degrees: exact constants, weights of attention."""

import pytest
import torch

pytest.importorskip("e3nn")

from force2geo.potentials.degrees import EdgeMatrices, attention, coupling


def test_a_matrix_of_degree_1_by_1_to_1_is_a_cross_product_and_stays_exact():
    """Its entries, 1/sqrt(6) of unit norm, are no float32."""
    matrices = EdgeMatrices({"1": coupling(1, 1, 1, 2)}, 2, "component")
    x, y = torch.randn(2, 5, 3, dtype=torch.float64, generator=torch.manual_seed(0))
    for dtype in (torch.float64, torch.float32, torch.float64):
        harmonics, found = matrices.to(dtype)(x.to(dtype))
        assert harmonics.dtype == found["1"].dtype == dtype
    unit = x / x.norm(dim=1, keepdim=True)
    expected = torch.linalg.cross(unit, y) * (3 / 6) ** 0.5
    product = (found["1"] @ y[:, :, None])[:, :, 0]
    sign = (product * expected).sum().sign()
    torch.testing.assert_close(sign * product, expected, rtol=0, atol=1e-14)


def test_attention_is_a_softmax_over_the_edges_that_reach_an_atom():
    scores = torch.tensor([[1.0, 800.0], [2.0, 801.0], [-3.0, -900.0]], dtype=torch.float64)
    found = attention(scores, torch.tensor([2, 2, 0]), 4)
    torch.testing.assert_close(found[:2], scores[:2].softmax(0))
    torch.testing.assert_close(found[2], torch.ones(2, dtype=torch.float64))
