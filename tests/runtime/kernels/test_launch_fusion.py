"""What is launched together: an activation with its support, a product with its gate."""

import re

import pytest
import torch
from gossamer.dialects.kernel import LaunchOp
from gossamer.runtime import reference
from gossamer.runtime.executor import Program
from gossamer.runtime.kernels import launch
from gossamer.tests.runtime.kernels.products import NAMES, check_close, lowered
from torch import Tensor

pytest.importorskip("llvmlite")

F32, BF16 = torch.float32, torch.bfloat16
ACTIVATIONS = {
    "none": "",
    "relu": '%h = aten.call "aten.relu.default"(%x) : (X) -> X',
    "square": '%r = aten.call "aten.relu.default"(%x) : (X) -> X\n%h = aten.call "aten.mul.Tensor"(%r, %r) : (X) -> X',
    "pow": '%r = aten.call "aten.relu.default"(%x) : (X) -> X\n'
    '%h = aten.call "aten.pow.Tensor_Scalar"(%r, 2) : (X) -> X',
}
COUNT = '!aten.scalar<int, "active">'


def support_text(rows: int, width: int, dtype: torch.dtype, activation: str) -> str:
    """h, its size and a scatter of ones over its support."""
    body = ACTIVATIONS[activation] or '%h = aten.call "aten.alias.default"(%x) : (X) -> X'
    text = f"""
    func.func @forward(%x: X, %ones: ONES) -> (X, ONES) {{
      {body}
      %d = sparse.support %h : X -> !sparse.domain<{width}>
      %c = sparse.gather %ones[%d] "i" : ONES, !sparse.domain<{width}> -> tensor<?xi64>
      %s = sparse.scatter %c[%d] "i" : tensor<?xi64>, !sparse.domain<{width}> -> ONES
      func.return %h, %s : X, ONES
    }}"""
    return text.replace("ONES", f"tensor<{width}xi64>").replace("X", f"tensor<{rows}x{width}x{NAMES[dtype]}>")


def activated(x: Tensor, activation: str) -> Tensor:
    """What torch makes of x."""
    return {"none": x, "relu": x.relu()}.get(activation, x.relu().square())


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", [1, 2, 5, 16])
def test_a_support_is_found_with_its_activation(rows, activation, dtype):
    module = lowered(support_text(rows, 77, dtype, activation))
    (found,) = (op for op in module.walk() if isinstance(op, LaunchOp))
    assert len(found.results) == (1 if activation == "none" else 2)
    program = Program.build(module, {})
    special = torch.tensor([torch.nan, torch.inf, -torch.inf, -0.0, 0.0, 1e-30, -1e-30, 1e-40])
    for x in (
        torch.randn(rows, 77),
        torch.zeros(rows, 77),
        torch.ones(rows, 77),
        special.repeat(rows * 10)[: rows * 77],
    ):
        x = x.view(rows, 77).to(dtype)
        x[:, 40:50] = 0.0
        with torch.no_grad():
            h, flags = program([x, torch.ones(77, dtype=torch.int64)])
        expected = activated(x, activation)
        assert torch.equal(h.nan_to_num(7.0), expected.nan_to_num(7.0))
        assert torch.equal(flags.bool(), (expected != 0).any(0))
        oracle = reference.run(module, {}, [x, torch.ones(77, dtype=torch.int64)])
        assert torch.equal(oracle[1], flags)


def glu_text(
    rows: int, width: int, hidden: int, dtype: torch.dtype, *, guarded: bool = False, swapped: bool = False
) -> str:
    """down(relu(gate x) * up x): the whole feed-forward part of a gated model."""
    element = NAMES[dtype]
    kinds = {
        "X": f"tensor<{rows}x{width}x{element}>",
        "H": f"tensor<{rows}x{hidden}x{element}>",
        "UP": f"tensor<{hidden}x{width}x{element}>",
        "DOWN": f"tensor<{width}x{hidden}x{element}>",
        "D": f"!sparse.domain<{hidden}>",
    }
    guard = """
      %p = arith.constant true
      %d = scf.if %p -> (D) {
        scf.yield %a : D
      } else {
        %e = sparse.everywhere %a : D
        scf.yield %e : D
      }"""
    text = f"""
    func.func @forward(%x: X, %g: UP, %u: UP, %w: DOWN) -> X {{
      %z = aten.call "aten.linear.default"(%x, %g) : (X, UP) -> H
      %h = aten.call "aten.relu.default"(%z) : (H) -> H
      %{"a" if guarded else "d"} = sparse.support %h : H -> D{guard if guarded else ""}
      %m = sparse.matmul %x, %u[%d] n : X, UP, D -> H
      %v = aten.call "aten.mul.Tensor"({"%m, %h" if swapped else "%h, %m"}) : (H, H) -> H
      %y = sparse.matmul %v, %w[%d] k : H, DOWN, D -> X
      func.return %y : X
    }}"""
    return re.sub(r"(?<![%\w])(X|H|UP|DOWN|D)\b", lambda name: kinds[name[0]], text)


@pytest.mark.parametrize("options", [{}, {"guarded": True}, {"swapped": True}])
@pytest.mark.parametrize(("rows", "dtype"), [(1, F32), (5, F32), (1, BF16)])
def test_a_gated_feed_forward_part_is_three_launches(rows, dtype, options, monkeypatch):
    monkeypatch.setattr(launch, "GRAIN", 0)
    module = lowered(glu_text(rows, 48, 130, dtype, **options))
    launches = [op for op in module.walk() if isinstance(op, LaunchOp)]
    assert [op.form.data.value for op in launches] == ["support", "skip_n", "skip_k"]
    assert launches[1].gate is launches[0].results[0]
    program = Program.build(module, {})
    g, u, w = (torch.randn(*size).to(dtype) for size in ((130, 48), (130, 48), (48, 130)))
    for x in (torch.randn(rows, 48).to(dtype), torch.zeros(rows, 48, dtype=dtype)):
        with torch.no_grad():
            (found,) = program([x, g, u, w])
        z, up, down = (t.double() for t in (x @ g.T, u, w))
        value = (z.relu() * (x.double() @ up.T)) @ down.T
        magnitude = (z.relu() * (x.double().abs() @ up.abs().T)) @ down.abs().T
        check_close(found, value, magnitude)


def test_a_gate_that_is_infinite_or_nan_goes_through():
    program = Program.build(lowered(glu_text(1, 16, 32, F32)), {})
    x, g, u, w = torch.randn(1, 16), torch.randn(32, 16), torch.randn(32, 16), torch.randn(16, 32)
    g[3], g[4] = torch.nan, torch.inf * x[0].sign()
    with torch.no_grad():
        (found,) = program([x, g, u, w])
    expected = ((x @ g.T).relu() * (x @ u.T)) @ w.T
    assert torch.equal(found.isnan(), expected.isnan())


def test_a_product_that_is_read_elsewhere_too_keeps_its_multiplication():
    text = glu_text(1, 48, 130, F32).replace("func.return %y", '%o = aten.call "aten.sum.default"(%m) : '
        "(tensor<1x130xf32>) -> tensor<f32>\n func.return %y")  # fmt: skip
    module = lowered(text)
    assert [op.gate for op in module.walk() if isinstance(op, LaunchOp)] == [None] * 3
