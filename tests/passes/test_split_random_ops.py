"""A random op that is computed again gives what it gave, and the stream does not notice."""

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.aten import CallOp
from gossamer.dialects.random_calls import is_draw, replay
from gossamer.passes.split_random_ops import join_random_ops
from gossamer.runtime.executor import Program, find
from gossamer.tests.passes.programs import check
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp, ReturnOp

T, M = "tensor<64xf32>", "tensor<64xi1>"

PLAIN = f"""
func.func @step(%x: {T}) -> {T} {{
  %y, %m = aten.call random "gossamer.dropout.default"(%x, 0.25) unpack : ({T}) -> ({T}, {M})
  %z = aten.call random "aten.bernoulli.p"(%y, 0.5) attributes {{train.layer = 3}} : ({T}) -> {T}
  %w = aten.call random "aten.rand_like.default"(%z, dtype = torch.float32) : ({T}) -> {T}
  func.return %w : {T}
}}"""

SPLIT = f"""
func.func @step(%x: {T}) -> {T} {{
  %s = aten.call random "random.state"(device<"cpu">) : () -> tensor<5056xui8>
  %y, %m = aten.call random "random.draw"(%s, op<"gossamer.dropout.default">, %x, 0.25) unpack
    : (tensor<5056xui8>, {T}) -> ({T}, {M})
  %t = aten.call random "random.state"(device<"cpu">) attributes {{train.layer = 3}} : () -> tensor<5056xui8>
  %z = aten.call random "random.draw"(%t, op<"aten.bernoulli.p">, %y, 0.5) attributes {{train.layer = 3}}
    : (tensor<5056xui8>, {T}) -> {T}
  %u = aten.call random "random.state"(device<"cpu">) : () -> tensor<5056xui8>
  %w = aten.call random "random.draw"(%u, op<"aten.rand_like.default">, %z, dtype = torch.float32)
    : (tensor<5056xui8>, {T}) -> {T}
  func.return %w : {T}
}}"""


def replayed(module: ModuleOp) -> FuncOp:
    """Let the function of `module` give back every draw, then every draw computed again, last first."""
    function = find(module, "step")
    draws = [op for op in function.body.block.ops if isinstance(op, CallOp) and is_draw(op)]
    end = function.body.block.last_op
    assert isinstance(end, ReturnOp)
    again = [replay(op, "cpu") for op in reversed(draws)]
    function.body.block.insert_ops_before(again, end)
    results = [op.results[0] for op in (*draws, *reversed(again))]
    function.body.block.insert_op_before(ReturnOp(*results), end)
    end.detach()
    function.update_function_type()
    return function


def test_each_random_op_is_told_its_state():
    check("split-random-ops", PLAIN, SPLIT)


def test_a_state_that_no_replay_reads_is_taken_back():
    module = parse_text(SPLIT)
    join_random_ops(find(module, "step"))
    assert module.is_structurally_equivalent(parse_text(PLAIN))


@pytest.mark.parametrize("seed", [0, 7])
def test_replays_in_any_order_repeat_their_draws_and_leave_the_stream_alone(seed: int):
    module, x = parse_text(PLAIN), torch.randn(64)
    run_pipeline(module, "split-random-ops")
    replayed(module)
    join_random_ops(find(module, "step"))
    assert sum(is_draw(op) for op in module.walk()) == 3
    run = Program.build(module, {}, "step")
    torch.manual_seed(seed)
    first, second, third, *again = run([x])
    after = torch.rand(())
    torch.manual_seed(seed)
    y = torch.nn.functional.dropout(x, 0.25)
    z = torch.bernoulli(y, 0.5)
    w = torch.rand_like(z)
    assert torch.equal(after, torch.rand(()))
    for expected, drawn, repeated in zip((y, z, w), (first, second, third), again, strict=True):
        assert torch.equal(drawn, expected)
        assert torch.equal(repeated, expected)


def test_normal_numbers_come_in_pairs_and_are_replayed_all_the_same():
    """A generator keeps the second number of a pair for the next draw."""
    text = f"""
    func.func @step(%x: {T}) -> tensor<1xf32> {{
      %a = aten.call random "aten.randn.default"([1]) : () -> tensor<1xf32>
      %b = aten.call random "aten.randn.default"([1]) : () -> tensor<1xf32>
      func.return %b : tensor<1xf32>
    }}"""
    module = parse_text(text)
    run_pipeline(module, "split-random-ops")
    replayed(module)
    a, b, again_a, again_b = Program.build(module, {}, "step")([torch.zeros(64)])
    assert torch.equal(a, again_a)
    assert torch.equal(b, again_b)
    assert not torch.equal(a, b)
