"""Compiled collectives do what torch's do, on two gloo ranks."""

import time

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.executor import Program
from gossamer.runtime.wire import wire
from gossamer.tests.ranks import Ranks
from torch import Tensor


def run(start: str, x: Tensor, received: str) -> Tensor:
    """What a rank receives."""
    given = f"tensor<{'x'.join(map(str, x.shape))}xf32>"
    module = parse_text(f"""
    func.func @forward(%x: {given}) -> {received} {{
      %p = comm.{start} : ({given}) -> !comm.pending<{received}>
      %y = comm.wait %p : (!comm.pending<{received}>) -> {received}
      func.return %y : {received}
    }}""")
    return Program.build(module, {})([x])[0]


def collectives(rank: int) -> None:
    torch.manual_seed(0)
    xs = torch.randn(2, 4, 3)
    xs[0, 0], xs[1, 1, 0] = -0.0, float("nan")
    x, whole = xs[rank], "tensor<4x3xf32>"

    def equal(start: str, received: str, expected: Tensor) -> None:
        torch.testing.assert_close(run(start, x.clone(), received), expected, rtol=0, atol=0, equal_nan=True)

    equal('all_reduce sum %x in "0"', whole, xs[0] + xs[1])
    equal('all_gather %x in "0" of 2', "tensor<8x3xf32>", xs.reshape(8, 3))
    equal('reduce_scatter sum %x in "0" of 2', "tensor<2x3xf32>", (xs[0] + xs[1]).chunk(2)[rank])
    equal('broadcast %x from 1 in "0"', whole, xs[1])
    rows = [xs[0][:1], xs[1][:2]] if rank == 0 else [xs[0][1:], xs[1][2:]]
    sends, takes = ([1, 3], [1, 2]) if rank == 0 else ([2, 2], [3, 2])
    equal(f'all_to_all %x sends {sends} takes {takes} in "0"', f"tensor<{sum(takes)}x3xf32>", torch.cat(rows))
    with pytest.raises(UserError, match="belongs to no process group 'tp'"):
        run('all_reduce sum %x in "tp"', x, whole)


def test_collectives_bring_what_the_ranks_give(ranks: Ranks):
    ranks(collectives)


def slow(rank: int) -> None:
    start = time.perf_counter()
    with wire(latency=0.1):
        run('all_reduce sum %x in "0"', torch.ones(4), "tensor<4xf32>")
    assert time.perf_counter() - start >= 0.1


def test_a_wire_takes_its_time(ranks: Ranks):
    ranks(slow)
