"""The largest batch that trains in some memory, tiny."""

from gossamer.benchmarks.training_batch import CHECKPOINT, EAGER, training_batch


def test_batches_fit_and_gossamer_trains_more_than_eager():
    section = training_batch(True, lambda what: None)
    assert [row[0] for row in section.rows][:2] == [EAGER, CHECKPOINT]
    batches = {row[0]: int(row[1]) for row in section.rows}
    assert batches["gossamer"] >= 2 * batches[EAGER]
    assert batches[CHECKPOINT] > batches[EAGER]
