"""Orders of tasks: each runs once, after what it reads; stalls and memory are those of the closed forms."""

import itertools

import pytest
from gossamer.runtime.timeline.orders import Kind, Plan, Task, gpipe, interleaved, one_forward_one_backward
from gossamer.runtime.timeline.simulator import simulate
from gossamer.runtime.timeline.zero_bubble import Durations, zero_bubble_h1, zero_bubble_h2, zero_bubble_v
from gossamer.tests.runtime.timeline.works import work

SIZES = [(1, 1), (1, 5), (2, 1), (2, 4), (3, 3), (4, 2), (4, 16), (8, 32)]
F, B, W = 2.0, 3.0, 1.5


def even(chunks, forward=F, backward=B, weights=W):
    return Durations([forward] * chunks, [backward] * chunks, [weights] * chunks)


def plans(devices, batches):
    """Every plan that can be made, by name, with its chunks."""
    yield "gpipe", gpipe(devices, batches), devices
    yield "1f1b", one_forward_one_backward(devices, batches), devices
    if batches % devices == 0:
        for chunks in (1, 2, 3):
            yield f"interleaved {chunks}", interleaved(devices, batches, chunks), devices * chunks
    yield "zb-h1", zero_bubble_h1(devices, batches, even(devices)), devices
    yield "zb-h2", zero_bubble_h2(devices, batches, even(devices)), devices
    yield "zb-v", zero_bubble_v(devices, batches, even(2 * devices)), 2 * devices


@pytest.mark.parametrize(("devices", "batches"), SIZES)
def test_every_task_runs_once_on_the_device_of_its_chunk(devices, batches):
    for name, plan, chunks in plans(devices, batches):
        kinds = Kind if plan.split else (Kind.FORWARD, Kind.BACKWARD)
        expected = {Task(kind, k, c) for kind in kinds for k in range(batches) for c in range(chunks)}
        found = list(itertools.chain.from_iterable(plan.orders))
        assert len(found) == len(expected), name
        assert set(found) == expected, name
        assert all(plan.place[task.chunk] == d for d, order in enumerate(plan.orders) for task in order)


@pytest.mark.parametrize(("devices", "batches"), [(1, 4), (2, 4), (4, 8), (4, 16), (8, 32)])
def test_stalls_are_those_of_the_closed_forms(devices, batches):
    busy, ramp = batches * (F + B), (devices - 1) * (F + B)
    whole = [work(F, B)] * devices
    assert simulate(gpipe(devices, batches), whole).makespan == pytest.approx(busy + ramp)
    assert simulate(one_forward_one_backward(devices, batches), whole).makespan == pytest.approx(busy + ramp)
    for chunks in (2, 4):
        parts = [work(F / chunks, B / chunks)] * (devices * chunks)
        found = simulate(interleaved(devices, batches, chunks), parts).makespan
        assert found == pytest.approx(busy + ramp / chunks)


@pytest.mark.parametrize(("devices", "batches"), [(2, 4), (4, 8), (4, 16), (8, 32)])
def test_zero_bubble_stalls_are_those_of_the_closed_forms_where_all_tasks_take_equally_long(devices, batches):
    unit = even(devices, 1.0, 1.0, 1.0)
    whole = [work(1.0, 1.0, 1.0)] * devices
    assert simulate(zero_bubble_h1(devices, batches, unit), whole).makespan == 3 * batches + devices - 1
    assert simulate(zero_bubble_h2(devices, batches, unit), whole).period == 3 * batches
    half = simulate(zero_bubble_v(devices, batches, even(2 * devices, 0.5, 0.5, 0.5)),
                    [work(0.5, 0.5, 0.5)] * 2 * devices)  # fmt: skip
    assert half.period == 3 * batches


@pytest.mark.parametrize(("devices", "batches"), [(2, 6), (4, 8), (4, 16), (8, 32)])
def test_memory_is_that_of_the_closed_forms(devices, batches):
    most = {name: [plan.in_flight(d) for d in range(devices)] for name, plan, _ in plans(devices, batches)}
    assert most["gpipe"] == [batches] * devices
    assert most["1f1b"] == [devices - d for d in range(devices)]
    assert max(most["zb-h1"]) <= devices
    assert max(most["zb-h2"]) <= 2 * devices - 1
    assert max(most["zb-v"]) <= 2 * devices
    if "interleaved 2" in most:
        assert most["interleaved 2"][0] == 2 * devices + devices - 1


def orders_of(tasks, before):
    """Every order of some tasks in which none comes before what it must follow."""
    if not tasks:
        yield ()
    for task in tasks:
        if all(earlier not in tasks for earlier in before.get(task, ())):
            for rest in orders_of([t for t in tasks if t != task], before):
                yield (task, *rest)


@pytest.mark.parametrize(("forward", "backward"), [([1, 1], [2, 2]), ([2, 1], [1, 3]), ([1, 3], [4, 1])])
def test_no_order_of_two_devices_is_faster_than_1f1b_in_as_much_memory(forward, backward):
    batches = 3
    whole = [work(f, b) for f, b in zip(forward, backward, strict=True)]
    ours = simulate(one_forward_one_backward(2, batches), whole)
    limits = [ours.plan.in_flight(d) for d in range(2)]
    choices = []
    for d in range(2):
        tasks = [Task(kind, k, d) for k in range(batches) for kind in (Kind.FORWARD, Kind.BACKWARD)]
        before = {Task(Kind.BACKWARD, k, d): [Task(Kind.FORWARD, k, d)] for k in range(batches)}
        found = [o for o in orders_of(tasks, before) if Plan((o,), (0,)).in_flight(0) <= limits[d]]
        choices.append(found)
    spans = []
    for pair in itertools.product(*choices):
        try:
            spans.append(simulate(Plan(pair, (0, 1)), whole).makespan)
        except ValueError:
            continue
    assert len(spans) > 10
    assert ours.makespan == min(spans)


def test_interleaving_needs_whole_groups_of_micro_batches():
    with pytest.raises(ValueError, match="in groups of 4: 6 are no multiple"):
        interleaved(4, 6, 2)
