from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from gossamer.compiler.mapping_choice import METHODS, Search, Tried, choose_slack, fastest, slacks_of
from gossamer.dialects.diagnostics import UserError


def test_slots_are_as_few_as_are_about_as_fast_as_the_best():
    times = {None: 120.0, 2: 100.0, 3: 90.0, 4: 81.0, 6: 80.5, 8: 80.0, 16: 81.0, 32: 82.0}
    assert choose_slack(slacks_of(62, 0), times.__getitem__) == 6


def test_slots_that_help_late_are_found():
    assert choose_slack(slacks_of(None, 0), lambda slack: 70.0 if (slack or 0) >= 32 else 99.0) == 32


def test_sized_slots_stay_where_none_are_faster():
    assert choose_slack([2, 3], lambda slack: 50.0) is None


def test_no_more_slots_than_a_core_keeps_spikes_for():
    assert slacks_of(15, 4) == [2, 3, 4, 6, 8]
    assert slacks_of(15, 14) == []


def attempt(time: float) -> Callable[[], Tried]:
    mapped: Any = None
    return lambda: Tried(mapped, time)


def refused() -> Tried:
    raise UserError("too large")


def test_of_what_is_about_as_fast_the_first_is_taken():
    assert fastest([attempt(100.0), attempt(99.0)]).time == 100.0
    assert fastest([attempt(100.0), refused, attempt(90.0)]).time == 90.0


def test_what_fits_nowhere_says_why():
    with pytest.raises(UserError, match="too large"):
        fastest([refused, refused])


def search(times: dict[tuple[int, str], float], made: list[tuple[int | None, str]]) -> Search:
    """Of mappings whose edges take two steps, on four cores where none are asked for."""

    def onto(cores: int | None, method: str) -> Any:
        made.append((cores, method))
        edges = SimpleNamespace(dmax=SimpleNamespace(max=lambda initial: 2))
        return SimpleNamespace(method=method, mapping=SimpleNamespace(cores=cores or 4, edges=edges))

    def time(mapped: Any, slack: int | None) -> float:
        return times.get((mapped.mapping.cores, mapped.method), 100.0)

    return Search(onto, time, 62, False)


def test_all_methods_are_tried_on_a_number_of_cores_and_the_finer_ones_once():
    made: list[tuple[int | None, str]] = []
    found: Any = search({(8, "multilevel"): 60.0, (8, "steady"): 50.0}, made).mapped_up_to(32)
    assert (found.method, found.mapping.cores) == ("steady", 8)
    assert made == [(cores, method) for cores in (None, 8, 16) for method in METHODS[:2]] + [
        (8, "loose"),
        (8, "steady"),
    ]
    made.clear()
    found = search({(8, "loose"): 90.0}, made).mapped(8)
    assert (found.method, made) == ("loose", [(8, method) for method in METHODS])
