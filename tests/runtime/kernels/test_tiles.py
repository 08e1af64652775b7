"""Products by tiles are the dense product where what they skip is zero: torch form, reference and kernels."""

from collections.abc import Callable

import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.dialects.tiles import probe_step
from gossamer.runtime import kernel_code, reference
from gossamer.runtime.executor import Program
from gossamer.runtime.kernels import launch
from gossamer.runtime.tiles import Tiles
from gossamer.tests.runtime.kernels.products import NAMES, check_close, lowered, starts
from torch import Tensor

F32, BF16 = torch.float32, torch.bfloat16


def tiled_text(
    rows: int | str, inputs: int, outputs: int, height: int, *, clustered: bool, dtype=F32, bias=True
) -> str:
    """A program that gives the product and the density of its tiles. `rows` may be a symbol."""
    element, size, name = NAMES[dtype], "?" if isinstance(rows, str) else rows, f'"{rows}"'
    dims = [f", #aten.dims<{name}, {width}>" if isinstance(rows, str) else "" for width in (inputs, outputs)]
    x, y = (f"tensor<{size}x{width}x{element}{d}>" for width, d in zip((inputs, outputs), dims, strict=True))
    w, b = f"tensor<{outputs}x{inputs}x{element}>", f"tensor<{outputs}x{element}>"
    tiles = f"!sparse.tiles<{height} : {name if isinstance(rows, str) else rows}, {inputs}>"
    return f"""
    func.func @forward(%x: {x}, %w: {w}, %b: {b}) -> ({y}, f32) {{
      %t = sparse.tile %x {"clustered" * clustered} : {x} -> {tiles}
      %d = sparse.density %t : {tiles}
      %y = sparse.matmul %x, %w[%t] k {f"bias %b : {b}" * bias} : {x}, {w}, {tiles} -> {y}
      func.return %y, %d : {y}, f32
    }}"""


def torch_form(text: str) -> Callable[..., tuple[Tensor, float]]:
    program = Program.build(parse_text(text), {})
    return lambda *args: tuple(program(args))


def by_reference(text: str) -> Callable[..., tuple[Tensor, float]]:
    module = parse_text(text)
    return lambda *args: tuple(reference.run(module, {}, args))


def native(text: str) -> Callable[..., tuple[Tensor, float]]:
    """The kernels, which must not fall back to what their launches mean."""
    pytest.importorskip("llvmlite")
    program = Program.build(lowered(text), {})

    def run(*args: Tensor) -> tuple[Tensor, float]:
        with torch.no_grad(), starts() as started:
            found = tuple(program(args))
        assert len(started) == 2, "a kernel did not run"
        return found

    return run


@pytest.fixture(params=[torch_form, by_reference, native])
def form(request):
    return request.param


def batch(rows: int, width: int, density: float, groups: int = 3, dtype: torch.dtype = F32) -> Tensor:
    """Rows of `groups` that are active at the same positions, taken in turns."""
    masks = torch.rand(groups, width) < density
    return (torch.randn(rows, width) * masks[torch.arange(rows) % groups]).to(dtype)


def dense(x: Tensor, w: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor]:
    """The product in double precision, and the magnitude of what is summed."""
    x, w, bias = x.double(), w.double(), torch.zeros(()) if b is None else b.double()
    return x @ w.T + bias, x.abs() @ w.abs().T + bias.abs()


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("height", [1, 2, 8])
@pytest.mark.parametrize("rows", [16, 37])
def test_the_product_is_the_dense_one(form, rows, height, clustered, threads):
    w, b, bias = torch.randn(83, 70), torch.randn(83), rows == 16
    run = form(tiled_text(rows, 70, 83, height, clustered=clustered, bias=bias))
    for density in (0.0, 0.2, 1.0):
        x = batch(rows, 70, density)
        y, found = run(x, w, b)
        check_close(y, *dense(x, w, b if bias else None))
        assert found == pytest.approx(Tiles.of(x, height, clustered=clustered).density)


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (600, 45), (1100, 33), (96, 1056)])
def test_kernels_of_any_shape(shape, dtype, threads):
    inputs, outputs = shape
    w, b = torch.randn(outputs, inputs).to(dtype), torch.randn(outputs).to(dtype)
    for height in (1, 16):
        run = native(tiled_text(19, inputs, outputs, height, clustered=True, dtype=dtype))
        x = batch(19, inputs, 0.3, dtype=dtype)
        y, density = run(x, w, b)
        check_close(y, *dense(x, w, b))
        assert density == pytest.approx(Tiles.of(x, height, clustered=True).density)


