"""When units may run again, and the windows they get."""

from gossamer.passes.solvers.recompute_units import units_of
from gossamer.passes.solvers.recompute_when import Times, When, placed

from .training_steps import pipeline_stage


def names(times: Times) -> dict[str, int]:
    return {times.graph.ops[unit.ops[0]].name: index for index, unit in enumerate(times.units.units)}


def test_units_are_needed_by_their_readers_in_the_backward_pass():
    times = Times(units_of(pipeline_stage(3)))
    ops, units = [op.name for op in times.graph.ops], names(times)
    assert ops[times.need[units["gelu1"]] or 0] == "mlp1"
    assert ops[times.need[units["attention1"]] or 0] == "inner1"
    assert ops[times.need[units["start_f1"]] or 0] == "inner2"  # for down1
    assert times.need[units["down2"]] == ops.index("mlp2")
    assert [times.before[units[f"gelu{layer}"]] for layer in (2, 1, 0)] == [0, 1, 2]


def test_collectives_run_late_and_one_batch_in_flight_has_no_windows_ahead():
    times = Times(units_of(pipeline_stage(3, flying=1)))
    units = names(times)
    assert times.whens(units["start_f1"]) == [When.LATE]
    assert times.whens(units["gelu1"]) == [When.WINDOW, When.LATE]
    assert When.AHEAD in Times(units_of(pipeline_stage(3))).whens(units["gelu1"])


def test_windows_take_what_fits_and_then_what_would_be_late():
    times = Times(units_of(pipeline_stage(3)))
    units, windows = names(times), [window for _, window in times.behind]
    attention, norm, up = (times.units.units[units[name]].ops[-1] for name in ("attention1", "norm1", "up1"))
    only, _ = placed(times, {units["attention1"]: When.WINDOW})
    assert only.keys() == {attention}
    assert only[attention] in windows
    both, _ = placed(times, {units["norm1"]: When.WINDOW, units["attention1"]: When.WINDOW})
    assert both[norm] == both[attention]
    late = {units["up1"]: When.LATE}
    asked, spilled = placed(times, late)
    assert asked == {}
    assert spilled.keys() == {up}
