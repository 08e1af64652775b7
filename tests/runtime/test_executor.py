"""What a program computes, how it reads, and what it leaves behind."""

import gc
import linecache
import operator
import traceback

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.dialects.diagnostics import UserError
from gossamer.runtime.executor import Program

MLP = """
aten.weight parameter @up.weight : tensor<6x4xf32> digest "a"
aten.weight parameter @up.bias : tensor<6xf32> digest "b"
func.func @forward(%x: tensor<?x4xf32, #aten.dims<"s0", 4>>) -> (tensor<?x3xf32>, !aten.scalar<int, "2*s0">) {
  %w = aten.parameter @up.weight : tensor<6x4xf32>
  %b = aten.parameter @up.bias : tensor<6xf32>
  %rows = aten.call "aten.sym_size.int"(%x, 0) : (tensor<?x4xf32, #aten.dims<"s0", 4>>) -> !aten.scalar<int, "s0">
  %double = aten.call "operator.mul"(%rows, 2) : (!aten.scalar<int, "s0">) -> !aten.scalar<int, "2*s0">
  %up = aten.call "aten.linear.default"(%x, %w, %b)
    : (tensor<?x4xf32, #aten.dims<"s0", 4>>, tensor<6x4xf32>, tensor<6xf32>) -> tensor<?x6xf32>
  %act = aten.call "aten.gelu.default"(%up, approximate = "tanh") : (tensor<?x6xf32>) -> tensor<?x6xf32>
  %view = aten.call "aten.view.default"(%act, [%double, 3])
    : (tensor<?x6xf32>, !aten.scalar<int, "2*s0">) -> tensor<?x3xf32>
  func.return %view, %double : tensor<?x3xf32>, !aten.scalar<int, "2*s0">
}"""


def weights() -> dict[str, torch.Tensor]:
    return {"up.weight": torch.randn(6, 4), "up.bias": torch.randn(6)}


def eager(x: torch.Tensor, w: dict[str, torch.Tensor]) -> torch.Tensor:
    up = torch.nn.functional.linear(x, w["up.weight"], w["up.bias"])
    return torch.nn.functional.gelu(up, approximate="tanh").view(-1, 3)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_program_computes_what_the_model_does_bit_for_bit(execute, rows):
    w, x = weights(), torch.randn(rows, 4)
    y, double = execute(MLP, [x], w)
    assert torch.equal(y, eager(x, w))
    assert double == 2 * rows


def test_the_source_is_a_line_an_op_and_frees_what_is_read_for_the_last_time():
    assert Program.build(parse_text(MLP), weights()).source.strip().splitlines() == [
        "def forward(x):",
        "    rows = x.size(0)",
        "    double = rows * 2; del rows",
        "    up = aten_linear_default(x, up_weight, up_bias)",
        "    act = aten_gelu_default(up, approximate='tanh'); del up",
        "    view = act.view((double, 3)); del act",
        "    return [view, double]",
    ]


def test_gradients_are_those_of_the_model():
    w, x = weights(), torch.randn(5, 4, requires_grad=True)
    for weight in w.values():
        weight.requires_grad_()
    (y, _) = Program.build(parse_text(MLP), w)([x])
    found = torch.autograd.grad(y.sin().sum(), [x, *w.values()])
    expected = torch.autograd.grad(eager(x, w).sin().sum(), [x, *w.values()])
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_program_runs_without_gradients(mode):
    w, x = weights(), torch.randn(5, 4)
    w["up.weight"].requires_grad_()
    program = Program.build(parse_text(MLP), w)
    with mode():
        y, _ = program([x])
        assert not y.requires_grad
        assert torch.equal(y, eager(x, w))


def test_a_program_sees_its_weights_change():
    w, x = weights(), torch.randn(5, 4)
    program = Program.build(parse_text(MLP), w)
    w["up.weight"].mul_(2)
    assert torch.equal(program([x])[0], eager(x, w))
    other = weights()
    for name, weight in other.items():
        program.rebind(name, weight)
    assert torch.equal(program([x])[0], eager(x, other))
    with pytest.raises(UserError, match=r"did you mean 'up\.bias'"):
        program.rebind("up.bia", x)


