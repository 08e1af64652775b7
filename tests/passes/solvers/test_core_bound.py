"""Time that no mapping beats: reached where neurons are alike, never passed elsewhere."""

import numpy as np
from gossamer.passes.solvers.core_bound import Demand, least_time


def demand(group: list[int], own: list[float], **given) -> Demand:
    """Of neurons that hear nobody and reach nobody, but for what is given."""
    none = np.zeros(len(group))
    known = {"hearing": none, "leaving": none, "targets": np.zeros((len(group), max(group, default=-1) + 1), int)}
    return Demand(np.array(group, np.int64), np.array(own), **known | given)


def near(found: float, expected: float) -> bool:
    return expected * (1 - 1e-6) <= found <= expected


def test_alike_neurons_take_whole_neurons():
    assert near(least_time(demand([0] * 8, [1.0] * 8), 4), 2.0)
    assert near(least_time(demand([0] * 9, [1.0] * 9), 4), 3.0)
    assert near(least_time(demand([0] * 8, [1.0] * 8, apart=0.5), 4), 2.5)


def test_one_neuron_may_take_longest():
    assert least_time(demand([0] * 3, [7.0, 1.0, 1.0]), 3) == 7.0


def test_groups_share_no_core():
    assert near(least_time(demand([0] * 8 + [1], [1.0] * 9), 3), 4.0)
    assert least_time(demand([0, 1], [1.0] * 2), 1) == np.inf


def test_every_core_hears_for_its_neurons():
    found = demand([0] * 4, [1.0] * 4, hearing=np.array([3.0, 4.0, 4.0, 5.0]))
    assert near(least_time(found, 2), 2 + 4.0)
    assert least_time(found, 4) == 1 + 5.0


def test_spikes_leave_for_every_core_that_cannot_be_missed():
    """Two neurons reach all six of the next layer; of five of them, one core may hear nothing."""
    targets = np.zeros((8, 2), int)
    targets[:2, 1] = 6
    every = demand([0, 0] + [1] * 6, [1.0] * 8, leaving=np.full(8, 2.0), targets=targets)
    assert every.reached(np.array([1, 3])).tolist() == [3, 3] + [0] * 6
    assert near(least_time(every, 4), 1 + 2 * 2.0)  # on two cores and two
    targets[:2, 1] = 5
    assert every.reached(np.array([1, 3])).tolist() == [2, 2] + [0] * 6
    targets[:2] = 2, 0
    assert every.reached(np.array([2, 3])).tolist() == [1, 1] + [0] * 6


def test_nothing_takes_no_time():
    assert least_time(demand([], []), 4) == 0.0
