"""A wire brings what was sent no sooner than its latency and bandwidth allow, one after another."""

import time

import pytest
import torch
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.wire import CURRENT, Wire, wire


def elapsed(run: Wire, sizes: list[int], work: float = 0.0) -> float:
    tensors = [torch.empty(0) for _ in sizes]
    start = time.perf_counter()
    for tensor, size in zip(tensors, sizes, strict=True):
        run.send(tensor, size)
    time.sleep(work)
    for tensor in tensors:
        run.receive(tensor)
    return time.perf_counter() - start


def test_it_takes_latency_and_what_the_bytes_take():
    assert 0.05 <= elapsed(Wire(0.02, 1e6), [30_000]) < 0.1


def test_one_comes_after_another():
    assert 0.06 <= elapsed(Wire(0.02, float("inf")), [1, 1, 1]) < 0.11


def test_work_meanwhile_is_hidden():
    assert 0.1 <= elapsed(Wire(0.1, float("inf")), [1], work=0.09) < 0.15


def test_what_was_never_sent_is_there():
    assert elapsed(Wire(1.0, 1.0), []) < 0.1
    start = time.perf_counter()
    Wire(1.0, 1.0).receive(torch.empty(0))
    assert time.perf_counter() - start < 0.1


def test_it_holds_only_inside_its_block():
    with wire(latency=1.0) as outer, wire(latency=0.5) as inner:
        assert [outer, inner] == CURRENT
    assert not CURRENT


@pytest.mark.parametrize(("latency", "bandwidth"), [(-1.0, 1.0), (0.0, 0.0), (0.0, float("nan"))])
def test_a_wire_that_cannot_be_is_refused(latency: float, bandwidth: float):
    with pytest.raises(UserError, match="latency from 0 on"), wire(latency, bandwidth):
        pass
