import io
import json

import numpy as np
import pytest
from gossamer.runtime.core_array.trace import events_of, write_trace
from gossamer.runtime.core_array.waits import Waits, finish

NAMES, NOBODY = ["core 0", "core 1"], np.zeros(2, bool)


def run() -> tuple[Waits, np.ndarray]:
    """Core 1 waits for core 0 in the same step."""
    one = np.array([0])
    return Waits(2, one, one + 1, one, np.array([5.0]), one), np.array([[10.0, 1.0], [20.0, 1.0]])


def test_steps_and_what_they_waited_for_are_slices_on_the_row_of_their_core():
    waits, work = run()
    out = io.StringIO()
    count = write_trace(out, events_of(waits, work, finish(waits, work), NAMES, NOBODY))
    events = json.loads(out.getvalue())
    assert len(events) == count
    assert [e["args"]["name"] for e in events if e["ph"] == "M"] == ["core 0", "core 1"]
    slices = [(e["tid"], e["name"], e["ts"], e["dur"]) for e in events if e["ph"] == "X"]
    assert slices == [
        (0, "step 0", 0.0, 0.01),
        (1, "waits for core 0", 0.0, 0.015),
        (1, "step 0", 0.015, 0.001),
        (0, "step 1", 0.01, 0.02),
        (1, "waits for core 0", 0.016, pytest.approx(0.019)),
        (1, "step 1", 0.035, 0.001),
    ]


def test_a_trace_cut_short_is_still_json():
    def broken():
        waits, work = run()
        yield from list(events_of(waits, work, finish(waits, work), NAMES, NOBODY))[:3]
        raise KeyboardInterrupt

    out = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        write_trace(out, broken())
    assert len(json.loads(out.getvalue())) == 3


def test_a_run_of_no_steps_is_a_trace_of_rows():
    waits, work = run()
    out = io.StringIO()
    write_trace(out, events_of(waits, work[:0], work[:0], NAMES, NOBODY))
    assert [event["ph"] for event in json.loads(out.getvalue())] == ["M", "M"]
    empty = io.StringIO()
    write_trace(empty, iter(()))
    assert json.loads(empty.getvalue()) == []
