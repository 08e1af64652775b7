"""What attention's kernels are made of: products of small matrices, and exponentials."""

from collections.abc import Callable, Sequence
from functools import cache
from struct import pack

import numpy as np
import pytest
import torch
from gossamer.compiler.pipeline import run_pipeline
from gossamer.passes.kernels.exponential import FARTHEST, ROUGH_LEAST, exp_near, exp_rough
from gossamer.passes.kernels.signature import Machine, named_kernel
from gossamer.passes.kernels.small_product import (
    Depth,
    Matrix,
    product_by_parts,
    small_product,
    small_product_function,
)
from gossamer.passes.kernels.writing import INDEX, branch, each, equal, less, number, vector_load, vector_store
from gossamer.runtime.bits import same_bits
from gossamer.runtime.kernel_code import Entry, code_of
from torch import Tensor
from xdsl.dialects.builtin import DYNAMIC_INDEX, MemRefType, ModuleOp, f32
from xdsl.ir import SSAValue

pytest.importorskip("llvmlite")

MACHINES = {"avx512": Machine(16, 32), "avx2": Machine(8, 16)}
BUFFER = MemRefType(f32, (DYNAMIC_INDEX,))
NUMBERS = ("a_row", "a_column", "b_row", "c_row", "rows", "columns", "first", "near", "far", "length", "more", "below")
COLUMNS = (16, 32, 48, 80)


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Other numbers each time; a failing test shows which."""
    print(f"torch.manual_seed({torch.seed()})")


def entry(kernel: ModuleOp) -> Entry:
    """How a kernel is entered."""
    run_pipeline(ModuleOp([kernel]), "lower-kernels")
    code = code_of(kernel)
    assert code is not None
    return Entry.of(code, "run")


@cache
def product_entry(machine: Machine) -> Entry:
    """A kernel that is one product: by parts where there is a `length`; from -0.0 where `below`."""

    def write(given: dict[str, SSAValue]) -> None:
        none, one = number(0), number(1)
        a = Matrix(given["a"], none, given["a_row"], given["a_column"])
        b, c = Matrix(given["b"], none, given["b_row"], one), Matrix(given["c"], none, given["c_row"], one)
        sizes = given["rows"], given["columns"]
        near, far, scale, more = (given[name] for name in ("near", "far", "scale", "more"))
        more = equal(more, number(1))

        def whole(start: float) -> None:
            small_product(a, b, c, *sizes, Depth(given["first"], near, far), scale, start, more)

        def parts() -> None:
            product_by_parts(a, b, c, *sizes, near, far, given["length"], scale, 0.0, more)

        def at_once() -> None:
            branch(equal(given["below"], one), lambda: whole(-0.0), lambda: whole(0.0))

        branch(less(none, given["length"]), parts, at_once)

    arguments = {**dict.fromkeys("abc", BUFFER), **dict.fromkeys(NUMBERS, INDEX), "scale": f32}
    return entry(named_kernel("run", arguments, write, name="run", beside=[small_product_function(machine)]))


@pytest.fixture(params=MACHINES.values(), ids=tuple(MACHINES))
def machine(request: pytest.FixtureRequest) -> Machine:
    return request.param


def computed(
    machine: Machine, a: Tensor, b: Tensor, c: Tensor | None = None, *, near: int | None = None, first: int = 0,
    length: int = 0, scale: float = 1.0, start: float = 0.0,
) -> Tensor:  # fmt: skip
    """What the kernel leaves in `c`, or in room for it."""
    far, room = a.shape[1], torch.full((len(a), b.shape[1]), 7.0) if c is None else c.clone()
    sizes = len(a), b.shape[1], first, far if near is None else near, far, length
    numbers = *a.stride(), b.stride(0), room.stride(0), *sizes, c is not None, np.signbit(start)
    call = pack("15qf4x", a.data_ptr(), b.data_ptr(), room.data_ptr(), *map(int, numbers), scale)
    product_entry(machine).start(call, 1)
    return room


def expected(a: Tensor, b: Tensor, before: Tensor, scale: float = 1.0) -> Tensor:
    """The same, number by number: each product and sum of 64 bits or more is rounded once to f32."""
    left, right = (tensor.numpy().astype(np.longdouble) for tensor in (a, b))
    sums = np.zeros((len(a), b.shape[1]), dtype=np.float32)
    for k in range(a.shape[1]):
        sums = (left[:, k, None] * right[None, k] + sums).astype(np.float32)
    return before + torch.tensor(scale) * torch.from_numpy(sums)


def matrix(rows: int, columns: int, kind: int) -> Tensor:
    """Random numbers, by rows, by columns, or part of a larger matrix."""
    if kind == 2:
        return torch.randn(rows + 3, columns + 5)[1 : 1 + rows, 2 : 2 + columns]
    return torch.randn(columns, rows).T if kind else torch.randn(rows, columns)


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["by rows", "by columns", "a part"])
def test_products_of_any_size(machine: Machine, kind: int):
    for rows in range(1, 21):
        columns, depth = COLUMNS[rows % 4], int(torch.randint(1, 40, ()))
        a, b, c = matrix(rows, depth, kind), matrix(depth, columns, 2), torch.randn(rows, columns)
        for scale in (1.0, 0.125, 0.3):
            for start in (0.0, -0.0):
                before = torch.full((rows, columns), start)
                assert same_bits(computed(machine, a, b, scale=scale, start=start), expected(a, b, before, scale))
            assert same_bits(computed(machine, a, b, c, scale=scale), expected(a, b, c, scale))


def test_nothing_is_written_beyond_the_result(machine: Machine):
    for rows, columns in ((1, 16), (13, 48), (20, 80)):
        a, b, room = torch.randn(rows, 9), torch.randn(9, columns), torch.full((rows + 2, columns + 32), 7.0)
        inside = room[1:-1, 16:-16]
        numbers = *a.stride(), columns, columns + 32, rows, columns, 0, 9, 9, 0, 0, 0
        call = pack("15qf4x", a.data_ptr(), b.data_ptr(), inside.data_ptr(), *numbers, 1.0)
        product_entry(machine).start(call, 1)
        assert same_bits(inside.contiguous(), expected(a, b, torch.zeros(rows, columns)))
        assert (room == 7).sum() == room.numel() - inside.numel()


def test_the_sign_of_a_sum_that_is_zero(machine: Machine):
    a, b = torch.zeros(3, 4), torch.randn(4, 16)
    for start in (0.0, -0.0):
        assert not computed(machine, a, b, start=start).signbit().any()
    for scale, below in ((1.0, False), (-1.0, True)):
        assert (computed(machine, a, b, start=-0.0, scale=scale).signbit() == below).all()
        assert not computed(machine, a, b, start=0.0, scale=scale).signbit().any()


def padded(rows: int, columns: int, near: int, far: int) -> tuple[Tensor, Tensor]:
    """Factors of which those of `a` are zeros of both signs from `near` on; sums there are -0.0 in some lanes."""
    a, b = torch.randn(rows, far), torch.randn(far, columns)
    a[::2, :near], b[:near, ::3] = 1e-30, -1e-30
    a[:, near:] = torch.zeros(rows, far - near).copysign(torch.randn(rows, far - near))
    return a, b


@pytest.mark.parametrize("start", [0.0, -0.0])
def test_zeros_are_left_out_where_that_changes_no_bit(machine: Machine, start: float):
    for rows in (1, 4, 7, 8, 13, 20):
        for columns in COLUMNS:
            a, b = padded(rows, columns, 5, 19)
            near, full = (computed(machine, a, b, near=near, start=start) for near in (5, 19))
            assert same_bits(near, full)
            assert same_bits(near, expected(a, b, torch.full((rows, columns), start)))


def test_zeros_that_are_left_out_may_count(machine: Machine):
    a, b = padded(8, 32, 5, 19)
    short = computed(machine, a[:, :5], b[:5], start=-0.0)
    assert (short.signbit() & (short == 0)).any()
    assert not same_bits(short, computed(machine, a, b, start=-0.0))


def test_the_rest_is_looked_at_only_for_sums_that_are_zero(machine: Machine):
    a, b = torch.rand(9, 12) + 0.5, torch.rand(12, 32) + 0.5
    a[:, 6:] = torch.nan
    assert same_bits(computed(machine, a, b, near=6), expected(a[:, :6], b[:6], torch.zeros(9, 32)))
    a[:, :6] = 0
    assert computed(machine, a, b, near=6).isnan().all()


def test_sums_begin_where_they_are_told_to(machine: Machine):
    a, b = matrix(11, 30, 1), torch.randn(30, 48)
    for first in (0, 1, 17, 30):
        assert same_bits(computed(machine, a, b, first=first), expected(a[:, first:], b[first:], torch.zeros(11, 48)))


@pytest.mark.parametrize("near", [0, 3, 8, 20, 21])
def test_parts_are_summed_alone(machine: Machine, near: int):
    a, b, c = *padded(13, 48, near, 21), torch.randn(13, 48)
    for length in (4, 8, 20, 21, 30):
        for before in (None, c):
            sums = torch.zeros(13, 48) if before is None else c
            for at in range(0, 21, length):
                sums = expected(a[:, at : at + length], b[at : at + length], sums, 0.3)
            assert same_bits(computed(machine, a, b, before, near=near, length=length, scale=0.3), sums)


@cache
def exponential(function: Callable[[SSAValue], SSAValue], lanes: int) -> Callable[[Sequence[float] | Tensor], Tensor]:
    """A function of vectors as one of tensors."""

    def write(given: dict[str, SSAValue]) -> None:
        def vector(at: SSAValue) -> None:
            vector_store(function(vector_load(given["x"], lanes, at)), given["y"], at)

        each(number(0), given["size"], number(lanes), vector)

    start = entry(named_kernel("run", {"x": BUFFER, "y": BUFFER, "size": INDEX}, write, name="run")).start

    def run(x: Sequence[float] | Tensor) -> Tensor:
        given = torch.as_tensor(x).repeat_interleave(1)
        whole = torch.cat([given, torch.zeros(-len(given) % lanes)])
        y = torch.empty_like(whole)
        start(pack("3q", whole.data_ptr(), y.data_ptr(), len(whole)), 1)
        return y[: len(given)]

    return run


@pytest.mark.usefixtures("exact_loss")
def test_near_exponentials_are_those_of_a_softmax(machine: Machine):
    """Its gradient is exp of its result where the gradient given is 0, and -1 for another class."""
    x = torch.cat([torch.rand(1 << 19) * 2 * FARTHEST - FARTHEST, torch.randn(1 << 19)])
    x[:7] = torch.tensor([0.0, -0.0, 1e-45, FARTHEST, -FARTHEST, -87.4, -103.9])
    scores = torch.cat([x.view(1024, -1), torch.zeros(1024, 1)], 1)
    gradient = torch.zeros_like(scores)
    gradient[:, -1] = -1.0
    found = torch.ops.aten._log_softmax_backward_data(gradient, scores, 1, torch.float32)[:, :-1]
    assert same_bits(exponential(exp_near, machine.lanes)(x), found.reshape(-1))


def test_rough_exponentials_are_within_20_units_in_the_last_place(machine: Machine):
    x = -torch.rand(1 << 20) * 86.98
    exact = x.double().exp()
    unit = torch.from_numpy(np.spacing(exact.float().numpy())).double()
    assert ((exponential(exp_rough, machine.lanes)(x).double() - exact).abs() < 20 * unit).all()


def test_the_least_and_the_largest_rough_exponential(machine: Machine):
    assert exponential(exp_rough, machine.lanes)([ROUGH_LEAST, 0.0, -0.0]).tolist() == [0.0, 1.0, 1.0]