LITERALS = """
func.func @forward(%x: tensor<2x3xf32>, %i: tensor<2xi64>) -> (tensor<2x2xf32>, tensor<2x3xf64>, tensor<2x3xf32>,
    tensor<2xcomplex<f32>>, tensor<3x2xf32>, tensor<2x3xf32>, tensor<2xi64>, tensor<f32>) {
  %a = aten.call "aten.index.Tensor"(%x, [none, %i]) : (tensor<2x3xf32>, tensor<2xi64>) -> tensor<2x2xf32>
  %b = aten.call "aten._to_copy.default"(%x, dtype = torch.float64, device = device<"cpu">, non_blocking = true)
    : (tensor<2x3xf32>) -> tensor<2x3xf64>
  %c = aten.call "aten.clamp.default"(%x, -inf, 0.1) : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %d = aten.call "aten.full.default"([2], complex<-0.0, inf>, dtype = torch.complex64) : () -> tensor<2xcomplex<f32>>
  %e = aten.call "aten.permute.default"(%x, [-1, 0]) : (tensor<2x3xf32>) -> tensor<3x2xf32>
  %f = aten.call "aten.full_like.default"(%x, nan) : (tensor<2x3xf32>) -> tensor<2x3xf32>
  %g = aten.call "aten.sum.dim_IntList"(%i, [], keepdim = true) : (tensor<2xi64>) -> tensor<2xi64>
  %h = aten.call "aten.scalar_tensor.default"(-0.0, layout = torch.strided) : () -> tensor<f32>
  func.return %a, %b, %c, %d, %e, %f, %g, %h : tensor<2x2xf32>, tensor<2x3xf64>, tensor<2x3xf32>,
    tensor<2xcomplex<f32>>, tensor<3x2xf32>, tensor<2x3xf32>, tensor<2xi64>, tensor<f32>
}"""


def test_literals_arrive_as_they_are_written(execute):
    x, i = torch.randn(2, 3), torch.tensor([2, 0])
    a, b, c, d, e, f, g, h = execute(LITERALS, [x, i])
    assert torch.equal(a, x[:, i])
    assert torch.equal(b, x.double())
    assert torch.equal(c, x.clamp(max=0.1))
    assert d[0].imag == float("inf")
    assert str(d[0].real.item()) == "-0.0"
    assert torch.equal(e, x.t())
    assert f.isnan().all()
    assert g.tolist() == [2]
    assert str(h.item()) == "-0.0"


def test_a_keyword_may_be_a_word_of_python(execute):
    text = """
    func.func @forward(%x: tensor<4xf32>) -> tensor<4xf32> {
      %y = aten.call random "aten.uniform.default"(%x, from = 2.0, to = 2.0) : (tensor<4xf32>) -> tensor<4xf32>
      func.return %y : tensor<4xf32>
    }"""
    assert execute(text, [torch.zeros(4)])[0].tolist() == [2.0] * 4


def test_names_of_values_cannot_clash_with_names_of_the_text(execute):
    text = """
    aten.weight parameter @x : tensor<2xf32> digest "a"
    func.func @forward(%nan: tensor<2xf32>, %aten_mul_Tensor: tensor<2xf32>, %forward: tensor<2xf32>)
        -> (tensor<2xf32>, tensor<2xf32>) {
      %lambda = aten.parameter @x : tensor<2xf32>
      %x = aten.call "aten.mul.Tensor"(%nan, %aten_mul_Tensor) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
      %store = aten.call "aten.mul.Tensor"(%x, %forward) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
      %class = aten.call "aten.mul.Tensor"(%store, %lambda) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
      %2 = aten.call "aten.full_like.default"(%class, nan) : (tensor<2xf32>) -> tensor<2xf32>
      func.return %class, %2 : tensor<2xf32>, tensor<2xf32>
    }"""
    a, b, c, w = torch.randn(4, 2)
    product, nans = execute(text, [a, b, c], {"x": w})
    assert torch.equal(product, a * b * c * w)
    assert nans.isnan().all()


