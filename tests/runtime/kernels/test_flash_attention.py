"""Attention and its gradients by their kernels: right for all sizes, the library's to the bit where that was tried."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from gossamer.compiler.context import make_context, parse_text
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.kernel import SCRATCH
from gossamer.passes.fuse_attention import FuseAttention
from gossamer.passes.kernels.attention import attention_kernel
from gossamer.passes.kernels.attention_backward import attention_backward_kernel
from gossamer.passes.kernels.signature import Machine
from gossamer.runtime import attention_trials, kernel_code, native
from gossamer.runtime.attention_trials import LONGEST, Layout, Shape, Way, library, tried
from gossamer.runtime.bits import same_bits
from gossamer.runtime.executor import Program
from gossamer.runtime.kernel_code import code_of
from gossamer.runtime.kernels import flash_attention
from gossamer.runtime.kernels.flash_attention import BACKWARD, FUNCTION, Attention, Results
from torch import Tensor
from xdsl.dialects.builtin import ModuleOp

pytest.importorskip("llvmlite")

Kernels = dict[str, Attention]
Size = tuple[int, int, int, int, int]
OWN = Machine(*native.vectors())
SIZES: list[Size] = [
    (1, 1, 1, 16, 16), (2, 3, 7, 48, 32), (1, 2, 33, 64, 64), (2, 2, 64, 64, 64), (1, 2, 16, 16, 128),
    (3, 1, 100, 112, 16), (1, 1, 40, 512, 32), (1, 1, 200, 192, 64), (1, 1, 800, 32, 16), (1, 1, 1040, 1040, 16),
]  # fmt: skip
"""Batches, heads, queries, keys, numbers of a head: queries in blocks of 32, 64 and 256, keys in one and in three."""
CALL = '{} = aten.call "aten._scaled_dot_product_flash_attention_for_cpu{}.default"({}, 0.0, {}) unpack : ({}) -> ({})'
VIEWS = """
  %{0}1 = aten.call "aten.transpose.int"(%{0}, 1, 2) : (QUERIES) -> ROWS
  %{0}2 = aten.call "aten.view.default"(%{0}1, [{1}]) : (ROWS) -> FLAT"""


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Other numbers each time; a failing test shows which."""
    print(f"torch.manual_seed({torch.seed()})")


