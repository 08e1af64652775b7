"""A function as a graph: what its ops read and make, what must not run twice, what is there all the time."""

import pytest
from gossamer.dialects.diagnostics import UserError
from gossamer.passes.solvers.recompute_graph import INPUT, Op, Phase, Tier, Value
from gossamer.passes.solvers.recompute_memory import keep_all
from gossamer.passes.solvers.recompute_moves import movable
from gossamer.tests.passes.step_programs import module, read


def test_ops_have_their_costs_and_their_phase():
    graph = read(module()).graph
    assert graph.ops[0] == Op("a", (0,), (1,), Phase.FORWARD, time=2e-6)
    assert [op.phase for op in graph.ops] == [Phase.FORWARD] * 4 + [Phase.BACKWARD] * 2
    assert graph.values[0] == Value(INPUT)
    assert graph.values[1] == Value(0, 128)
    assert graph.values[3] == Value(2, 0, base=2)
    assert graph.outputs == (4, 6)
    assert graph.static == 128
    assert read(module()).schedule == keep_all(graph)


def test_weights_and_what_is_updated():
    training = read(
        module("""builtin.module {
      aten.weight parameter @w : ROWS digest "0"
      aten.weight buffer @b : ROWS digest "0"
      func.func @step(%x: ROWS {train.bytes = 64 : i64}) -> (ROWS) {
        %w = aten.parameter @w : ROWS
        %b = aten.parameter @b {train.bytes = 32 : i64} : ROWS
        %y = aten.call "aten.mul.Tensor"(%x, %w) attributes {train.phase = "forward", train.layer = 3 : i64} : (ROWS, ROWS) -> ROWS
        %z = aten.call "aten.add.Tensor"(%b, %y) : (ROWS, ROWS) -> ROWS
        aten.update @b, %z : ROWS
        func.return %y : ROWS
      } }""")  # noqa: E501 (one op, one line)
    )
    assert training.graph.static == 64 + 128 + 32
    assert training.graph.outputs == (4, 3)
    assert [op.layer for op in training.graph.ops] == [3, None]
    assert not any(step.frees for step in training.schedule.steps)


def test_what_reads_memory_that_is_written_runs_once():
    graph = read(
        module("""builtin.module { func.func @step(%x: ROWS) -> (ROWS) {
      %a = aten.call "aten.exp.default"(%x) : (ROWS) -> ROWS
      %v = aten.call "aten.view.default"(%a, [4, 8]) : (ROWS) -> ROWS
      %early = aten.call "aten.sin.default"(%a) : (ROWS) -> ROWS
      %w = aten.call mutates "aten.add_.Tensor"(%v, 1) attributes {train.storage = [#remat.storage<operand 0>]} : (ROWS) -> ROWS
      %late = aten.call "aten.mul.Tensor"(%early, %x) : (ROWS, ROWS) -> ROWS
      func.return %late : ROWS } }""")  # noqa: E501 (one op, one line)
    ).graph
    assert {op.name: op.fixed for op in graph.ops} == {
        "a": "",
        "v": "reads what is written in place",
        "early": "reads what is written in place",
        "w": "writes in place",
        "late": "",
    }


def test_several_results_share_the_memory_of_one():
    graph = read(
        module("""builtin.module { func.func @step(%x: ROWS) -> (tensor<4x4xf32>) {
      %a = aten.call "aten.exp.default"(%x) : (ROWS) -> ROWS
      %l, %r = aten.call "aten.split.Tensor"(%a, 4, 1) unpack : (ROWS) -> (tensor<4x4xf32>, tensor<4x4xf32>)
      %s = aten.call "aten.add.Tensor"(%l, %r) : (tensor<4x4xf32>, tensor<4x4xf32>) -> tensor<4x4xf32>
      func.return %s : tensor<4x4xf32> } }""")
    ).graph
    assert graph.storage[2] == graph.storage[3] == 1
    assert graph.values[2].size == graph.values[3].size == 0


def test_sizes_that_are_not_known_are_asked_for():
    with pytest.raises(UserError, match=r"bytes of a value of type .* are not known"):
        read(
            module("""builtin.module { func.func @step(%x: tensor<?xf32>) -> (tensor<?xf32>) {
          %a = aten.call "aten.exp.default"(%x) : (tensor<?xf32>) -> tensor<?xf32>
          func.return %a : tensor<?xf32> } }""")
        )


def test_an_op_without_a_name_takes_none_that_another_has():
    graph = read(
        module("""builtin.module { func.func @step(%x: ROWS) -> (ROWS) {
      %0 = aten.call "aten.exp.default"(%x) : (ROWS) -> ROWS
      %1 = aten.call "aten.exp.default"(%0) attributes {remat.name = "aten.exp.default#2"} : (ROWS) -> ROWS
      %2 = aten.call "aten.exp.default"(%1) : (ROWS) -> ROWS
      %y = aten.call "aten.sin.default"(%2) : (ROWS) -> ROWS
      %z = aten.call "aten.sin.default"(%y) attributes {remat.name = "y"} : (ROWS) -> ROWS
      func.return %z : ROWS } }""")
    ).graph
    assert [op.name for op in graph.ops] == [
        "aten.exp.default",
        "aten.exp.default#2",
        "aten.exp.default#3",
        "y#4",
        "y",
    ]


def test_what_is_written_or_is_more_than_its_bytes_does_not_move():
    program = module("""
    builtin.module {
      func.func @step(%x: ROWS) -> (ROWS, ROWS, ROWS) attributes {tier.link = {place = "host", out = 1.0e+09 : f64, back = 1.0e+09 : f64, latency = 0.0 : f64, efficiency = 1.0 : f64}} {
        %a = aten.call "aten.exp.default"(%x) attributes {train.phase = "forward"} : (ROWS) -> ROWS
        %v = aten.call "aten.view.default"(%a, [4, 8]) : (ROWS) -> ROWS
        %w = aten.call mutates "aten.add_.Tensor"(%v, 1) attributes {train.storage = [#remat.storage<operand 0>]} : (ROWS) -> ROWS
        %b = aten.call "aten.sin.default"(%x) : (ROWS) -> ROWS
        %m = aten.call random "aten.rand_like.default"(%b) attributes {train.storage = [#remat.storage<new 128>]} : (ROWS) -> ROWS
        %s = aten.call "aten.neg.default"(%b) : (ROWS) -> ROWS
        %u = aten.call mutates "mine.swap.default"(%s, %x) attributes {train.storage = [#remat.storage<new 128>]} : (ROWS, ROWS) -> ROWS
        %c = aten.call "aten.complex.default"(%x, %x) : (ROWS) -> tensor<4x8xcomplex<f32>>
        %d = aten.call "aten.mul.Tensor"(%w, %b) attributes {train.phase = "backward"} : (ROWS, ROWS) -> ROWS
        %e = aten.call "aten.mul.Tensor"(%m, %u) : (ROWS, ROWS) -> ROWS
        %f = aten.call "aten.abs.default"(%c) : (tensor<4x8xcomplex<f32>>) -> ROWS
        func.return %d, %e, %f : ROWS, ROWS, ROWS
      }
    }
    """)  # noqa: E501 (one op, one line)
    graph = read(program).graph
    assert {graph.ops[graph.values[value].producer].name for value in movable(graph)} == {"b", "m"}
    assert graph.tier == Tier(1e9, 1e9)
