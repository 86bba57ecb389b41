"""Edges and triplets, against all pairs and triples of atoms looked at one by one."""

import itertools

import numpy as np
import torch

from force2geo.potentials.batch import collate, spans
from force2geo.potentials.graph import Graph

CHAIN = np.array([6, 8, 1, 1]), np.array([[0, 0, 0], [1.0, 0, 0], [1.0, 1.2, 0], [9.0, 0, 0]])


def test_edges_of_a_chain_at_typed_in_places():
    batch = collate([CHAIN[0]], [CHAIN[1]], torch.float64)
    graph = Graph.of(batch, 1.5)
    edges = list(zip(graph.receiver.tolist(), graph.sender.tolist(), strict=True))
    # 1.0 and 1.2 Å; the ends are 1.56 Å apart, the last atom is alone.
    vectors = {(0, 1): [1, 0, 0], (1, 0): [-1, 0, 0], (1, 2): [0, 1.2, 0], (2, 1): [0, -1.2, 0]}
    assert dict(zip(edges, graph.vectors(batch.positions).tolist(), strict=True)) == vectors
    assert edges[2:] == [(sender, receiver) for receiver, sender in edges[:2]]
    assert (graph.atoms, graph.cutoff) == (4, 1.5)
    earlier, later = graph.triplets
    paths = {(*edges[e][::-1], edges[f][0]) for e, f in zip(earlier, later, strict=True)}
    assert paths == {(0, 1, 2), (2, 1, 0)} and len(earlier) == 2


def test_edges_and_triplets_are_all_that_there_are_and_each_once():
    rng = np.random.default_rng(3)
    sizes = (4, 1, 7, 2)
    batch = collate(
        [np.full(n, 6) for n in sizes], [rng.normal(scale=1.2, size=(n, 3)) for n in sizes],
        torch.float64,
    )  # fmt: skip
    graph, x = Graph.of(batch, 2.0), batch.positions.numpy()
    starts = np.concatenate([[0], np.cumsum(sizes)])
    near = {
        (i, j)
        for first, last in itertools.pairwise(starts)
        for i, j in itertools.permutations(range(first, last), 2)
        if np.linalg.norm(x[i] - x[j]) < 2.0
    }
    receiver, sender = graph.receiver.numpy(), graph.sender.numpy()
    found = list(zip(receiver.tolist(), sender.tolist(), strict=True))
    assert set(found) == near and len(found) == len(near) > 20
    np.testing.assert_allclose(graph.vectors(batch.positions), x[sender] - x[receiver])
    paths = sorted((k, j, i) for i, j in near for second, k in near if second == j and k != i)
    earlier, later = (edges.numpy() for edges in graph.triplets)
    np.testing.assert_array_equal(receiver[earlier], sender[later])
    made = zip(sender[earlier].tolist(), sender[later].tolist(), receiver[later].tolist(),
               strict=True)  # fmt: skip
    assert sorted(made) == paths and len(paths) > 20


def test_a_graph_without_edges_has_no_triplets():
    graph = Graph.of(collate([np.array([8])] * 2, [np.zeros((1, 3))] * 2), 3.0)
    assert [len(part) for part in (graph.receiver, graph.sender, *graph.triplets)] == [0] * 4


def test_molecules_stand_one_after_the_other():
    batch = collate([np.array([8, 1]), np.array([6]), np.array([1, 1, 7])],
                    [np.eye(3)[:2], np.ones((1, 3)), 2 * np.eye(3)])  # fmt: skip
    assert batch.atomic_numbers.tolist() == [8, 1, 6, 1, 1, 7]
    assert batch.molecule.tolist() == [0, 0, 1, 2, 2, 2] and batch.ptr.tolist() == [0, 2, 3, 6]
    assert batch.size == 3 and batch.atoms_per_molecule.tolist() == [2, 1, 3]
    assert batch.positions[[0, 2, 5]].tolist() == [[1, 0, 0], [1, 1, 1], [0, 0, 2]]


def test_spans_count_from_each_start():
    found = spans(torch.tensor([7, 0, 3, 20]), torch.tensor([2, 3, 0, 1]))
    assert found.tolist() == [7, 8, 0, 1, 2, 20]
    assert spans(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long)).tolist() == []