@pytest.fixture
def any_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels run wherever a trial finds the library's bits, however long they take."""
    monkeypatch.setattr(attention_trials, "fastest", lambda *_: [1.0, 0.0])
    monkeypatch.setattr(flash_attention, "found", tried)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels run wherever they can, whatever their bits."""
    monkeypatch.setattr(flash_attention, "found", lambda _, layout: layout.ways()[0])


@cache
def lowered(machine: Machine) -> dict[str, ModuleOp]:
    """Both kernels, lowered, by name."""
    made = [attention_kernel(FUNCTION, machine), attention_backward_kernel(BACKWARD, machine)]
    run_pipeline(ModuleOp([*made]), "lower-kernels")
    return dict(zip((FUNCTION, BACKWARD), made, strict=True))


def compiled(machine: Machine) -> Kernels:
    found = {name: (code_of(kernel), kernel.attributes[SCRATCH]) for name, kernel in lowered(machine).items()}
    return {name: Attention(code, name, scratch) for name, (code, scratch) in found.items() if code is not None}


@pytest.fixture(scope="module", params=[Machine(16, 32), Machine(8, 16)], ids=["avx512", "avx2"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    return compiled(request.param)


def heads(shape: Shape, count: int) -> Tensor:
    """Random numbers, heads behind rows."""
    return torch.randn(shape.batches, count, shape.heads, shape.width).transpose(1, 2)


def parts(shape: Shape) -> list[Tensor]:
    """Queries, keys and values; parts of one projection where there are as many of each."""
    if shape.rows != shape.columns:
        return [heads(shape, count) for count in (shape.rows, shape.columns, shape.columns)]
    together = torch.randn(shape.batches, shape.rows, 3 * shape.heads * shape.width).chunk(3, 2)
    return [part.view(shape.batches, shape.rows, shape.heads, shape.width).transpose(1, 2) for part in together]


def both(shape: Shape, q: Tensor, k: Tensor, v: Tensor, gradient: Tensor | None = None) -> dict[str, list[Tensor]]:
    """What each kernel is given."""
    given = heads(shape, shape.rows) if gradient is None else gradient
    return {FUNCTION: [q, k, v], BACKWARD: [given, q, k, v, *library(shape, (q, k, v))]}


def computed(kernel: Attention, shape: Shape, given: Sequence[Tensor], way: Way | None = None) -> list[Tensor]:
    """What a kernel leaves in the results; nothing where it says that it cannot."""
    results = [torch.full_like(each, float("nan")) for each in library(shape, given)]
    way = way or Way(min(shape.columns, LONGEST), False)
    return results if kernel(shape, (*given, *results), way) else []


def strides(tensors: Sequence[Tensor]) -> list[tuple[int, ...]]:
    return [tensor.stride() for tensor in tensors]


def exact(shape: Shape, given: Sequence[Tensor]) -> Sequence[Tensor]:
    """Attention of three tensors, or its gradients, in f64, as they are defined."""
    q, k, v = (tensor.double().requires_grad_() for tensor in (given if len(given) == 3 else given[1:4]))
    unseen = torch.ones(shape.rows, shape.columns, dtype=torch.bool).triu(1) & shape.causal
    scores = (q @ k.transpose(2, 3) * shape.scale).masked_fill(unseen, -torch.inf)
    output = scores.softmax(-1) @ v
    if len(given) == 3:
        return output.detach(), scores.logsumexp(-1).detach()
    return torch.autograd.grad(output, (q, k, v), given[0].double())


def is_same(results: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Are these the same to the bit?"""
    return len(results) == len(expected) and all(map(same_bits, results, expected))


