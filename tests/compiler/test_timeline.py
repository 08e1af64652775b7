"""A training step over a pipeline: policies, partitions and bounds, with a planner of a few schedules."""

import itertools

import pytest
from gossamer.compiler.timeline import Pipeline
from gossamer.compiler.timeline_policies import POLICIES, closed
from gossamer.compiler.timeline_report import shares
from gossamer.compiler.timeline_setting import setting
from gossamer.dialects.diagnostics import UserError
from gossamer.passes.solvers.recompute_check import check
from gossamer.passes.solvers.recompute_megatron import block, full, selective
from gossamer.passes.solvers.recompute_memory import keep_all, peak
from gossamer.passes.solvers.transformer import Transformer
from gossamer.runtime.timeline.simulator import simulate

TINY = Transformer(8, 1024, 16, 50257)
SCHEDULES = ("gpipe", "1f1b", "interleaved", "zb-h1", "zb-h2", "zb-v")


def first_that_fits(graph, budget, rung):
    """A planner that knows Megatron's schedules alone."""
    layers = 1 + max(op.layer for op in graph.ops if op.layer is not None)
    candidates = [keep_all(graph), selective(graph), *(block(graph, n) for n in range(1, layers)), full(graph)]
    for schedule in candidates:
        if peak(graph, schedule) <= budget:
            return schedule
    raise UserError(f"a budget of {budget} bytes cannot be met")


def pipeline(memory: int | str = "2GiB", model=TINY, **options):
    known = {"hardware": "a100-nvlink", "tensor_parallel": 2, "stages": 2, "micro_batch": 2, "micro_batches": 8}
    return Pipeline(setting(model, memory=memory, **(known | options)), first_that_fits)


def bare(model, partition):
    """Seconds of a step where nothing is recomputed."""
    costs = model.stages.bare(partition)
    return simulate(model.stages.plan(costs), costs, transfer=model.setting.transfer).makespan


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_policy_keeps_to_the_memory_and_is_not_faster_than_the_bound(schedule):
    policy = "mix" if schedule == "1f1b" else "heu"
    roomy = pipeline(memory="80GiB", schedule=schedule).best(policy)
    need = max(roomy.peak(device) for device in range(2))
    for share in (0.8, 0.65) if schedule == "1f1b" else (0.8,):
        model = pipeline(memory=int(need * share), schedule=schedule)
        found = model.best(policy)
        assert found.fits
        assert max(found.peak(device) for device in range(2)) <= need * share
        assert found.seconds >= model.bounds.free * (1 - 1e-9)
        assert found.seconds >= roomy.seconds * (1 - 1e-9)


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b", "zb-h1", "zb-h2"])
@pytest.mark.parametrize("model", [TINY, Transformer(7, 512, 8, 200_000), Transformer(6, 2048, 16, 1000)])
def test_no_partition_beats_the_bound(schedule, model):
    study = pipeline(model=model, stages=3, schedule=schedule)
    cuts = itertools.combinations(range(1, model.layers), 2)
    times = [bare(study, (a, b - a, model.layers - b)) for a, b in cuts]
    assert min(times) >= study.bounds.free * (1 - 1e-9)
    if schedule == "1f1b":
        assert min(times) <= study.bounds.free * 1.05


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
def test_no_partition_that_fits_beats_the_bound_within_memory(schedule):
    roomy = pipeline(memory="80GiB", stages=3, schedule=schedule)
    assert roomy.bounds.within(roomy.best("mix").seconds) == roomy.bounds.free
    need = max(map(roomy.best("none").peak, range(3)))
    raised = list[float]()
    for share in (0.9, 0.6, 0.4):
        study = pipeline(memory=int(need * share), stages=3, schedule=schedule)
        attempts = list(POLICIES["mix"].attempts(8, first_that_fits))
        cuts = itertools.combinations(range(1, TINY.layers), 2)
        found = [study.attempted("mix", attempt, (a, b - a, TINY.layers - b)) for a, b in cuts for attempt in attempts]
        best, bound = min(each.seconds for each in found), study.bounds.within(float("inf"))
        assert study.bounds.free <= bound <= best * (1 + 1e-9)
        assert study.bounds.within(best) == pytest.approx(min(bound, best))
        raised.append(bound / study.bounds.free)
    assert raised == sorted(raised)
    assert raised[-1] > 1.001


