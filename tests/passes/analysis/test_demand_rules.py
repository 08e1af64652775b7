"""Demand of calls that no exported program has, where rows of their result are masked: expected, and by brute force."""

import pytest
import torch
from gossamer.dialects.aten import CallOp, dims
from gossamer.passes.analysis.demand import backward_demand
from gossamer.tests.passes.analysis.axis_examples import WRITTEN
from gossamer.tests.passes.analysis.fact_examples import MOVES
from gossamer.tests.passes.analysis.fact_programs import Row, mask
from gossamer.tests.passes.analysis.fact_slice_examples import NORMS, PRODUCTS
from gossamer.tests.passes.analysis.test_demand import check, shown
from gossamer.tests.passes.analysis.written_programs import Value, call, written

FIRST = [
    ("_unsafe_view.default", "not nz(%c)[i0 // 2]"),
    ("view.default", "not nz(%c)[i0 // 2]"),
    ("view_as.default", "not nz(%c)[6*i0 + i1]"),
    ("ravel.default", "not nz(%c)[6*i0 + i1]"),
    ("unflatten.int", "nz(%m) and not nz(%c)[i0 // 2]; needs finite %x"),
    ("flatten.using_ints", "nz(%m) and not nz(%c); needs finite %x"),
    ("squeeze.default", "not nz(%c)"),
    ("squeeze.dim", "not nz(%c)"),
    ("squeeze.dim", "not nz(%c)"),
    ("squeeze.dims", "not nz(%c)"),
    ("t.default", "not nz(%c)[i1]"),
    ("t.default", "not nz(%c)"),
    ("mT.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("broadcast_to.default", "any(not nz(%c)[j1] for j1 < 3)"),
    ("expand_as.default", "not nz(%c)"),
    ("copy.default", "not nz(%c)"),
    ("chunk.default", "not nz(%c) and i1 >= 3"),
    ("split_with_sizes.default", "not nz(%c) and i1 >= 4"),
    ("tensor_split.sections", "not nz(%c) and i1 >= 2 and i1 < 4"),
    ("narrow.default", "not nz(%c) and i1 >= 2 and i1 < 5"),
    ("upsample_nearest1d.vec", "nz(%m) and not nz(%c) and any(j1 // 2 == i2 for j1 < 12); needs finite %x"),
    (
        "upsample_nearest3d.vec",
        "not nz(%c) and any(j1 // 2 == i2 for j1 < 8) and any(j1 // 2 == i3 for j1 < 8) "
        "and any(j1 // 4 == i4 for j1 < 16)",
    ),
    ("masked_fill.Tensor", "any(nz(%m)[j1] and not nz(%c)[j1] for j1 < 4) or not nz(%m) and not nz(%c)"),
    ("masked_fill.Tensor", "not nz(%m) and not nz(%c)"),
    ("masked_fill.Tensor", "never; needs finite %x"),
    ("constant_pad_nd.default", "nz(%m) and not nz(%c)[i0 + 2]; needs finite %x"),
    ("index_fill.int_Scalar", "nz(%m) and %i[0] != i0 and not nz(%c); needs finite %x"),
    ("index_fill.int_Scalar", "nz(%m) and %i[0] != i0 and not nz(%c); needs finite %x"),
    ("index_fill.int_Scalar", "nz(%m); needs finite %x"),
    ("new_full.default", "never"),
    ("new_ones.default", "never"),
    ("new_zeros.default", "never"),
    ("ones_like.default", "never"),
    ("mm.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("mv.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("addmv.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("addmv.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("linear.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("linear.default", "any(nz(%m)[j1] and nz(%mul)[j1, i1] for j1 < 4) and not nz(%c); needs finite %y, %relu"),
    ("conv3d.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("convolution.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("convolution.default", "nz(%m); needs finite %x"),
    ("conv2d.padding", "nz(%m) and not nz(%c); needs finite %x"),
    ("max_pool1d.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("max_pool3d.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("avg_pool3d.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("max_pool2d_with_indices.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("max_pool2d_with_indices.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("adaptive_avg_pool1d.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("adaptive_avg_pool3d.default", "nz(%m); needs finite %x"),
    ("_adaptive_avg_pool2d.default", "nz(%m) and not nz(%c); needs finite %x"),
    ("max_unpool3d.default", "always"),
]
"""Calls of `MOVES` and `PRODUCTS` in order, and what is demanded of their first argument where %c does not hold."""


def rank(row: Row) -> int:
    return len(dims(written(row).result.type))


def masked(row: Row) -> Row:
    """The result of `row` with 0 where a mask over its first axis holds."""

    def function(*given: Value) -> Value:
        *own, flags = given
        result = row.function(*own)
        for axis in range(1, result.sample.dim()):
            flags = call("unsqueeze.default", flags, axis)
        return call("masked_fill.Scalar", result, flags, 0.0)

    (size, *_) = written(row).result.type.get_shape()  # pyright: ignore
    return Row(function, (), (*row.inputs, ("c", mask(size))))


def target(row: Row) -> str:
    op = written(row).result.owner
    assert isinstance(op, CallOp)
    return op.target.data.removeprefix("aten.")


STATED = [row for row in (*MOVES, *PRODUCTS) if rank(row)]
ROWS = [*STATED, *(row for row in (*WRITTEN, *NORMS) if rank(row))]


@pytest.mark.parametrize("number", range(len(STATED)), ids=[f"{k} {name}" for k, (name, _) in enumerate(FIRST)])
def test_demand_reads_as_expected(number: int):
    program = written(masked(STATED[number]))
    demand = backward_demand(program.function).of(program.function.args[0])
    assert (target(STATED[number]), shown(demand)) == FIRST[number]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("number", range(len(ROWS)), ids=[f"{k} {target(row)}" for k, row in enumerate(ROWS)])
def test_nothing_outside_of_the_demand_changes_a_result(number: int, strict: bool):
    torch.manual_seed(0)
    row = masked(ROWS[number])
    program = written(row)
    check(program, row, backward_demand(program.function, strict=strict), wild=strict)
