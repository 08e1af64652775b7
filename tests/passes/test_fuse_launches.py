"""An activation, its support and the product that skips by it are one launch; what is read elsewhere stays."""

import math

import pytest
import torch
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.kernel import Form, LaunchOp
from gossamer.runtime import reference
from gossamer.runtime.executor import Program
from gossamer.runtime.kernels import launch
from gossamer.tests.runtime.kernels.products import NAMES, check_close
from torch import Tensor
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

pytest.importorskip("llvmlite")

F32, BF16 = torch.float32, torch.bfloat16
ACTIVATIONS = {
    "none": '%h = aten.call "aten.alias.default"(%x) : (X) -> X',
    "relu": '%h = aten.call "aten.relu.default"(%x) : (X) -> X',
    "square": '%r = aten.call "aten.relu.default"(%x) : (X) -> X\n%h = aten.call "aten.mul.Tensor"(%r, %r) : (X) -> X',
}
GUARD = """
      %p = sparse.density %s : D
      %l = arith.constant LIMIT : f32
      %c = arith.cmpf ole, %p, %l : f32
      %d = scf.if %c -> (D) {
        scf.yield %s : D
      } else {
        %e = sparse.everywhere %s : D
        scf.yield %e : D
      }"""
PRODUCT = "%y = sparse.matmul %h, %w[%d] k bias %b : B : X, W, D -> Y"


def text(
    rows: int | str,
    dtype: torch.dtype = F32,
    *,
    activation: str = "relu",
    limit: float = 0.5,
    sizes: tuple[int, int] = (60, 83),
) -> str:
    """An activation, its support under a guard, and the product over it."""
    inputs, outputs = sizes
    element = NAMES[dtype]
    x, y = (f"tensor<{rows}x{width}x{element}>" for width in sizes)
    if isinstance(rows, str):
        x, y = (f'tensor<?x{width}x{element}, #aten.dims<"{rows}", {width}>>' for width in sizes)
    program = f"""
    func.func @forward(%x: X, %w: W, %b: B) -> Y {{
      {ACTIVATIONS[activation]}
      %s = sparse.support %h : X -> D{GUARD.replace("LIMIT", f"{limit:e}")}
      {PRODUCT}
      func.return %y : Y
    }}"""
    for letter, kind in (
        ("X", x),
        ("Y", y),
        ("W", f"tensor<{outputs}x{inputs}x{element}>"),
        ("B", f"tensor<{outputs}x{element}>"),
        ("D", f"!sparse.domain<{inputs}>"),
    ):
        for before, after in ((" ", "\n"), (" ", ","), (" ", ")"), (" ", " "), ("(", ")"), ("(", ",")):
            program = program.replace(f"{before}{letter}{after}", f"{before}{kind}{after}")
    return program


def fused(program: str, passes: str = "lower-products,fuse-launches") -> ModuleOp:
    module = parse_text(program)
    run_pipeline(module, passes)
    return module


def outer(module: ModuleOp) -> list[Form]:
    """The forms of the launches that are in no other."""
    found = (op for op in module.walk() if isinstance(op, LaunchOp) and not isinstance(op.parent_op(), LaunchOp))
    return [op.form.data for op in found]


def compiled(program: str) -> tuple[ModuleOp, Program]:
    module = fused(program, "lower-products,fuse-launches,lower-kernels")
    assert outer(module) == [Form.SUPPORT_SKIP_K]
    return module, Program.build(module, {})


def expected(x: Tensor, w: Tensor, b: Tensor, activation: str) -> tuple[Tensor, Tensor]:
    """What torch gives in double precision where h is not zero, and the magnitude of what is summed."""
    h = {"none": x, "relu": x.relu()}.get(activation, x.relu().square())
    active = (h != 0).any(0)
    h, w, b = (t.double() for t in (h[:, active], w[:, active], b))
    return h @ w.T + b, h.abs() @ w.abs().T + b.abs()


def sparse_rows(rows: int, width: int, density: float) -> Tensor:
    """Positive at the same positions in every row, elsewhere not."""
    return torch.where(torch.rand(width) < density, torch.rand(rows, width), -torch.rand(rows, width))