def test_a_call_may_give_several_values_or_one_or_none(execute):
    text = """
    func.func @forward(%x: tensor<4x3xf32>, %yes: tensor<i1>) -> (tensor<3xi64>, tensor<2x3xf32>) {
      %values, %indices = aten.call "aten.max.dim"(%x, 0) unpack : (tensor<4x3xf32>) -> (tensor<3xf32>, tensor<3xi64>)
      %whole = aten.call "aten.split.Tensor"(%x, 4) unpack : (tensor<4x3xf32>) -> tensor<4x3xf32>
      %a, %b = aten.call "aten.split.Tensor"(%whole, 2) unpack
        : (tensor<4x3xf32>) -> (tensor<2x3xf32>, tensor<2x3xf32>)
      aten.call mutates "aten._assert_async.msg"(%yes, "never") : (tensor<i1>) -> ()
      func.return %indices, %b : tensor<3xi64>, tensor<2x3xf32>
    }"""
    x = torch.randn(4, 3)
    indices, b = execute(text, [x, torch.tensor(True)])
    assert torch.equal(indices, x.max(0).indices)
    assert torch.equal(b, x[2:])


def test_arithmetic_on_sizes_follows_python(execute):
    names = ["add", "sub", "mul", "floordiv", "truediv", "mod", "pow", "eq", "ne", "lt", "le", "gt", "ge"]
    scalar = '!aten.scalar<int, "n">'
    calls = [f'%r{i} = aten.call "operator.{n}"(%a, -3) : ({scalar}) -> {scalar}' for i, n in enumerate(names)]
    lines, types = "\n".join(calls), ", ".join([scalar] * (len(names) + 3))
    results = ", ".join(f"%r{i}" for i in range(len(names)))
    text = f"""
    func.func @forward(%a: {scalar}) -> ({types}) {{
      {lines}
      %m = aten.call "torch.sym_max"(%a, 4) : ({scalar}) -> {scalar}
      %f = aten.call "math.floor"(2.5) : () -> {scalar}
      %n = aten.call "operator.neg"(%a) : ({scalar}) -> {scalar}
      func.return {results}, %m, %f, %n : {types}
    }}"""
    expected = [getattr(operator, name)(7, -3) for name in names]
    assert execute(text, [7]) == [*expected, 7, 2, -7]


def test_a_negative_literal_is_one_number(execute):
    text = """
    func.func @forward(%a: !aten.scalar<int, "n">) -> !aten.scalar<int, "(-3)**n"> {
      %p = aten.call "operator.pow"(-3, %a) : (!aten.scalar<int, "n">) -> !aten.scalar<int, "(-3)**n">
      func.return %p : !aten.scalar<int, "(-3)**n">
    }"""
    assert execute(text, [2]) == [9]


GUARD = """
func.func @forward(%x: tensor<?x?x2xf32>, %m: tensor<?x?xi64>) -> (tensor<?x2xf32>, i1) {
  %d = sparse.domain %m : tensor<?x?xi64> -> !sparse.domain<"b", "s">
  %density = sparse.density %d : !sparse.domain<"b", "s">
  %limit = arith.constant 0.5 : f32
  %yes = arith.constant true
  %low = arith.cmpf ole, %density, %limit : f32
  %fits = sparse.fits %x, %d "i j a" : tensor<?x?x2xf32>, !sparse.domain<"b", "s">
  %and = arith.andi %low, %fits : i1
  %pays = arith.andi %and, %yes : i1
  %on = scf.if %pays -> (!sparse.domain<"b", "s">) {
    scf.yield %d : !sparse.domain<"b", "s">
  } else {
    %all = sparse.everywhere %d : !sparse.domain<"b", "s">
    scf.yield %all : !sparse.domain<"b", "s">
  }
  %c = sparse.gather %x[%on] "i j a" : tensor<?x?x2xf32>, !sparse.domain<"b", "s"> -> tensor<?x2xf32>
  func.return %c, %pays : tensor<?x2xf32>, i1
}"""


def test_a_guard_takes_the_packed_form_while_it_pays_and_the_dense_one_after(execute):
    x = torch.randn(2, 2, 2)
    compact, pays = execute(GUARD, [x, torch.tensor([[0, 1], [0, 1]])])
    assert torch.equal(compact, x[:, 1])
    assert bool(pays)
    compact, pays = execute(GUARD, [x, torch.tensor([[1, 1], [0, 1]])])
    assert torch.equal(compact, x.view(4, 2))
    assert not pays


