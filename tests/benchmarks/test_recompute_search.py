"""The table of planners: lawful plans, and bounds that none of them is under."""

from gossamer.benchmarks.recompute_search import COLUMNS, EXACT, SHARES, recompute_search


def test_no_planner_is_under_the_bound_and_the_gap_is_to_the_best():
    section = recompute_search(True, lambda what: None)
    assert len(section.rows) == len(SHARES) + len(EXACT)
    for row in section.rows:
        cells = dict(zip(COLUMNS, row, strict=True))
        best = min(float(cells[f"{rung} exposed ms"]) for rung in ("heu", "mix", "opt"))
        assert 0 <= float(cells["bound ms"]) <= best
        assert abs(best - float(cells["bound ms"]) - float(cells["gap ms"])) < 0.02