def test_three_ops_and_a_guard_are_one_launch_that_means_what_they_were():
    module = fused(text(2))
    function = next(op for op in module.ops if isinstance(op, FuncOp))
    assert [op.name for op in function.body.block.ops] == ["kernel.launch", "func.return"]
    (call, *_) = function.body.block.ops
    assert isinstance(call, LaunchOp)
    names = [op.name for op in call.meaning.block.ops]
    assert names == ["kernel.launch", "sparse.density", "arith.constant", "arith.cmpf", "scf.if", "kernel.launch",
                     "kernel.yield"]  # fmt: skip
    assert call.upto is not None
    assert call.upto.value.data == 30
    assert print_module(parse_text(print_module(module))) == print_module(module)


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("activation", ["relu", "square"])
@pytest.mark.parametrize("rows", [1, 5, 16])
def test_it_computes_what_torch_does_with_any_number_of_threads(rows, activation, dtype, monkeypatch):
    monkeypatch.setattr(launch, "GRAIN", 0)
    _, program = compiled(text(rows, dtype, activation=activation, limit=1.0))
    w, b = torch.randn(83, 60).to(dtype), torch.randn(83).to(dtype)
    for density in (0.0, 0.02, 0.3, 1.0):
        x, found = sparse_rows(rows, 60, density).to(dtype), []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with torch.no_grad():
                found.append(program([x, w, b])[0])
        torch.set_num_threads(1)
        check_close(found[0], *expected(x, w, b, activation))
        assert torch.equal(*found)


def test_where_there_is_no_activation_x_itself_is_searched():
    _, program = compiled(text(3, activation="none"))
    x, w, b = sparse_rows(3, 60, 0.2).relu(), torch.randn(83, 60), torch.randn(83)
    with torch.no_grad():
        check_close(program([x, w, b])[0], *expected(x, w, b, "none"))


def test_the_number_of_rows_may_be_known_only_when_it_runs():
    _, program = compiled(text("s0"))
    w, b = torch.randn(83, 60), torch.randn(83)
    for rows in (0, 1, 2, 4, 5, 9, 16, 17):
        x = sparse_rows(rows, 60, 0.2)
        with torch.no_grad():
            check_close(program([x, w, b])[0], *expected(x, w, b, "relu"))


def test_nan_and_infinity_are_active_and_minus_zero_is_not():
    _, program = compiled(text(2))
    x, w, b = -torch.ones(2, 60), torch.randn(83, 60), torch.randn(83)
    x[0, 3], x[1, 3], x[0, 5] = -0.0, 0.0, 1e-40
    w[:, 3] = torch.nan
    with torch.no_grad():
        check_close(program([x, w, b])[0], *expected(x, w, b, "relu"))
        x[0, 7], x[1, 9], x[1, 11] = torch.nan, torch.inf, -torch.inf
        found = program([x, w, b])[0]
    check_close(found, *expected(x, w, b, "relu"))
    assert found[0].isnan().all()


@pytest.mark.parametrize("active", [29, 30, 31, 60])
def test_beyond_the_guard_s_density_the_program_is_what_it_was(active):
    module, program = compiled(text(4))
    before = Program.build(fused(text(4), "lower-products,lower-kernels"), {})
    x, w, b = torch.rand(4, 60) + 0.1, torch.randn(83, 60), torch.randn(83)
    x[:, active:] *= -1
    with torch.no_grad():
        found = program([x, w, b])[0]
        assert torch.equal(found, before([x, w, b])[0])
    check_close(reference.run(module, {}, [x, w, b])[0], *expected(x, w, b, "relu"))


def test_gradients_flow_as_torch_s():
    _, program = compiled(text(2, limit=1.0))
    x, w, b = torch.randn(2, 60, requires_grad=True), torch.randn(83, 60), torch.randn(83)
    program([x, w, b])[0].sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.where(x > 0, w.sum(0), 0.0))


@pytest.mark.parametrize(
    "reader",
    [
        '%o = aten.call "aten.sum.default"(%h) : (tensor<2x60xf32>) -> tensor<f32>',
        "%o = sparse.density %d : !sparse.domain<60>",
        "%o = sparse.density %s : !sparse.domain<60>",
    ],
)
def test_what_something_else_reads_is_left_alone(reader):
    module = fused(text(2).replace("func.return", f"{reader}\n      func.return"))
    assert outer(module) == [Form.SUPPORT, Form.SKIP_K]


@pytest.mark.parametrize(("before", "after"), [("ole", "olt"), ("ole", "oge")])
def test_another_guard_is_left_alone(before, after):
    assert outer(fused(text(2).replace(before, after))) == [Form.SUPPORT, Form.SKIP_K]


def test_rows_by_another_support_are_left_alone():
    program = text(2, sizes=(60, 60)).replace("matmul %h", "matmul %x")
    assert outer(fused(program)) == [Form.SUPPORT, Form.SKIP_K]


def test_a_limit_is_a_number_of_positions():
    for limit in (0.0, 1 / 60, 0.1, 0.88, 1.0, 1.5):
        module = fused(text(1, limit=limit))
        (call,) = (op for op in module.walk() if isinstance(op, LaunchOp) and op.form.data is Form.SUPPORT_SKIP_K)
        assert call.upto is not None
        assert call.upto.value.data == min(60, math.floor(60 * limit + 1e-4))


def test_a_second_run_changes_nothing():
    once = fused(text(2))
    twice = once.clone()
    run_pipeline(twice, "fuse-launches")
    assert print_module(twice) == print_module(once)
