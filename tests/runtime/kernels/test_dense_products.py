"""Dense products: the kernel sums in the order it is asked for, whatever the sizes, layouts, threads and machine."""

import ctypes
import mmap
import struct
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.exact import ProductOp
from gossamer.dialects.kernel import SCRATCH
from gossamer.passes.kernels.panels import QUARTERS, Ahead, Lines
from gossamer.passes.kernels.signature import named_kernel
from gossamer.passes.kernels.writing import INDEX, add, each, equal, number, quotient, store_index, times
from gossamer.runtime import kernel_code
from gossamer.runtime.bits import same_bits
from gossamer.runtime.executor import Program, find
from gossamer.runtime.kernel_code import Entry, code_of
from gossamer.runtime.kernels import dense_products
from gossamer.runtime.kernels.dense_products import Product
from gossamer.runtime.product_trials import LONGEST, Layout, Way
from torch import Tensor
from xdsl.dialects.builtin import DYNAMIC_INDEX, MemRefType, ModuleOp, i64
from xdsl.ir import SSAValue

pytest.importorskip("llvmlite")

MACHINES = {"avx512": (16, 32), "avx2": (8, 16), "sse": (4, 16)}
SIZES = [(1, 1, 1), (14, 5, 32), (15, 4, 33), (13, 17, 31), (3, 40, 70), (29, 33, 1), (1, 50, 130), (115, 20, 40)]


def module(rows: int, depth: int, columns: int, *, bias: bool = False, machine: tuple[int, int] = (16, 32)) -> ModuleOp:
    """A step that is one product, tiled."""
    a, b, c = (f"tensor<{m}x{n}xf32>" for m, n in ((rows, depth), (depth, columns), (rows, columns)))
    given, kinds = ("%v, ", f"tensor<{columns}xf32>, ") if bias else ("", "")
    made = parse_text(f"""
        func.func @step({f"%v: tensor<{columns}xf32>, " if bias else ""}%a: {a}, %b: {b}) -> {c} {{
          %c = aten.call "aten.{"addmm" if bias else "mm"}.default"({given}%a, %b) : ({kinds}{a}, {b}) -> {c}
          func.return %c : {c}
        }}""")
    run_pipeline(made, f"tile-products{{least=0 lanes={machine[0]} registers={machine[1]}}},lower-kernels")
    assert isinstance(find(made, "step").body.block.first_op, ProductOp)
    return made


@pytest.fixture(scope="module", params=MACHINES.values(), ids=tuple(MACHINES))
def kernel(request: pytest.FixtureRequest) -> Product:
    (found,) = (op for op in module(1, 1, 1, machine=request.param).ops if isinstance(op, ModuleOp))
    code = code_of(found)
    assert code is not None
    return Product(code, found.attributes[SCRATCH])


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def in_blocks(a: Tensor, b: Tensor, bias: Tensor | None, block: int) -> Tensor:
    """The same, number by number; a product and a sum in 64 bits of mantissa or more are rounded once to f32."""
    left, right = (tensor.numpy().astype(np.longdouble) for tensor in (a, b))
    total = None if bias is None else np.broadcast_to(bias.numpy(), (len(a), b.shape[1]))
    with np.errstate(all="ignore"):
        for start in range(0, a.shape[1], block):
            sums = np.zeros((len(a), b.shape[1]), dtype=np.float32)
            for k in range(start, min(start + block, a.shape[1])):
                sums = (left[:, k, None] * right[None, k] + sums).astype(np.float32)
            total = sums if total is None else total + sums
    assert total is not None
    return torch.from_numpy(np.ascontiguousarray(total))


def matrix(rows: int, columns: int, turned: int) -> Tensor:
    """Random numbers, by rows, by columns, or part of a larger matrix."""
    if turned == 2:
        return torch.randn(rows + 3, columns + 5)[1 : 1 + rows, 2 : 2 + columns]
    return torch.randn(columns, rows).T if turned else torch.randn(rows, columns)