def is_near(results: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    """Are these the same but for rounding?"""
    pairs = zip(results, expected, strict=True)
    return all((one.double() - two).abs().max() <= 5e-6 * (1 + two.abs().max()) for one, two in pairs)


def step(shape: Shape, function: str, joined: str = "") -> list[Callable[[Sequence[Tensor]], list[Any]]]:
    """A program of one call, whose gradients may be joined in some order: as torch does it, and by the kernel."""
    batches, count, rows, columns, width = shape.sizes
    sizes = {
        "QUERIES": (batches, count, rows, width), "KEYS": (batches, count, columns, width),
        "SUMS": (batches, count, rows), "ROWS": (batches, rows, count, width),
        "FLAT": (batches, rows, count * width), "JOINED": (batches, rows, 3 * count * width),
    }  # fmt: skip
    given, kinds = "%q, %k, %v", "QUERIES, KEYS, KEYS"
    made, results = ("%o, %l", "QUERIES, SUMS") if function == FUNCTION else ("%a, %b, %c", kinds)
    if function == BACKWARD:
        given, kinds = f"%g, {given}, %o, %l", f"QUERIES, {kinds}, QUERIES, SUMS"
    causal, name = str(shape.causal).lower(), "" if function == FUNCTION else "_backward"
    body = CALL.format(made, name, given, causal, kinds, results)
    if joined:
        body += "".join(VIEWS.format(name, ", ".join(map(str, sizes["FLAT"]))) for name in "abc")
        places = ", ".join(f"%{name}2" for name in joined)
        body += f'\n  %j = aten.call "aten.cat.default"([{places}], -1) : (FLAT, FLAT, FLAT) -> JOINED'
        made, results = "%j", "JOINED"
    arguments = ", ".join(map(": ".join, zip(given.split(", "), kinds.split(", "), strict=True)))
    text = f"func.func @step({arguments}) -> ({results}) {{\n{body}\nfunc.return {made} : {results}\n}}"
    for kind, size in sizes.items():
        text = text.replace(kind, f"tensor<{'x'.join(map(str, size))}xf32>")
    module = parse_text(text)
    plain = Program.build(module.clone(), {}, "step")
    kernel = lowered(OWN)[function]
    kernel.detach()
    module.body.block.add_op(kernel)
    FuseAttention(OWN.lanes, OWN.registers).apply(make_context(), module)
    return [plain, Program.build(module, {}, "step")]


@pytest.mark.parametrize("size", SIZES)
def test_any_size_is_attention(kernels: Kernels, threads: int, size: Size):
    for causal in (False, True):
        shape = Shape(*size, causal, size[-1] ** -0.5)
        for name, given in both(shape, *parts(shape)).items():
            expected = exact(shape, given)
            for length in {min(shape.columns, LONGEST), 48}:
                for scaled in (False, True):
                    assert is_near(computed(kernels[name], shape, given, Way(length, scaled)), expected)


def special_gradients(shape: Shape) -> list[Tensor]:
    """Gradients with rows of zeros, with zeros of both signs, with tiny rows, and subnormal ones."""
    plain, zeros, signed, tiny = (heads(shape, shape.rows) for _ in range(4))
    zeros[:, :, torch.rand(shape.rows) < 0.5] = 0.0
    signed[signed.abs() < 1] = -0.0
    signed[:, :, ::3] *= 0.0
    tiny[:, :, ::2] *= 1e-30
    return [plain, zeros, signed, tiny, 1e-40 * plain]


@pytest.mark.usefixtures("any_speed")
def test_bits_are_the_librarys_where_a_trial_finds_them(threads: int):
    ways, own = dict[tuple[str, Shape], Way | None](), compiled(OWN)
    for shape in (Shape(*size, causal, size[-1] ** -0.5) for size in SIZES for causal in (False, True)):
        for place, gradient in enumerate(special_gradients(shape)):
            q, k, v = parts(shape)
            if place % 2:
                q[:, :, ::2] *= 20.0
                k[:, :, ::3], v[:, :, 1::4] = -0.0, 1e-39
            for name, given in both(shape, q, k, v, gradient).items():
                if place == 0:
                    ways[name, shape] = tried(own[name], Layout(shape, tuple(strides(given))))
                if (way := ways[name, shape]) is not None:
                    assert is_same(computed(own[name], shape, given, way), library(shape, given))
    if not any(ways.values()):  # another library may sum otherwise: then a step leaves attention to it
        pytest.skip("torch's attention has other bits on this machine, so the kernel is not used")


def test_threads_change_nothing(kernels: Kernels, threads: int):
    shape = Shape(3, 5, 24, 48, 32, True, 0.2)
    for name, given in both(shape, *parts(shape)).items():
        expected = computed(kernels[name], shape, given)
        for count in (3, 7):
            torch.set_num_threads(count)
            assert is_same(computed(kernels[name], shape, given), expected)


def test_nothing_is_written_beyond_the_results(kernels: Kernels):
    shape = Shape(2, 2, 33, 48, 32, True, 0.2)
    for name, given in both(shape, *parts(shape)).items():
        expected, rooms, results = computed(kernels[name], shape, given), list[Tensor](), list[Tensor]()
        for result in library(shape, given):
            rooms.append(torch.full([size + 2 for size in result.shape[:3]] + [shape.width + 32], 7.0))
            inside = rooms[-1][1:-1, 1:-1, 1:-1]
            results.append(inside[..., 16:-16] if result.dim() == 4 else inside[..., 16])
        assert kernels[name](shape, (*given, *results), Way(48, False))
        assert is_same(results, expected)
        assert all((room != 7).sum() <= each.numel() for room, each in zip(rooms, results, strict=True))


@pytest.mark.usefixtures("any_speed")
def test_numbers_that_are_too_large_are_left_to_the_library(threads: int):
    shape, own = Shape(2, 2, 16, 64, 64, True, 0.125), compiled(OWN)
    for name, places in ((FUNCTION, 3), (BACKWARD, 5)):
        plain, fused = step(shape, name)
        for place in range(places):
            for number in (np.inf, -np.inf, np.nan, 2.0**55, -(2.0**55), 3e38):
                given = [tensor.clone() for tensor in both(shape, *parts(shape))[name]]
                at = tuple(int(torch.randint(size, ())) for size in given[place].shape)
                given[place][at if number > 0 else (-1, -1, -1, -1)] = number
                assert not computed(own[name], shape, given)
                assert is_same(fused(given), plain(given))


@pytest.mark.usefixtures("any_speed")
def test_numbers_that_are_nearly_too_large_are_computed():
    shape, own = Shape(2, 2, 16, 64, 64, True, 0.125), compiled(OWN)
    most = float(np.nextafter(np.float32(2.0**55), np.float32(0)))
    for name, places in ((FUNCTION, 3), (BACKWARD, 5)):
        plain, fused = step(shape, name)
        for place in range(places):
            given = [tensor.clone() for tensor in both(shape, *parts(shape))[name]]
            given[place][0, 1, torch.randint(16, (3,)), torch.randint(64, (3,))] = most
            given[place][1, 0, torch.randint(16, (3,)), torch.randint(64, (3,))] = -most
            assert computed(own[name], shape, given)
            assert is_same(fused(given), plain(given))


@pytest.mark.usefixtures("any_speed")
@pytest.mark.parametrize("size", SIZES[:6])
def test_programs_give_what_torch_gives(threads: int, size: Size):
    shape = Shape(*size, True, size[-1] ** -0.5)
    for name in (FUNCTION, BACKWARD):
        plain, fused = step(shape, name)
        given = both(shape, *parts(shape))[name]
        expanded = [given[0][:, :, :1].expand_as(given[0]), *given[1:]]
        for tensors in (given, [tensor.contiguous() for tensor in given], expanded):
            results, expected = fused(tensors), plain(tensors)
            assert is_same(results, expected)
            assert strides(results) == strides(expected)


@pytest.mark.usefixtures("always")
def test_gradients_are_joined_where_they_lie(threads: int):
    shape = Shape(2, 3, 48, 48, 32, True, 32**-0.5)
    given = both(shape, *parts(shape))[BACKWARD]
    plain, apart = (run(given) for run in step(shape, BACKWARD))
    assert strides(apart) == strides(plain)
    assert is_near(apart, exact(shape, given))
    gradients = [gradient.transpose(1, 2).flatten(2) for gradient in apart]
    for order in ("abc", "acb", "cab"):
        places = ["abc".index(name) for name in order]
        plain, fused = (run(given) for run in step(shape, BACKWARD, order))
        assert strides(fused) == strides(plain)
        assert torch.equal(fused[0], torch.cat([gradients[place] for place in places], 2))
        results = Results.joined(shape, places)
        assert results.made == [((2, 48, 288), (48 * 288, 288, 1))]
        assert results.filled == [(0, 4 * 96 * order.index(name), (48 * 288, 32, 288, 1)) for name in "abc"]


@pytest.mark.usefixtures("always")
def test_what_the_kernel_cannot_read_is_computed_as_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Attention, "prepared", lambda *_: pytest.fail("the kernel was asked"))
    shape = Shape(2, 2, 32, 32, 16, True, 0.25)
    for name, given in both(shape, *parts(shape)).items():
        plain, fused = step(shape, name)
        assert all(result.dtype is torch.float64 for result in fused([tensor.double() for tensor in given]))
        given[1] = given[1].transpose(2, 3).contiguous().transpose(2, 3)
        assert is_same(fused(given), plain(given))
    given = [part.clone().requires_grad_() for part in parts(shape)]
    output, _ = step(shape, FUNCTION)[1](given)
    output.square().sum().backward()
    assert all(part.grad is not None for part in given)
    monkeypatch.setattr(kernel_code, "available", lambda: False)
    plain, meant = step(shape, FUNCTION)
    assert all(map(torch.equal, meant(given), plain(given)))
