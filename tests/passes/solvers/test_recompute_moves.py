"""Storages that go to a second tier and come back: what may, when, at what cost; and what the checker refuses."""

from dataclasses import replace

import numpy as np
import pytest
from gossamer.passes.solvers.recompute_check import ScheduleError, check
from gossamer.passes.solvers.recompute_clock import times
from gossamer.passes.solvers.recompute_graph import Graph, Move, Phase, Schedule, Tier, Window
from gossamer.passes.solvers.recompute_memory import keep_all, live_bytes, peak, with_frees
from gossamer.passes.solvers.recompute_moves import movable
from gossamer.passes.solvers.recompute_schedule import Choice, droppable, schedule_of
from gossamer.passes.solvers.recompute_trial import Trial, Trials

from .test_recompute_check import any_choice
from .training_steps import Builder, chain, drawn, execute

TIER = Tier(out=4.0, back=8.0, latency=0.5)


def any_tier(rng: np.random.Generator) -> Tier:
    out, back = (float(rate) for rate in rng.choice([1.0, 4.0, 64.0], size=2))
    return Tier(out, back, float(rng.choice([0.0, 0.5])), float(rng.choice([0.0, 0.5, 1.0])))


def with_moves(rng: np.random.Generator) -> tuple[Graph, Trial]:
    """A graph, and a schedule in which some is kept, some recomputed and some moved."""
    graph = replace(drawn(rng), tier=any_tier(rng), in_flight=1)
    choice, room = any_choice(rng, graph), int(rng.integers(graph.static, peak(graph, keep_all(graph)) + 1))
    some = frozenset(v for v in sorted(movable(graph)) if rng.random() < 0.5)
    return graph, Trials(graph).of(replace(choice, kept=choice.kept | some, moved=some, room=room))


@pytest.mark.parametrize("seed", range(5))
def test_checker_clock_and_executor_agree_on_random_moves(seed):
    rng, moved = np.random.default_rng(seed), 0
    for _ in range(100):
        graph, trial = with_moves(rng)
        base = keep_all(graph)
        bytes_held, results = execute(graph, trial.schedule)
        account = check(graph, trial.schedule)
        assert account.peak == trial.peak == bytes_held
        assert account.exposed == pytest.approx(trial.exposed)
        assert account.moving == pytest.approx(trial.moving)
        assert results == execute(graph, base)[1]
        moved += len(trial.schedule.moves)
    assert moved > 50


def test_what_the_checker_takes_runs():
    """Moves at other times, of other lives: refused, or as good, at the peak that was told."""
    rng, taken, refused = np.random.default_rng(0), 0, 0
    for _ in range(300):
        graph, trial = with_moves(rng)
        moves, results = list(trial.schedule.moves), execute(graph, keep_all(graph))[1]
        if not moves:
            continue
        at, field = int(rng.integers(len(moves))), str(rng.choice(["leaves", "gone", "comes", "there", "into", "life"]))
        moves[at] = replace(moves[at], **{field: getattr(moves[at], field) + int(rng.choice([-1, 1]))})
        schedule = (
            with_frees(graph, trial.schedule.steps, moves)
            if rng.random() < 0.5
            else replace(trial.schedule, moves=tuple(moves))
        )
        try:
            account = check(graph, schedule)
        except ScheduleError:
            refused += 1
        else:
            taken += 1
            assert execute(graph, schedule) == (account.peak, results)
    assert taken > 20
    assert refused > 100


def lines() -> Graph:
    """Three ops of 8 bytes and 2 s, and their gradients."""
    return replace(chain(3, sizes=(8,), times=(2.0,)), tier=TIER)


def test_a_storage_goes_when_it_is_there_and_comes_back_just_in_time():
    graph = lines()
    schedule = schedule_of(graph, Choice(frozenset(droppable(graph)), moved=frozenset({1}), room=1000))
    # f0 ends at 2 s and is out 2.5 s later, during f2; b1 begins at 8 s, and 1.5 s before b2 runs.
    assert schedule.moves == (Move(leaves=1, gone=3, comes=3, there=4, value=1),)
    account = check(graph, schedule)
    assert (account.exposed, account.moving, account.hidden) == (0.0, 4.0, 4.0)
    assert live_bytes(graph, schedule) == [8, 16, 24, 32, 24, 16]


def test_where_memory_is_short_it_is_waited_for():
    graph = lines()
    schedule = schedule_of(graph, Choice(frozenset(droppable(graph)), moved=frozenset({1}), room=16))
    assert schedule.moves == (Move(leaves=1, gone=2, comes=4, there=4, value=1),)
    account = check(graph, schedule)
    assert (account.peak, account.exposed) == (24, 0.5 + 1.5)


def test_work_beside_a_busy_engine_runs_at_its_share():
    graph = replace(lines(), tier=replace(TIER, efficiency=0.5))
    choice = Choice(frozenset(droppable(graph)), moved=frozenset({1}), room=1000)
    # Out: 2.5 s in which 1.25 s of work are done; back: 1.5 s in which 0.75 s are.
    assert check(graph, schedule_of(graph, choice)).exposed == pytest.approx(2.0)
    blocking = replace(graph, tier=replace(TIER, efficiency=0.0))
    assert check(blocking, schedule_of(blocking, choice)).exposed == pytest.approx(4.0)


