"""Which geometries come first, by hand."""

import numpy as np
import pytest

from force2geo.active.choice import Chosen, frame_numbers, read_choice, write_choice
from force2geo.active.ranking import Limits, covering, first_apart, least_sure
from force2geo.errors import UserError

CIDS = np.array(["b", "b", "a", "a", "c"])


def straight(lengths):
    """Geometries of two atoms so far apart, by place."""
    return lambda place: np.array([[0.0, 0, 0], [0, 0, lengths[place]]])


def test_the_least_sure_are_first_and_ties_go_by_name():
    spread = np.array([0.1, 0.5, 0.5, np.nan, 0.5])
    assert least_sure(spread, CIDS, np.array([0, 1, 0, 1, 0])).tolist() == [2, 1, 4, 0]
    spread[4] = np.inf
    assert least_sure(spread, CIDS, np.array([0, 1, 0, 1, 0])).tolist() == [2, 1, 0]


def test_a_molecule_has_no_more_than_its_share_and_the_budget_is_kept():
    order, any_ = [0, 1, 2, 3, 4], straight([1.0] * 5)
    assert first_apart(order, CIDS, any_, 3, Limits(), {}) == [0, 1, 2]
    assert first_apart(order, CIDS, any_, 3, Limits(1), {}) == [0, 2, 4]
    with pytest.raises(UserError, match="4 labels are wanted and the pool has 3"):
        first_apart(order, CIDS, any_, 4, Limits(1), {})


def test_geometries_alike_are_not_chosen_twice_nor_again():
    # A pair's atoms each move half of what its length changes.
    geometry = straight([1.0, 1.1, 1.0, 1.3, 1.0])
    order = [0, 1, 2, 3, 4]
    assert first_apart(order, CIDS, geometry, 3, Limits(2, 0.06), {}) == [0, 2, 3]
    assert first_apart(order, CIDS, geometry, 3, Limits(2, 0.04), {}) == [0, 1, 2]
    taken = {"c": [geometry(4) + 5.0], "b": [np.array([[0.0, 0, 1.12], [0, 0, 0]])]}
    assert first_apart(order, CIDS, geometry, 2, Limits(2, 0.04), taken) == [0, 2]
    with pytest.raises(UserError, match="the pool has 3 that"):  # neither c nor the second b
        first_apart(order, CIDS, geometry, 4, Limits(2, 0.04), taken)


def test_the_first_choice_has_every_element():
    composition = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1, 0, 1, 0], [1, 0, 0, 0]])
    order = np.array([4, 1, 3, 2, 0])
    # Of the two rare elements the second one's first is 3, and of the first one 2 is before 0.
    assert covering(order, composition > 0, 2).tolist() == [2, 4, 1, 3, 0]
    apart = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1]])
    assert covering(np.array([2, 1, 0]), apart > 0, 2).tolist() == [0, 1, 2]
    with pytest.raises(UserError, match="1 labels are too few to have each of 3 elements"):
        covering(np.array([2, 1, 0]), apart > 0, 1)


def test_a_choice_is_read_as_it_was_written(tmp_path):
    chosen = [Chosen("000000007", 3, 0.25), Chosen("000000001", 0)]
    write_choice(tmp_path / "a.csv", chosen)
    assert (tmp_path / "a.csv").read_text() == (
        "cid,frame,spread,rank\n000000007,3,0.25,1\n000000001,0,,2\n"
    )
    first, second = read_choice(tmp_path / "a.csv")
    assert first == chosen[0] and second[:2] == chosen[1][:2] and np.isnan(second.spread)
    (tmp_path / "a.csv").write_text("cid,rank\n1,1\n")
    with pytest.raises(UserError, match="not a choice, CSV"):
        read_choice(tmp_path / "a.csv")


def test_frames_are_counted_molecule_by_molecule():
    assert frame_numbers(np.array([b"x", b"y", b"x", b"x", b"y"])).tolist() == [0, 0, 1, 2, 1]