def test_no_bound_within_memory_is_told_for_other_orders():
    study = pipeline(memory="1GiB", schedule="zb-h1")
    assert study.bounds.within(1e9) == study.bounds.free


def test_where_nothing_fits_no_bound_is_above_what_is_known():
    assert pipeline(memory="100MiB").bounds.within(5.0) == 5.0


def test_1f1b_reaches_the_bound_where_the_last_stage_is_the_slowest():
    study = pipeline(model=Transformer(8, 2048, 16, 1000), stages=4)
    assert bare(study, (2, 2, 2, 2)) == pytest.approx(study.bounds.free, rel=0.01)


def test_layers_move_away_from_a_heavy_head():
    model = Transformer(8, 512, 8, 200_000)
    heavy = pipeline(memory="80GiB", model=model)
    moved, even = heavy.best("mix"), heavy.best("no-overlap")
    assert even.partition == (4, 4)
    assert moved.partition[0] > moved.partition[1]
    assert moved.seconds < even.seconds


def test_megatrons_choices_take_longer_the_more_they_run_again():
    study = pipeline(memory="80GiB")
    times = [study.best(name).seconds for name in ("none", "selective", "full")]
    assert times == sorted(times)
    assert times[0] < times[1] < times[2]
    assert study.best("block").seconds == times[0]
    assert study.best("uniform").seconds == pytest.approx(times[2])


def test_block_takes_the_fewest_layers_that_fit_on_all_stages():
    roomy = pipeline(memory="80GiB")
    tight = pipeline(memory=int(max(map(roomy.best("none").peak, range(2))) * 0.8))
    found = tight.best("block")
    assert found.fits
    counts = [round(cost.recompute / (cost.forward / 4), 2) for cost in found.costs]
    assert 0 < counts[0] <= 4
    fewer = tight.attempted("block", attempt_of("block", round(counts[0]) - 1), (4, 4))
    assert not fewer.fits


def attempt_of(name, number):
    return list(POLICIES[name].attempts(4, first_that_fits))[number]


def test_what_does_not_fit_says_by_how_much_or_why():
    tight = pipeline(memory="700MiB")
    none, planned = tight.best("none"), tight.best("mix")
    assert not none.fits
    assert none.excess == max(none.peak(device) for device in range(2)) - 700 * 2**20
    assert none.seconds == float("inf")
    assert "cannot be met" in planned.refused


def test_closed_windows_hide_nothing():
    study = pipeline()
    graph = study.stages.graph(study.setting.part(0, 4))
    assert sum(window.room for window in graph.windows) > 0
    assert sum(window.room for window in closed(graph).windows) == 0
    assert check(closed(graph), full(graph)).hidden == pytest.approx(0)


def test_shares_of_a_device_add_up_to_the_step():
    study = pipeline(memory="80GiB", schedule="zb-h1")
    found = study.best("full")
    for device in range(2):
        share = shares(found, device)
        assert share.work + share.stalls + share.idle == pytest.approx(found.seconds)
        assert share.exposed == pytest.approx(8 * found.costs[device].recompute)
        assert share.backward_windows == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "gpt-6.8b"}, "did you mean 'gpt-6.7b'"),
        ({"model": "gpt-6.7b", "schedule": "zb-h3"}, "there is no schedule 'zb-h3'"),
        ({"model": "gpt-6.7b", "hardware": "a100"}, "no accelerator is called 'a100'"),
        ({"model": "gpt-6.7b", "tensor_parallel": 3}, "3 ranks cannot share them evenly"),
        ({"model": "gpt-6.7b", "stages": 0}, "stages 0: expected 1 or more"),
        ({"model": "gpt-6.7b", "stages": 33}, "too few for 33 chunks"),
        ({"model": "gpt-6.7b", "schedule": "interleaved", "micro_batches": 6}, "in groups of 4"),
        ({"model": "gpt-6.7b", "chunks": 3}, "1f1b has 1 chunks on each device, not 3"),
        ({"model": "gpt-6.7b", "schedule": "zb-v", "chunks": 3}, "zb-v has 2 chunks"),
        (
            {"model": "gpt-6.7b", "tensor_parallel": 4, "sequence_parallel": True, "sequence": 2049},
            "2049 cannot be shared",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(UserError) as error:
        setting(**options)
    assert message in str(error.value)


def test_an_unknown_policy_is_told():
    with pytest.raises(UserError, match="there is no policy 'best'"):
        pipeline().best("best")