def test_only_the_branch_that_is_taken_runs(execute):
    text = """
    func.func @forward(%x: tensor<2x3xf32>, %p: i1) -> (tensor<2x3xf32>, tensor<2x3xf32>) {
      %y = aten.call "aten.neg.default"(%x) : (tensor<2x3xf32>) -> tensor<2x3xf32>
      %a, %b = scf.if %p -> (tensor<2x3xf32>, tensor<2x3xf32>) {
        %z = aten.call "aten.exp.default"(%y) : (tensor<2x3xf32>) -> tensor<2x3xf32>
        scf.yield %z, %x : tensor<2x3xf32>, tensor<2x3xf32>
      } else {
        %z = aten.call "aten.mm.default"(%y, %x) : (tensor<2x3xf32>, tensor<2x3xf32>) -> tensor<2x3xf32>
        scf.yield %z, %z : tensor<2x3xf32>, tensor<2x3xf32>
      }
      func.return %a, %b : tensor<2x3xf32>, tensor<2x3xf32>
    }"""
    x = torch.randn(2, 3)
    a, b = execute(text, [x, True])
    assert torch.equal(a, (-x).exp())
    assert torch.equal(b, x)
    with pytest.raises(UserError, match=r"aten\.mm\.default"):
        execute(text, [x, False])


@pytest.mark.parametrize("predicate", ["oeq", "ogt", "oge", "olt", "ole", "ugt", "uge", "ult", "ule", "une"])
@pytest.mark.parametrize("pair", [(1.0, 2.0), (2.0, 2.0), (float("nan"), 2.0)])
def test_comparisons_treat_nan_as_arith_says(execute, predicate, pair):
    text = f"""
    func.func @forward(%a: f32, %b: f32) -> i1 {{
      %r = arith.cmpf {predicate}, %a, %b : f32
      func.return %r : i1
    }}"""
    execute(text, list(pair))


@pytest.mark.parametrize("a", [True, False])
@pytest.mark.parametrize("b", [True, False])
def test_truth_values_combine(execute, a, b):
    text = """
    func.func @forward(%a: i1, %b: i1) -> (i1, i1, i1) {
      %x = arith.andi %a, %b : i1
      %y = arith.ori %a, %b : i1
      %z = arith.xori %a, %b : i1
      func.return %x, %y, %z : i1, i1, i1
    }"""
    assert execute(text, [a, b]) == [a and b, a or b, a != b]


def test_a_traceback_shows_the_generated_line():
    program = Program.build(parse_text(MLP), weights())
    with pytest.raises(UserError) as caught:
        program([torch.randn(5, 3)])
    assert caught.value.__cause__ is not None
    shown = "".join(traceback.format_exception(caught.value.__cause__))
    assert "up = aten_linear_default(x, up_weight, up_bias)" in shown


def test_a_program_that_is_gone_leaves_no_text_behind():
    program = Program.build(parse_text(MLP), weights())
    file = program.file
    assert linecache.getline(file, 1) == "def forward(x):\n"
    del program
    gc.collect()
    assert file not in linecache.cache


def test_what_cannot_run_is_refused_when_the_program_is_built():
    module = parse_text(MLP)
    with pytest.raises(UserError, match=r"no weight 'up\.bias'"):
        Program.build(module, {"up.weight": torch.randn(6, 4)})
    with pytest.raises(UserError, match=r"no function 'main'\n  hint: known: forward"):
        Program.build(module, weights(), "main")
    with pytest.raises(UserError, match="takes 1 inputs, got 2"):
        Program.build(module, weights())([1, 2])


def test_a_program_runs_on_another_device_than_it_was_exported_on():
    text = """
    aten.weight parameter @w : tensor<3xf32> digest "a"
    func.func @forward() -> tensor<3xf32> {
      %w = aten.parameter @w : tensor<3xf32>
      %a = aten.call "aten.arange.default"(3, device = device<"cpu">) : () -> tensor<3xi64>
      %y = aten.call "aten.mul.Tensor"(%w, %a) : (tensor<3xf32>, tensor<3xi64>) -> tensor<3xf32>
      func.return %y : tensor<3xf32>
    }"""
    module, w = parse_text(text), torch.randn(3)
    assert torch.equal(Program.build(module, {"w": w})([])[0], w * torch.arange(3))
    for program in (Program.build(module, {"w": w.to("meta")}), Program.build(module, {"w": w}, device="meta")):
        (y,) = program([])
        assert y.device.type == "meta"