@pytest.mark.parametrize("clustered", [False, True])
def test_kernels_order_rows_as_it_is_said(clustered):
    """Samples of a wide row, ties, empty rows, and more rows than a tile has."""
    pytest.importorskip("llvmlite")
    for height in (2, 8):
        x = 'tensor<?x1300xf32, #aten.dims<"s0", 1300>>'
        found = f'!sparse.tiles<{height} : "s0", 1300>'
        body = f"%t = sparse.tile %x {'clustered' * clustered} : {x} -> {found} func.return %t : {found}"
        tile = Program.build(lowered(f"func.func @forward(%x: {x}) -> {found} {{ {body} }}"), {})
        for rows in (8, 9, 31):
            x = batch(rows, 1300, 0.2, groups=4)
            x[rows // 2] = 0.0
            (found,), wanted = tile([x]), Tiles.of(x, height, clustered=clustered)
            assert torch.equal(found.order, wanted.order)
            assert torch.equal(found.sizes, wanted.sizes)
            for number in range(wanted.number):
                assert torch.equal(found.columns(number), wanted.columns(number))


def test_the_number_of_rows_may_be_known_only_when_it_runs(threads):
    run = native(tiled_text("s0", 40, 50, 8, clustered=True))
    w, b = torch.randn(50, 40), torch.randn(50)
    for rows in (1, 2, 3, 5, 8, 9, 40):
        x = batch(rows, 40, 0.4)
        y, density = run(x, w, b)
        check_close(y, *dense(x, w, b))
        assert density <= 1.0 or rows % 8, "tiles are no higher than there are rows"


def test_no_rows(form):
    if form is native:
        pytest.skip("there is nothing to launch")
    y, density = form(tiled_text("s0", 40, 50, 8, clustered=True))(
        torch.ones(0, 40), torch.ones(50, 40), torch.ones(50)
    )
    assert y.shape == (0, 50)
    assert density == 1.0


def test_nan_infinity_and_minus_zero(form):
    run = form(tiled_text(5, 64, 48, 2, clustered=True))
    w, b, x = torch.randn(48, 64), torch.randn(48), batch(5, 64, 0.3)
    x[1, 7], x[2, 9], x[4, 11] = torch.nan, torch.inf, -0.0
    y, _ = run(x, w, b)
    check_close(y, *dense(x, w, b))


def test_a_tile_that_skips_a_position_does_not_read_its_weight(form):
    """NaN in a part of the weight that no row of the tile is active at."""
    run = form(tiled_text(4, 8, 3, 2, clustered=False))
    x, w = torch.zeros(4, 8), torch.randn(3, 8)
    x[:2, 1], x[2:, 5] = 1.0, 2.0
    w[:, 3] = torch.nan
    y, density = run(x, w, torch.zeros(3))
    torch.testing.assert_close(y, torch.stack([w[:, 1]] * 2 + [2 * w[:, 5]] * 2))
    assert density == pytest.approx(1 / 8)


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    monkeypatch.setattr(launch, "GRAIN", 0)
    run = native(tiled_text(33, 300, 500, 4, clustered=True))
    x, w, b = batch(33, 300, 0.3, groups=9), torch.randn(500, 300), torch.randn(500)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(run(x, w, b)[0])
    torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_gradients_flow_as_torch_s():
    for module in (lowered, parse_text):
        program = Program.build(module(tiled_text(4, 30, 20, 2, clustered=True)), {})
        x, w = batch(4, 30, 0.3).requires_grad_(), torch.randn(20, 30)
        y, density = program([x, w, torch.zeros(20)])
        assert density == 1.0, "what is zero has a gradient, too"
        y.sum().backward()
        assert x.grad is not None
        torch.testing.assert_close(x.grad, w.sum(0).expand(4, 30))


def test_leading_axes_views_and_inference_tensors(form):
    text = tiled_text(6, 30, 20, 4, clustered=True).replace("tensor<6x", "tensor<2x3x").replace(": 6, 30", ": 2, 3, 30")
    run, w, b = form(text), torch.randn(20, 30), torch.randn(20)
    x = batch(6, 30, 0.4).reshape(2, 3, 30)
    check_close(run(x, w, b)[0], *dense(x, w, b))
    if form is not native:
        turned = x.transpose(0, 1).contiguous().transpose(0, 1)
        check_close(run(turned, w, b)[0], *dense(turned, w, b))
    with torch.inference_mode():
        check_close(run(x.clone(), w, b)[0], *dense(x, w, b))


@pytest.mark.parametrize("missing", ["llvmlite", "openmp"])
def test_a_program_runs_whatever_is_missing(missing, monkeypatch):
    monkeypatch.setattr(launch, "GRAIN", 0)
    if missing == "llvmlite":
        monkeypatch.setattr(kernel_code, "available", lambda: False)
    else:
        for module in (launch, kernel_code):
            monkeypatch.setattr(module, "team_runner", lambda: None)
    program = Program.build(lowered(tiled_text(9, 30, 20, 4, clustered=True)), {})
    x, w, b = batch(9, 30, 0.4), torch.randn(20, 30), torch.randn(20)
    check_close(program([x, w, b])[0], *dense(x, w, b))


def test_more_rows_than_are_worth_looking_at_are_dense(form):
    text = tiled_text("s0", 30, 20, 4, clustered=True).replace("clustered :", "clustered rows 8 : i64 :")
    x, w, b = batch(9, 30, 0.1), torch.randn(20, 30), torch.randn(20)
    program = Program.build(lowered(text), {}) if form is native else None
    y, density = program([x, w, b]) if program else form(text)(x, w, b)
    assert density == 1.0
    check_close(y, *dense(x, w, b))


@pytest.mark.parametrize("density", [0.3, 0.7])
def test_rows_that_a_sample_shows_to_be_denser_are_not_looked_at(form, density):
    text = tiled_text("s0", 30, 20, 4, clustered=True).replace("clustered :", "clustered upto 0.5 : f64 :")
    x, w, b = batch(900, 30, density), torch.randn(20, 30), torch.randn(20)
    program = Program.build(lowered(text), {}) if form is native else None
    y, found = program([x, w, b]) if program else form(text)(x, w, b)
    assert (found == 1.0) == (density > 0.5)
    check_close(y, *dense(x, w, b))


def test_a_sample_looks_at_every_column():
    for rows, width in ((16, 3072), (7, 4096), (128, 8192), (2000, 64)):
        step = probe_step(rows * width)
        looked_at = torch.arange(0, rows * width, step) % width
        assert len(looked_at) <= 4096
        assert len(looked_at.unique()) == min(width, len(looked_at))
