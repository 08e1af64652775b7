"""The tables of simulated pipelines: their settings can be, and their verdicts follow from their rows."""

import pytest
from gossamer.benchmarks.pipeline_timeline import NVLINK, OURS, PEERS, TABLES, Case, Row, cases, verdicts
from gossamer.compiler.timeline import Outcome
from gossamer.runtime.timeline.orders import Kind, Plan, Task
from gossamer.runtime.timeline.simulator import Event, Timeline


def outcome(seconds: float | None) -> Outcome:
    """A step of so many seconds, or one that does not fit."""
    if seconds is None:
        return Outcome("", (1,), refused="no memory")
    task = Task(Kind.FORWARD, 0, 0)
    timeline = Timeline(Plan(((task,),), (0,)), ((Event(task, 0.0, seconds),),), (((0.0, 0),),))
    return Outcome("", (1,), timeline, (), (0,))


def row(ours: float, bound: float, within: float | None = None, **peers: float | None) -> Row:
    outcomes = {name: outcome(peers.get(name.replace("-", "_"), 2.0)) for name in PEERS}
    return Row(Case(NVLINK, "2.7b", 8), bound, within or bound, outcomes | {OURS: outcome(ours)})


@pytest.mark.parametrize("name", TABLES)
def test_every_setting_can_be(name):
    found = cases(name, False)
    assert len(cases(name, True)) == 1
    assert len(set(found)) == len(found) > 5
    for case in found:
        setting = case.setting()
        assert setting.memory == int(case.cluster.memory.removesuffix("GiB")) * 2**30
        assert setting.execution.fused == ("flash" in name)


def test_verdicts_follow_from_rows():
    good = row(1.0, 0.98, full=1.3, heu=1.0, no_overlap=None)
    assert good.cells()[2] == "1.300"
    assert good.cells()[6:8] == ("OOM", "1.000")
    told = verdicts([good])
    assert told[0].endswith("reached in 1 of 1 settings")
    assert "reached (lowest 1.000)" in told[1]
    assert "at most 1.33x the bound" in told[2]


def test_what_is_missed_is_told():
    told = verdicts([row(1.0, 0.9, heu=0.99)])
    assert told[0].endswith("reached in 0 of 1 settings")
    assert "missed (lowest 0.990)" in told[1]


def test_what_cannot_be_reached_is_told():
    told = verdicts([row(1.0, 0.98), row(1.0, 0.9, within=0.99)])
    assert told[0].endswith("reached in 1 of 1 settings, in 1 no step that fits into memory reaches it")