def test_one_engine_takes_moves_one_after_another():
    graph = lines()
    schedule = schedule_of(graph, Choice(frozenset(droppable(graph)), moved=frozenset({1, 2}), room=1000))
    one, two = schedule.moves
    assert (one.value, two.value) == (1, 2)
    found = times(graph, schedule.steps, schedule.moves)
    assert sum(found.waits.values()) == pytest.approx(check(graph, schedule).exposed)
    assert two.there < one.there


def test_without_a_tier_nothing_may_move():
    assert not movable(chain(3))
    assert not movable(replace(lines(), in_flight=2))
    assert movable(lines()) == {1, 2, 3}


def test_what_may_be_written_or_has_views_of_its_own_stays():
    b, backward = Builder(), Phase.BACKWARD
    (x,) = b.op("x", [0], [10])
    (y,) = b.op("y", [x], [10])
    (mask,) = b.op("mask", [y], [3], fixed="draws from the global random stream")
    b.op("write", [x], base=x, fixed="writes in place")
    b.values[y] = replace(b.values[y], bound=True)
    (started,) = b.op("start", [mask], [10], starts=0)
    (z,) = b.op("wait", [started], base=started, waits=0)
    (out,) = b.op("out", [z], [10])
    b.op("g", [mask, x, y, z], [1], backward)
    graph = b.graph([out], windows=(Window(1.0),), tier=TIER)
    assert movable(graph) == set()  # x has a view that is not made again, y is bound, mask sent, z received, out leaves
    b, (x,) = Builder(), (1,)
    b.op("x", [0], [10])
    (view,) = b.op("view", [x], base=x)
    (mask,) = b.op("mask", [0], [3], fixed="draws from the global random stream")
    (g,) = b.op("g", [view, mask], [1], backward)
    graph = b.graph([g], tier=TIER)
    assert movable(graph) == {x, mask}
    schedule = schedule_of(graph, Choice(frozenset(), moved=frozenset({x, mask}), room=100))
    assert [(graph.ops[s.op].name, s.life) for s in schedule.steps][-2:] == [("view", 1), ("g", 0)]
    assert check(graph, schedule).peak == execute(graph, schedule)[0]
    bound = replace(graph, values=(graph.values[0], replace(graph.values[1], bound=True), *graph.values[2:]))
    assert movable(bound) == {mask}


MOVE = Move(leaves=1, gone=3, comes=3, there=4, value=1)
REFUSED = {
    "back before it is out": ({"comes": 2}, "goes before it comes back"),
    "back after its end": ({"there": 9}, "goes before it comes back"),
    "gone before it leaves": ({"leaves": 4}, "goes before it comes back"),
    "before any step": ({"leaves": 0}, "goes before it comes back"),
    "given back too early": ({"gone": 4, "comes": 4}, "given back when it is gone"),
    "given back too late": ({"gone": 2}, "a storage that is gone was given back"),
    "read before it is there": ({"there": 5}, "operands are alive"),
    "a life that is there": ({"into": 0}, "each life is made once"),
    "another life": ({"into": 2}, "operands are alive"),
    "a life that was not computed": ({"life": 3}, "leaves once, complete"),
    "an input": ({"value": 0}, "what moves is a storage that an op makes"),
    "no value": ({"value": 99}, "what moves is a storage that an op makes"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_move_is_refused(case):
    graph = lines()
    schedule = schedule_of(graph, Choice(frozenset(droppable(graph)), moved=frozenset({1}), room=1000))
    assert schedule.moves == (MOVE,)
    fields, law = REFUSED[case]
    with pytest.raises(ScheduleError) as error:
        check(graph, replace(schedule, moves=(replace(MOVE, **fields),)))
    assert law in error.value.law


def test_more_that_is_no_move():
    graph = lines()
    schedule = schedule_of(graph, Choice(frozenset(droppable(graph)), moved=frozenset({1}), room=1000))

    def refused(graph: Graph, schedule: Schedule, law: str) -> None:
        with pytest.raises(ScheduleError) as error:
            check(graph, schedule)
        assert law in error.value.law

    refused(replace(graph, tier=None), schedule, "moves need a tier")
    refused(graph, replace(schedule, moves=(MOVE, MOVE)), "leaves once")
    refused(graph, replace(schedule, moves=()), "operands are alive")
    steps = list(schedule.steps)
    early = next(at for at, step in enumerate(steps) if (1, 1) in step.frees)
    steps[early] = steps[early]._replace(frees=())
    refused(graph, Schedule(tuple(steps), schedule.moves), "what does not leave is given back")
    steps[3] = steps[3]._replace(frees=(*steps[3].frees, (1, 1)))
    refused(graph, Schedule(tuple(steps), schedule.moves), "what is on its way is not given back")
    with pytest.raises(ScheduleError, match="at most 31 bytes, found 32"):
        check(graph, schedule, 31)
