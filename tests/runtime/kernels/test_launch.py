"""Kernels compute what torch computes, for every shape, density and number of threads."""

import pytest
import torch
from gossamer.runtime import kernel_code, reference
from gossamer.runtime.executor import Program
from gossamer.runtime.kernels import launch
from gossamer.tests.runtime.kernels.products import check_close, expected, lowered, native, product_text

pytest.importorskip("llvmlite")

F32, BF16 = torch.float32, torch.bfloat16
SHAPES = [(1, 1), (7, 5), (64, 32), (100, 45), (96, 768), (33, 531)]


def masks(size: int) -> dict[str, torch.Tensor]:
    """None, one, some, all."""
    one = torch.zeros(size, dtype=torch.bool)
    one[size // 2] = True
    return {
        "none": torch.zeros(size, dtype=torch.bool),
        "one": one,
        "some": torch.rand(size) < 0.3,
        "all": torch.ones(size, dtype=torch.bool),
    }


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", ["k", "n"])
def test_a_row_is_what_torch_gives(shape, dtype, axis, threads):
    inputs, outputs = shape
    for bias in (False, True):
        run = native(product_text(1, inputs, outputs, dtype, axis, bias=bias))
        w, b = torch.randn(outputs, inputs).to(dtype), torch.randn(outputs).to(dtype)
        for mask in masks(inputs if axis == "k" else outputs).values():
            x = torch.randn(1, inputs).to(dtype)
            check_close(run(x, w, mask, b), *expected(x, w, mask, b if bias else None, axis))


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("axis", ["k", "n"])
@pytest.mark.parametrize("rows", [2, 5, 16])
def test_several_rows_are_what_torch_gives(rows, axis, dtype, threads):
    run = native(product_text(rows, 70, 83, dtype, axis, bias=True))
    w, b = torch.randn(83, 70).to(dtype), torch.randn(83).to(dtype)
    for mask in masks(70 if axis == "k" else 83).values():
        x = torch.randn(rows, 70).to(dtype)
        check_close(run(x, w, mask, b), *expected(x, w, mask, b, axis))


@pytest.mark.parametrize(("rows", "dtype"), [(2, F32), (3, BF16), (8, F32)])
def test_few_rows_may_be_wide(rows, dtype, threads):
    run = native(product_text(rows, 24, 17001, dtype, "k", bias=True))
    w, b = torch.randn(17001, 24).to(dtype), torch.randn(17001).to(dtype)
    for mask in masks(24).values():
        x = torch.randn(rows, 24).to(dtype)
        check_close(run(x, w, mask, b), *expected(x, w, mask, b, "k"))


@pytest.mark.parametrize("axis", ["k", "n"])
def test_the_number_of_rows_may_be_known_only_when_it_runs(axis, threads):
    run = native(product_text("s0", 40, 50, F32, axis, bias=True))
    w, b = torch.randn(50, 40), torch.randn(50)
    mask = torch.rand(40 if axis == "k" else 50) < 0.4
    for rows in range(1, 17):
        x = torch.randn(rows, 40)
        check_close(run(x, w, mask, b), *expected(x, w, mask, b, axis))


def test_more_rows_than_there_are_kernels_for_are_torch_s():
    program = Program.build(lowered(product_text("s0", 40, 50, F32, "k", bias=True)), {})
    x, w, b, mask = torch.randn(17, 40), torch.randn(50, 40), torch.randn(50), torch.rand(40) < 0.4
    check_close(program([x, w, mask, b])[0], *expected(x, w, mask, b, "k"))
    assert program([x[:0], w, mask, b])[0].shape == (0, 50)


@pytest.mark.parametrize("axis", ["k", "n"])
def test_nan_and_infinity_go_where_the_active_part_takes_them(axis):
    run = native(product_text(1, 64, 48, F32, axis, bias=True))
    w, b = torch.randn(48, 64), torch.randn(48)
    mask = torch.ones(64 if axis == "k" else 48, dtype=torch.bool)
    mask[5] = False
    x = torch.randn(1, 64)
    x[0, 7], x[0, 9] = -0.0, 1e-40
    w[3, 11], w[4, 12], w[20, 13] = torch.nan, torch.inf, -torch.inf
    if axis == "k":
        w[:, 5] = torch.nan
    check_close(run(x, w, mask, b), *expected(x, w, mask, b, axis))
    x[0, 20] = torch.inf
    check_close(run(x, w, mask, b), *expected(x, w, mask, b, axis))


def test_bf16_is_rounded_as_torch_rounds_it():
    """One active position and no sum: the product is one rounding away from exact, ties and NaN included."""
    run = native(product_text(1, 2, 4096, BF16, "k", bias=False))
    bits = torch.randint(-(2**15), 2**15, (4096, 2), dtype=torch.int16)
    w, x = bits.view(BF16), torch.tensor([[1.00390625 * 3, 0.0]], dtype=BF16)
    found = run(x, w, torch.tensor([True, False]), torch.zeros(4096, dtype=BF16))
    exact = (x[0, 0].float() * w[:, 0].float()).to(BF16)
    assert torch.equal(found.nan_to_num(0.0)[0], exact.nan_to_num(0.0))
    assert torch.equal(found.isnan()[0], exact.isnan())


def test_the_number_of_threads_changes_no_bit(monkeypatch):
    monkeypatch.setattr(launch, "GRAIN", 0)
    run = native(product_text(3, 300, 500, F32, "k", bias=True))
    args = torch.randn(3, 300), torch.randn(500, 300), torch.rand(300) < 0.5, torch.randn(500)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(run(*args))
    torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_weight_that_is_written_is_read_anew():
    run = native(product_text(1, 30, 20, F32, "k", bias=False))
    x, w, mask, b = torch.randn(1, 30), torch.randn(20, 30), torch.ones(30, dtype=torch.bool), torch.zeros(20)
    for change in (lambda: None, lambda: w.mul_(2.0), lambda: setattr(w, "data", torch.randn(20, 30))):
        change()
        mask[3] = False
        check_close(run(x, w, mask, b), *expected(x, w, mask, b, "k"))


def test_gradients_flow_as_torch_s():
    program = Program.build(lowered(product_text(1, 30, 20, F32, "k", bias=True)), {})
    x, w, mask, b = torch.randn(1, 30), torch.randn(20, 30), torch.rand(30) < 0.5, torch.randn(20)
    x.requires_grad_()
    program([x, w, mask, b])[0].sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad[0], torch.where(mask, w.sum(0), 0.0))


