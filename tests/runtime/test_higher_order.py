"""Functions given to torch's higher-order ops, against the loops they stand for."""

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.executor import Program

VECTOR = "tensor<3xf32>"

COND = f"""
func.func @forward(%p: tensor<i1>, %x: {VECTOR}) -> ({VECTOR}, {VECTOR}) {{
  %a, %b = aten.call "cond"(%p, region<0>, region<1>, [%x]) unpack {{
  ^bb0(%t: {VECTOR}):
    %y = aten.call "aten.sin.default"(%t) : ({VECTOR}) -> {VECTOR}
    aten.yield(%y, %t) : {VECTOR}, {VECTOR}
  }} {{
  ^bb0(%f: {VECTOR}):
    %y = aten.call "aten.cos.default"(%f) : ({VECTOR}) -> {VECTOR}
    %z = aten.call "aten.neg.default"(%y) : ({VECTOR}) -> {VECTOR}
    aten.yield(%y, %z) : {VECTOR}, {VECTOR}
  }} : (tensor<i1>, {VECTOR}) -> ({VECTOR}, {VECTOR})
  func.return %a, %b : {VECTOR}, {VECTOR}
}}"""


def test_cond_runs_one_of_two_functions(execute):
    x = torch.randn(3)
    assert torch.equal(execute(COND, [torch.tensor(True), x])[0], x.sin())
    a, b = execute(COND, [torch.tensor(False), x])
    assert torch.equal(a, x.cos())
    assert torch.equal(b, -x.cos())


def test_gradients_flow_through_the_branch_that_was_taken():
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    program = Program.build(parse_text(COND), {})
    for p in (True, False):
        assert torch.autograd.gradcheck(lambda x, p=p: program([torch.tensor(p), x])[0], (x,))


LOOP = """
func.func @forward(%n: tensor<i64>, %x: tensor<3xf32>, %w: tensor<3xf32>) -> (tensor<i64>, tensor<3xf32>) {
  %i, %y = aten.call "while_loop"(region<0>, region<1>, [0, %x], [%w, %n]) unpack {
  ^bb0(%a: !aten.scalar<int, "u0">, %b: tensor<3xf32>, %c: tensor<3xf32>, %d: tensor<i64>):
    %more = aten.call "aten.gt.Scalar"(%d, %a) : (tensor<i64>, !aten.scalar<int, "u0">) -> tensor<i1>
    aten.yield(%more) : tensor<i1>
  } {
  ^bb0(%a: !aten.scalar<int, "u0">, %b: tensor<3xf32>, %c: tensor<3xf32>, %d: tensor<i64>):
    %next = aten.call "operator.add"(%a, 1) : (!aten.scalar<int, "u0">) -> !aten.scalar<int, "u0 + 1">
    %product = aten.call "aten.mul.Tensor"(%b, %c) : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xf32>
    aten.yield(%next, %product) : !aten.scalar<int, "u0 + 1">, tensor<3xf32>
  } : (tensor<3xf32>, tensor<3xf32>, tensor<i64>) -> (tensor<i64>, tensor<3xf32>)
  func.return %i, %y : tensor<i64>, tensor<3xf32>
}"""


@pytest.mark.parametrize("times", [0, 1, 4])
def test_while_loop_carries_its_state(execute, times):
    x, w = torch.randn(2, 3)
    count, y = execute(LOOP, [torch.tensor(times), x, w])
    assert count == times
    torch.testing.assert_close(y, x * w**times)
    assert y.data_ptr() != x.data_ptr()


SCAN = """
func.func @forward(%h: tensor<2xf32>, %xs: tensor<?x2xf32>, %w: tensor<2xf32>) -> (tensor<2xf32>, tensor<?x2xf32>) {
  %last, %none, %all = aten.call "scan"(region<0>, [%h], [%xs], [%w]) unpack {
  ^bb0(%state: tensor<2xf32>, %x: tensor<2xf32>, %gate: tensor<2xf32>):
    %decayed = aten.call "aten.mul.Tensor"(%state, %gate) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %new = aten.call "aten.add.Tensor"(%decayed, %x) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    %out = aten.call "aten.relu.default"(%new) : (tensor<2xf32>) -> tensor<2xf32>
    aten.yield(%new, none, %out) : tensor<2xf32>, tensor<2xf32>
  } : (tensor<2xf32>, tensor<?x2xf32>, tensor<2xf32>)
      -> (tensor<2xf32>, !aten.object<"NoneType">, tensor<?x2xf32>)
  func.return %last, %all : tensor<2xf32>, tensor<?x2xf32>
}"""


def by_hand(h: torch.Tensor, xs: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    outputs = []
    for x in xs:
        h = h * w + x
        outputs.append(h.relu())
    return h, torch.stack(outputs)


@pytest.mark.parametrize("steps", [1, 5])
def test_scan_stacks_what_every_step_gives_back(execute, steps):
    args = torch.randn(2), torch.randn(steps, 2), torch.randn(2)
    last, outputs = execute(SCAN, args)
    expected = by_hand(*args)
    assert torch.equal(last, expected[0])
    assert torch.equal(outputs, expected[1])


def test_gradients_flow_back_through_every_step_of_a_scan():
    args = [torch.randn(shape, requires_grad=True) for shape in ((2,), (4, 2), (2,))]
    last, outputs = Program.build(parse_text(SCAN), {})(args)
    found = torch.autograd.grad(last.sum() + outputs.sum(), args)
    h, xs, w = args
    last, outputs = by_hand(h, xs, w)
    expected = torch.autograd.grad(last.sum() + outputs.sum(), args)
    for gradient, other in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, other)


