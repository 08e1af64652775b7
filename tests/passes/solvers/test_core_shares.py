"""Cores for groups of neurons: nobody is faster on any other share."""

from itertools import combinations

import numpy as np
import pytest
from gossamer.passes.solvers.core_shares import fewest, paces, shares


def test_cores_are_dealt_to_whoever_works_longest():
    groups = [np.full(90, 1.0), np.full(30, 1.0), np.full(1, 1.0)]
    assert shares([paces(work, 13) for work in groups], np.ones(3, int), 13).tolist() == [9, 3, 1]


def test_no_group_gets_more_cores_than_neurons_nor_fewer_than_it_needs():
    given = [paces(np.full(3, 3.0), 9), paces(np.full(2, 0.5), 9)]
    assert shares(given, np.ones(2, int), 9).tolist() == [3, 2]
    assert shares(given, np.array([1, 2]), 3).tolist() == [1, 2]
    assert shares([], np.zeros(0, int), 4).tolist() == []


def test_cores_that_whole_neurons_cannot_use_go_to_others():
    """Eleven neurons are done as soon on six cores as on ten: the four that are left help the other group."""
    eleven, many = np.full(11, 4.0), np.full(200, 0.5)
    given = [paces(eleven, 16, apiece=4.0), paces(many, 16)]
    assert given[0][[5, 6, 10, 11]].tolist() == [16.0, 12.0, 12.0, 8.0]
    assert shares(given, np.ones(2, int), 16).tolist() == [6, 10]


def test_a_pace_is_that_of_the_best_partition():
    work = np.array([5.0, 4.0, 3.0, 3.0, 3.0])
    pairs = [sum(work[list(chosen)]) for size in range(6) for chosen in combinations(range(5), size)]
    best = min(max(first, work.sum() - first) for first in pairs)
    assert paces(work, 2).tolist() == [np.inf, 18.0, best]


@pytest.mark.parametrize("seed", range(20))
def test_the_slowest_group_is_as_fast_as_any_share_makes_it(seed: int):
    generator = np.random.default_rng(seed)
    groups = [generator.gamma(1.0, 1.0, generator.integers(1, 9)) for _ in range(3)]
    given = [paces(work, 12, float(generator.random())) for work in groups]
    share = shares(given, np.ones(3, int), 12)
    others = [
        np.array(each) for each in np.ndindex(*(len(pace) for pace in given)) if min(each) > 0 and sum(each) <= 12
    ]
    best = min(max(pace[c] for pace, c in zip(given, each, strict=True)) for each in others)
    assert max(pace[c] for pace, c in zip(given, share, strict=True)) == best
    assert share.sum() == min(12, sum(len(work) for work in groups))


def test_the_fewest_cores_that_keep_a_pace():
    pace = np.array([np.inf, 6.0, 3.0, 3.0, 2.0])
    assert [fewest(pace, goal) for goal in (np.inf, 6.0, 5.0, 3.0, 2.0, 1.0)] == [0, 1, 2, 2, 4, 5]