def test_views_inference_tensors_and_other_strides_are_taken():
    program = Program.build(lowered(product_text(2, 30, 20, F32, "k", bias=True)), {})
    mask, b = torch.rand(30) < 0.5, torch.randn(20)
    x, w = torch.randn(30, 2).t(), torch.randn(30, 20).t()
    check_close(program([x, w, mask, b])[0], *expected(x, w, mask, b, "k"))
    with torch.inference_mode():
        x, w = torch.randn(2, 30), torch.randn(20, 30)
        check_close(program([x, w, mask, b])[0], *expected(x, w, mask, b, "k"))


def test_the_reference_runs_what_a_launch_means():
    module = lowered(product_text(1, 30, 20, F32, "k", bias=True))
    x, w, mask, b = torch.randn(1, 30), torch.randn(20, 30), torch.rand(30) < 0.5, torch.randn(20)
    check_close(reference.run(module, {}, [x, w, mask, b])[0], *expected(x, w, mask, b, "k"))


@pytest.mark.parametrize("missing", ["llvmlite", "openmp"])
def test_a_program_runs_whatever_is_missing(missing, monkeypatch):
    monkeypatch.setattr(launch, "GRAIN", 0)
    if missing == "llvmlite":
        monkeypatch.setattr(kernel_code, "available", lambda: False)
    else:
        for module in (launch, kernel_code):
            monkeypatch.setattr(module, "team_runner", lambda: None)
    program = Program.build(lowered(product_text(1, 30, 20, F32, "k", bias=True)), {})
    x, w, mask, b = torch.randn(1, 30), torch.randn(20, 30), torch.rand(30) < 0.5, torch.randn(20)
    check_close(program([x, w, mask, b])[0], *expected(x, w, mask, b, "k"))


def test_launches_of_one_kernel_share_its_code(monkeypatch):
    texts = []
    plain = kernel_code.llvm_text
    monkeypatch.setattr(kernel_code, "llvm_text", lambda module: texts.append(plain(module)) or texts[-1])
    x, w, d = "tensor<1x30xf32>", "tensor<30x30xf32>", "!sparse.domain<30>"
    Program.build(
        lowered(f"""
        func.func @forward(%x: {x}, %w: {w}, %v: {w}, %d: {d}) -> {x} {{
          %y = sparse.matmul %x, %w[%d] k : {x}, {w}, {d} -> {x}
          %z = sparse.matmul %y, %v[%d] k : {x}, {w}, {d} -> {x}
          func.return %z : {x}
        }}"""),
        {},
    )
    assert len(texts) == 1