def test_map_applies_a_function_to_every_row(execute):
    text = """
    func.func @forward(%xs: tensor<?x3xf32>, %w: tensor<3xf32>) -> tensor<?xf32> {
      %y = aten.call "map_impl"(region<0>, [%xs], [%w]) unpack {
      ^bb0(%x: tensor<3xf32>, %v: tensor<3xf32>):
        %d = aten.call "aten.dot.default"(%x, %v) : (tensor<3xf32>, tensor<3xf32>) -> tensor<f32>
        aten.yield(%d) : tensor<f32>
      } : (tensor<?x3xf32>, tensor<3xf32>) -> tensor<?xf32>
      func.return %y : tensor<?xf32>
    }"""
    xs, w = torch.randn(5, 3), torch.randn(3)
    torch.testing.assert_close(execute(text, [xs, w])[0], xs @ w)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_associative_scan_combines_along_the_first_axis(execute, steps):
    text = """
    func.func @forward(%xs: tensor<?x3xf32>) -> tensor<?x3xf32> {
      %y = aten.call "associative_scan"(region<0>, [%xs], []) unpack {
      ^bb0(%a: tensor<?x3xf32>, %b: tensor<?x3xf32>):
        %s = aten.call "aten.add.Tensor"(%a, %b) : (tensor<?x3xf32>, tensor<?x3xf32>) -> tensor<?x3xf32>
        aten.yield(%s) : tensor<?x3xf32>
      } : (tensor<?x3xf32>) -> tensor<?x3xf32>
      func.return %y : tensor<?x3xf32>
    }"""
    xs = torch.randn(steps, 3)
    torch.testing.assert_close(execute(text, [xs])[0], xs.cumsum(0))


WRAPPED = """
func.func @forward(%x: tensor<4x4xf32>) -> (tensor<4x4xf32>, tensor<4x4xbf16>) {
  %y = aten.call "wrap_with_set_grad_enabled"(false, region<0>, %x) unpack {
  ^bb0(%a: tensor<4x4xf32>):
    %b = aten.call "aten.sin.default"(%a) : (tensor<4x4xf32>) -> tensor<4x4xf32>
    aten.yield(%b) : tensor<4x4xf32>
  } : (tensor<4x4xf32>) -> tensor<4x4xf32>
  %z = aten.call "wrap_with_autocast"("cpu", torch.bfloat16, true, none, region<0>, %x) unpack {
  ^bb0(%a: tensor<4x4xf32>):
    %b = aten.call "aten.mm.default"(%a, %a) : (tensor<4x4xf32>) -> tensor<4x4xbf16>
    aten.yield(%b) : tensor<4x4xbf16>
  } : (tensor<4x4xf32>) -> tensor<4x4xbf16>
  func.return %y, %z : tensor<4x4xf32>, tensor<4x4xbf16>
}"""


def test_functions_run_in_the_grad_and_autocast_modes_they_ask_for(execute):
    x = torch.randn(4, 4, requires_grad=True)
    y, z = execute(WRAPPED, [x])
    assert not y.requires_grad
    assert z.requires_grad
    assert z.dtype is torch.bfloat16


def test_functions_may_hold_functions_and_weights(execute):
    text = """
    aten.weight parameter @w : tensor<2xf32> digest "a"
    func.func @forward(%p: tensor<i1>, %x: tensor<2xf32>) -> tensor<2xf32> {
      %y = aten.call "cond"(%p, region<0>, region<1>, [%p, %x]) unpack {
      ^bb0(%q: tensor<i1>, %a: tensor<2xf32>):
        %b = aten.call "cond"(%q, region<0>, region<1>, [%a]) unpack {
        ^bb1(%c: tensor<2xf32>):
          %w = aten.parameter @w : tensor<2xf32>
          %d = aten.call "aten.mul.Tensor"(%c, %w) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
          aten.yield(%d) : tensor<2xf32>
        } {
        ^bb1(%c: tensor<2xf32>):
          aten.yield(%c) : tensor<2xf32>
        } : (tensor<i1>, tensor<2xf32>) -> tensor<2xf32>
        aten.yield(%b) : tensor<2xf32>
      } {
      ^bb0(%q: tensor<i1>, %a: tensor<2xf32>):
        aten.yield(%a) : tensor<2xf32>
      } : (tensor<i1>, tensor<2xf32>) -> tensor<2xf32>
      func.return %y : tensor<2xf32>
    }"""
    x, w = torch.randn(2, 2)
    assert torch.equal(execute(text, [torch.tensor(True), x], {"w": w})[0], x * w)
    assert torch.equal(execute(text, [torch.tensor(False), x], {"w": w})[0], x)


def test_an_op_that_fails_inside_a_function_is_the_one_that_is_named():
    text = """
    func.func @forward(%xs: tensor<2x3xf32>) -> tensor<2x3xf32> {
      %y = aten.call "map_impl"(region<0>, [%xs], []) unpack {
      ^bb0(%row: tensor<3xf32>):
        %z = aten.call "aten.mm.default"(%row, %row) : (tensor<3xf32>) -> tensor<3xf32>
        aten.yield(%z) : tensor<3xf32>
      } : (tensor<2x3xf32>) -> tensor<2x3xf32>
      func.return %y : tensor<2x3xf32>
    }"""
    with pytest.raises(UserError, match=r":5:\d+: error: aten\.mm\.default: .*\n(.*\n)*  %row is float32 \[3\]"):
        Program.build(parse_text(text), {})([torch.randn(2, 3)])
