"""Steps at equal measured peaks, tiny."""

from gossamer.benchmarks.training_steps import COLUMNS, training_steps


def test_no_row_takes_more_memory_than_torch_does_there():
    section = training_steps(True, lambda what: None)
    assert [row[0] for row in section.rows].count("eager") == 1
    assert sum("checkpoint" in row[0] for row in section.rows) == 2
    peaks = [float(row[1]) for row in section.rows]
    assert peaks == sorted(peaks)
    for row in section.rows:
        assert len(row) == len(COLUMNS)
        assert float(row[4]) <= float(row[1]), row[0]
        assert float(row[3]) <= float(row[2]), f"{row[0]}: the best is slower than one of them"
