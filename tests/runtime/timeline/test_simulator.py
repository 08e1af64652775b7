"""Stalls and windows rebuild what backward passes would recompute, as far as there is memory, told over time."""

from dataclasses import replace

import pytest
from gossamer.runtime.timeline.orders import Kind, Plan, Task, one_forward_one_backward
from gossamer.runtime.timeline.simulator import simulate
from gossamer.runtime.timeline.zero_bubble import Durations, zero_bubble_h1
from gossamer.tests.runtime.timeline.works import rebuilding, work


def test_two_devices_by_hand():
    """device 0  F0 F1 .. .. B0B0 B1B1        device 1  .. F0 B0B0 F1 B1B1, one second between them."""
    found = simulate(one_forward_one_backward(2, 2), [work(1.0, 2.0)] * 2, transfer=1.0)
    assert [(e.task.kind, e.start, e.end) for e in found.events[0]] == [
        ("F", 0.0, 1.0), ("F", 1.0, 2.0), ("B", 6.0, 8.0), ("B", 9.0, 11.0)]  # fmt: skip
    assert [(e.start, e.end) for e in found.events[1]] == [(2.0, 3.0), (3.0, 5.0), (5.0, 6.0), (6.0, 8.0)]
    assert (found.makespan, found.period) == (11.0, 11.0)


def test_a_stall_before_the_gradient_is_filled():
    works = [rebuilding(1.0, 2.0, [(1.0, 5), (1.0, 5)]), work(1.0, 2.0, kept=1)]
    plan = one_forward_one_backward(2, 1)
    filled, bare = simulate(plan, works), simulate(plan, works, fill=False)
    assert (bare.makespan, filled.makespan) == (8.0, 6.0)
    event = filled.events[0][-1]
    assert (event.start, event.rebuilt, event.exposed) == (4.0, 2.0, 0.0)
    assert bare.events[0][-1].exposed == 2.0


@pytest.mark.parametrize(("limit", "rebuilt"), [(14, 2.0), (13, 1.0), (12, 0.0)])
def test_what_is_rebuilt_early_must_fit_beside_other_micro_batches(limit, rebuilt):
    """While micro-batch 0 waits for its gradient, 1 holds a byte, and each piece rebuilt early raises the peak."""
    own = rebuilding(1.0, 2.0, [(1.0, 5), (1.0, 5)], kept=1)
    own = replace(own, early=tuple(replace(early, peak=11 + n) for n, early in enumerate(own.early)))
    found = simulate(one_forward_one_backward(2, 2), [own, work(1.0, 2.0)], limits=[limit, 100])
    assert found.events[0][2].rebuilt == rebuilt
    assert found.peak(0) <= limit


def test_windows_of_the_forward_pass_before_a_backward_pass_hide_what_fits():
    plan = Plan((tuple(Task(kind, k, 0) for kind, k in (
        (Kind.FORWARD, 0), (Kind.FORWARD, 1), (Kind.BACKWARD, 0), (Kind.BACKWARD, 1))),), (0,))  # fmt: skip
    base = rebuilding(1.0, 2.0, [(1.0, 5), (2.0, 5)])
    alone = simulate(plan, [base])
    hosted = simulate(plan, [replace(base, hosted=1)])
    assert (alone.makespan, hosted.makespan) == (12.0, 11.0)
    assert [e.hosted for e in hosted.events[0]] == [0.0, 0.0, 1.0, 0.0]
    assert simulate(plan, [replace(base, hosted=1)], limits=[6]).makespan == 12.0
    assert simulate(plan, [replace(base, hosted=1, hosting=0.25)]).makespan == 11.25
    assert simulate(plan, [replace(base, hosted=1)], host=False).makespan == 12.0


def test_a_stall_before_a_forward_pass_prepares_the_backward_pass_after_it():
    late = [Task(Kind.FORWARD, 0, 1), Task(Kind.FORWARD, 1, 1), Task(Kind.BACKWARD, 0, 1), Task(Kind.BACKWARD, 1, 1)]
    early = [Task(Kind.FORWARD, 0, 0), Task(Kind.FORWARD, 1, 0), Task(Kind.BACKWARD, 0, 0), Task(Kind.BACKWARD, 1, 0)]
    works = [work(3.0, 1.0), rebuilding(1.0, 2.0, [(1.0, 5), (1.0, 5)])]
    found = simulate(Plan((tuple(early), tuple(late)), (0, 1)), works)
    event = found.events[1][2]
    assert (event.rebuilt, event.exposed, event.start) == (2.0, 0.0, 7.0)
    short = simulate(Plan((tuple(early), tuple(late)), (0, 1)), works, limits=[100, 7])
    assert short.events[1][2].rebuilt == 1.0


def test_memory_rises_with_each_forward_pass_and_falls_with_each_backward_pass():
    found = simulate(one_forward_one_backward(2, 3), [replace(work(1.0, 2.0, kept=4), forward_peak=6)] * 2)
    assert [size for _, size in found.memory[0]] == [0, 6, 4, 10, 8, 8, 4, 10, 8, 8, 4, 4, 0]
    assert found.peak(0) == 10
    times = [time for time, _ in found.memory[0]]
    assert times == sorted(times)


def test_a_split_backward_pass_holds_what_gradients_of_weights_read():
    works = [work(1.0, 1.0, 1.0, kept=4, deferred=3)] * 2
    found = simulate(zero_bubble_h1(2, 2, Durations([1.0] * 2, [1.0] * 2, [1.0] * 2)), works)
    assert found.memory[1][-1][1] == 0
    assert found.peak(0) == 8
    assert {e.task.kind for e in found.events[0]} == set(Kind)


def test_orders_that_wait_for_each_other_are_told():
    early = (Task(Kind.FORWARD, 0, 0), Task(Kind.BACKWARD, 0, 0))
    late = (Task(Kind.BACKWARD, 0, 1), Task(Kind.FORWARD, 0, 1))
    with pytest.raises(ValueError, match=r"device 0 waits for ever: nobody makes what .*BACKWARD"):
        simulate(Plan((early, late), (0, 1)), [work(1.0, 1.0)] * 2)