def computed(kernel: Product, a: Tensor, b: Tensor, bias: Tensor | None, block: int) -> Tensor:
    """What the kernel computes, whichever matrix it packs before the other."""
    first, second = (torch.full((len(a), b.shape[1]), float("nan")) for _ in range(2))
    for c, b_first in ((first, False), (second, True)):
        kernel(a, b, bias, c, Way(block, b_first))
    assert same_bits(first, second)
    return first


@pytest.mark.parametrize("size", SIZES)
def test_sums_are_made_in_blocks_of_k(kernel: Product, size: tuple[int, int, int]):
    rows, depth, columns = size
    for turned_a, turned_b, biased in product((0, 1, 2), (0, 1, 2), (False, True)):
        a, b = matrix(rows, depth, turned_a), matrix(depth, columns, turned_b)
        bias = torch.randn(columns) if biased else None
        for block in {depth, max(1, depth // 2), min(depth, 3)}:
            assert same_bits(computed(kernel, a, b, bias, block), in_blocks(a, b, bias, block))


def test_more_than_is_packed_at_once(kernel: Product):
    for turned_a, turned_b in product((0, 1), repeat=2):
        for rows, columns in ((250, 1100), (1130, 70)):
            a, b = matrix(rows, 9, turned_a), matrix(9, columns, turned_b)
            assert same_bits(computed(kernel, a, b, None, 4), in_blocks(a, b, None, 4))


def test_the_longest_blocks(kernel: Product):
    for turned_a, turned_b in product((0, 1), repeat=2):
        a, b = matrix(45, 2 * LONGEST - 9, turned_a), matrix(2 * LONGEST - 9, 70, turned_b)
        assert same_bits(computed(kernel, a, b, None, LONGEST), in_blocks(a, b, None, LONGEST))


def test_nothing_is_written_beyond_the_matrices(kernel: Product):
    a, b = torch.randn(17, 19), torch.randn(19, 37)
    room = torch.full((3, 17, 37), 7.0)
    for b_first in (False, True):
        kernel(a, b, None, room[1].fill_(7), Way(19, b_first))
        assert same_bits(room[1], in_blocks(a, b, None, 19))
        assert (room[::2] == 7).all()


def fenced(*shape: int) -> Tensor:
    """Memory for numbers behind which is a page that cannot be touched."""
    size = 4 * torch.Size(shape).numel()
    fence = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    room = mmap.mmap(-1, fence + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(room))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(start + fence), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    return torch.from_numpy(np.frombuffer(room, np.float32, size // 4, fence - size).reshape(shape))


@pytest.mark.parametrize("turned", [False, True])
def test_nothing_is_touched_beyond_the_matrices(kernel: Product, turned: bool):
    a, b = (fenced(19, 17).T, fenced(37, 19).T) if turned else (fenced(17, 19), fenced(19, 37))
    c, bias = fenced(17, 37), fenced(37)
    for tensor in (a, b, bias):
        tensor.normal_()
    for b_first in (False, True):
        kernel(a, b, bias, c.fill_(7), Way(8, b_first))
        assert same_bits(c, in_blocks(a, b, bias, 8))


def asked(lanes: int, numbers: dict[str, int]) -> list[int]:
    """The places that are asked for while a tile is computed: with each vector of k, and each turn within it."""
    buffer = MemRefType(i64, (DYNAMIC_INDEX,))

    def write(given: dict[str, SSAValue]) -> None:
        lines = Lines(given["places"], given["step"], given["stride"], number(0))
        first, k, long, quarter = (given[name] for name in ("first", "k", "long", "quarter"))
        ahead = Ahead(lines, first, k, long, quarter, equal(given["wanted"], number(1)), lanes)
        place, turns = ahead.walk(), number(ahead.turns)

        def one(vector: SSAValue, turn: SSAValue) -> None:
            store_index(place(vector, turn), given["places"], add(times(vector, turns), turn))

        vectors = quotient(given["long"], lanes)
        each(number(0), vectors, number(1), lambda at: each(number(0), turns, number(1), partial(one, at)))

    made = ModuleOp([named_kernel("asked", {"places": buffer, **dict.fromkeys(numbers, INDEX)}, write, name="asked")])
    run_pipeline(made, "lower-kernels")
    (found,) = (op for op in made.ops if isinstance(op, ModuleOp))
    code = code_of(found)
    assert code is not None
    places = torch.full((lanes * numbers["long"],), -1)
    Entry.of(code, "asked").start(struct.pack(f"{1 + len(numbers)}q", places.data_ptr(), *numbers.values()), 1)
    return [place for place in places.tolist() if place >= 0]


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("along", [False, True])
def test_what_is_packed_next_is_asked_for_once(lanes: int, along: bool):
    step, stride = (1000, 1) if along else (1, 1000)
    numbers = {"step": step, "stride": stride, "first": 32, "k": 64, "long": 5 * lanes + 3, "wanted": 1}
    found = [place for quarter in range(QUARTERS) for place in asked(lanes, {**numbers, "quarter": quarter})]
    lines = range(32, 32 + lanes) if along else [32]
    places = range(64, 64 + 5 * lanes, lanes) if along else range(64, 64 + 5 * lanes)
    assert sorted(found) == sorted(line * step + place * stride for line in lines for place in places)
    assert set(asked(lanes, {**numbers, "quarter": 1, "wanted": 0})) == {0}


def test_special_numbers(kernel: Product):
    special = torch.tensor([0.0, -0.0, 1e-45, -1e-40, 1e38, -3e38, torch.inf, -torch.inf, torch.nan])
    for seed in range(3):
        torch.manual_seed(seed)
        a, b = (special[torch.randint(len(special) - 3 * (seed < 2), shape)] for shape in ((20, 6), (6, 40)))
        bias = special[torch.randint(4, (40,))]
        for given in (None, bias):
            assert same_bits(computed(kernel, a, b, given, 4), in_blocks(a, b, given, 4))


def test_threads_change_nothing(kernel: Product, threads: Callable[[int], None]):
    for rows, columns in ((100, 30), (30, 100), (5, 5)):
        a, b = torch.randn(rows, 12), torch.randn(12, columns)
        for count in (1, 2, 3, 5):
            threads(count)
            assert same_bits(computed(kernel, a, b, None, 5), in_blocks(a, b, None, 5))


@pytest.mark.parametrize("block", [0, 7, 20])
def test_a_launch_computes_with_the_blocks_that_were_found(monkeypatch: pytest.MonkeyPatch, block: int):
    asked = list[Layout]()

    def found(_: object, layout: Layout) -> Way | None:
        asked.append(layout)
        return Way(block, True) if block else None

    monkeypatch.setattr(dense_products, "found", found)
    run = Program.build(module(16, 20, 24, bias=True), {}, "step")
    bias, a, b = torch.randn(24), torch.randn(16, 20), torch.randn(20, 24)
    expected = in_blocks(a, b, bias, block) if block else torch.addmm(bias, a, b)
    for _ in range(2):
        assert torch.equal(run([bias, a, b])[0], expected)
    assert len(asked) == 1
    run([bias, a, torch.randn(24, 20).T])
    assert [layout.b for layout in asked] == [(24, 1), (1, 20)]


def test_what_the_kernel_cannot_read_is_computed_as_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dense_products, "found", lambda *_: Way(1, False))
    run = Program.build(module(4, 6, 8), {}, "step")
    a, b = torch.randn(4, 6), torch.randn(6, 8)
    assert torch.equal(run([a, torch.randn(6, 16)[:, ::2]])[0].isfinite(), torch.ones(4, 8, dtype=torch.bool))
    assert run([a.double(), b.double()])[0].dtype is torch.float64
    asked = a.clone().requires_grad_()
    run([asked, b])[0].sum().backward()
    assert asked.grad is not None
    monkeypatch.setattr(kernel_code, "available", lambda: False)
    assert torch.equal(Program.build(module(4, 6, 8), {}, "step")([a, b])[0], a @ b)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_results_are_eagers(threads: Callable[[int], None], count: int, bias: bool):
    threads(count)
    run, given = Program.build(module(96, 260, 80, bias=bias), {}, "step"), torch.randn(80)
    for turned_a, turned_b in product((0, 1), repeat=2):
        a, b = matrix(96, 260, turned_a), matrix(260, 80, turned_b)
        expected = torch.addmm(given, a, b) if bias else a @ b
        assert torch.equal(run([given, a, b] if bias else [a, b])[0], expected)
