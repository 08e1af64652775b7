from gossamer.compiler.mapping_choice import choose_slack


def test_slots_are_as_few_as_are_about_as_fast_as_the_most():
    times = {2: 100.0, 3: 90.0, 4: 81.0, 6: 80.5, 8: 80.0, 16: 80.0, 32: 80.0}
    assert choose_slack(120.0, times.__getitem__, 62) == 6


def test_slots_that_help_late_are_found():
    assert choose_slack(100.0, lambda slack: 70.0 if slack >= 32 else 99.0, 62) == 32


def test_no_more_slots_than_the_machine_has_steps_of_delay():
    tried: list[int] = []
    assert choose_slack(50.0, lambda slack: tried.append(slack) or 50.0 - slack, 5) == 4
    assert max(tried) == 4
    assert choose_slack(50.0, lambda slack: 1.0, 1) is None
