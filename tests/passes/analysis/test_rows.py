"""Row rules, each held against the plain call: active rows are the same, whatever the other rows hold."""

import math
import random
from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import torch
from gossamer.dialects.aten import dims
from gossamer.dialects.layout import Layout
from gossamer.passes.analysis.rows import RULES, Flow, flow_from_operand, flow_from_result
from gossamer.passes.solvers.reshaping import canonical
from gossamer.runtime import reference
from gossamer.runtime.executor import Program
from gossamer.tests.passes.packed import Example, Space, example, layouts, masks, numbers, packed, selected, space_of
from gossamer.tests.passes.row_examples import EXAMPLES, flags, floats

MOVES = (
    "view reshape _unsafe_view flatten unflatten view_as squeeze unsqueeze transpose permute t expand select slice "
    "narrow index_select split split_with_sizes chunk unbind cat stack flip roll where masked_fill clone contiguous "
    "alias detach neg relu abs zeros_like ones_like full_like _to_copy to type_as embedding logical_not isnan eq "
    "lt add mul"
)
"""Ops whose active rows are the same bit for bit, NaN and -0.0 included."""

NO_OVERLOAD = "the target is registered for a family at large, and torch has no such overload of a tensor"
NEVER_PACKED: dict[str, str] = {
    f"aten.{name}.{kind}": NO_OVERLOAD
    for names, kinds in (
        ("softsign tanhshrink", "default"),
        ("atan2 fmax fmin hypot logical_and logical_or logical_xor maximum minimum logaddexp", "Tensor Scalar"),
        ("bitwise_and bitwise_or bitwise_xor __and__ __or__ __xor__ rsub true_divide", "default"),
        ("add div eq fmod ge gt le lt mul ne remainder sub copysign pow xlogy", "default"),
        ("floor_divide pow", "Tensor"),
        ("xlogy", "Scalar"),
    )
    for name in names.split()
    for kind in kinds.split()
}
"""Targets without an example, and why."""


def takes_a_tensor(target: str) -> bool:
    """Has torch an overload of that name that takes a tensor?"""
    _, name, kind = target.split(".")
    overload = getattr(getattr(torch.ops.aten, name, None), kind, None)
    return overload is not None and any("Tensor" in str(a.type) for a in overload._schema.arguments)


def test_every_rule_has_an_example_or_a_reason_for_having_none():
    assert not set(EXAMPLES) & set(NEVER_PACKED)
    assert set(RULES) == set(EXAMPLES) | set(NEVER_PACKED)
    assert not [target for target in NEVER_PACKED if takes_a_tensor(target)]


def flows(given: Example) -> Iterator[tuple[Flow, Space]]:
    """Every flow of rows through a call, asked for from each result and from each operand."""
    for values, tensors, flow_from in (
        (given.op.results, given.results, flow_from_result),
        (given.op.operands, given.inputs, flow_from_operand),
    ):
        for index, (value, tensor) in enumerate(zip(values, tensors, strict=True)):
            for layout in layouts(tensor.shape):
                space = space_of(layout, dims(value.type), tensor.shape)
                flow = flow_from(given.op, index, layout, space) if space else None
                if flow and space and all(len(part.domain_axes) == len(space) for part in flow.results):
                    yield flow, space


def same_bits(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Equal, signs of zeros included, NaN equal to NaN."""
    if not left.is_floating_point():
        return torch.equal(left, right)
    return bool((((left == right) & (left.signbit() == right.signbit())) | (left.isnan() & right.isnan())).all())


def check(given: Example, flow: Flow, space: Space, interpreted: bool) -> bool:
    """Hold one packed call against the plain one; False where there is no code for it."""
    module = packed(given, flow, space)
    if module is None:
        return False
    module.verify()
    program, exact = Program.build(module, {}), given.op.target.data.split(".")[1] in MOVES.split()
    for mask in masks(numbers(space)):
        inputs = [*given.inputs, mask]
        results = reference.run(module, {}, inputs) if interpreted else program(inputs)
        for result, plain, layout in zip(results, given.results, flow.results, strict=True):
            assert result.dtype == plain.dtype
            active = selected(layout, plain.shape, mask)
            found, wanted = result[active], plain[active]
            torch.testing.assert_close(found, wanted, equal_nan=True, rtol=1e-5, atol=1e-6)
            assert not exact or same_bits(found, wanted)
    return True


FLOWS_EACH = 2
"""How many ways of packing are tried for each example, out of up to 100: other ones at every run."""


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("target", EXAMPLES)
def test_active_rows_are_those_of_the_plain_call(target):
    found = 0
    for args, kwargs in EXAMPLES[target]:
        given = example(target, args, kwargs, symbolic=random.random() < 0.5)
        possible = list(flows(given))
        random.shuffle(possible)
        held = (check(given, flow, space, interpreted=n == 0) for n, (flow, space) in enumerate(possible))
        found += sum(islice(filter(None, held), FLOWS_EACH))
    assert found


REFUSED = {
    "softmax over the domain's axis": ("aten.softmax.int", 1),
    "log_softmax over the domain's axis": ("aten.log_softmax.int", 1),
    "cumsum along the domain's axis": ("aten.cumsum.default", 1),
    "sort along the domain's axis": ("aten.sort.default", 1),
    "flip of the domain's axis": ("aten.flip.default", (1,)),
    "roll of the domain's axis": ("aten.roll.default", (1,), (1,)),
    "a slice of the domain's axis": ("aten.slice.Tensor", 1, 0, 2),
    "a mean over the domain's axis": ("aten.mean.dim", (1,), True),
    "a sum over both axes": ("aten.sum.dim_IntList", (0, 1), True),
    "layer norm over the domain's axis": ("aten.layer_norm.default", (3, 4)),
    "a reshape that cuts the domain's axis": ("aten.view.default", (3, 2, 4)),
    "norm over the domain's axis": ("aten.linalg_vector_norm.default", 2, (1,), True),
    "batch norm in training": ("aten.batch_norm.default", None, None, None, None, True, 0.1, 1e-5, False),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_mixes_rows_is_refused(case):
    target, *more = REFUSED[case]
    given = example(target, (EXAMPLES["aten.linear.default"][0][0][0], *more), {}, symbolic=False)
    every = {str(layout): layout for layout in layouts((2, 3, 4))}
    for text in ("i j a", "j i a", "a i b"):
        space = space_of(every[text], (2, 3, 4), (2, 3, 4))
        assert space is not None
        assert flow_from_operand(given.op, 0, every[text], space) is None
        shape = given.results[0].shape
        if len(shape) == 3 and math.prod(shape) == 24:
            flow = flow_from_result(given.op, 0, every[text], space)
            assert flow is None


SQUARE = floats(4, 4)
TWICE: dict[str, tuple[str, tuple[Any, ...]]] = {
    "a product with itself": ("aten.mm.default", (SQUARE, SQUARE)),
    "a layer whose weight is its input": ("aten.linear.default", (SQUARE, SQUARE)),
    "a layer whose bias is its input": ("aten.linear.default", (SQUARE, floats(4, 4), SQUARE)),
    "a product with itself, and a bias": ("aten.addmm.default", (floats(4), SQUARE, SQUARE)),
    "a product that is added to its factor": ("aten.addmm.default", (SQUARE, SQUARE, floats(4, 4))),
    "rows put one after the other": ("aten.cat.default", ((SQUARE, SQUARE), 1)),
}


@pytest.mark.parametrize("case", TWICE)
def test_a_tensor_that_stands_twice_carries_no_rows(case):
    assert not list(flows(example(*TWICE[case], kwargs={}, symbolic=False)))


def test_a_tensor_that_stands_twice_carries_rows_through_elementwise_ops():
    assert list(flows(example("aten.where.self", (flags(4, 4), SQUARE, SQUARE), {}, symbolic=False)))


def spellings(shape: torch.Size) -> Iterator[Layout]:
    """Every layout, with a name for an axis of size 1, and without."""
    for layout in layouts(shape):
        yield layout
        yield canonical(() if size == 1 else axis for axis, size in zip(layout.axes, shape, strict=True))


@pytest.mark.parametrize("target", EXAMPLES)
def test_rows_flow_from_an_operand_as_it_is_laid_out(target):
    found = 0
    for args, kwargs in EXAMPLES[target]:
        given = example(target, args, kwargs, symbolic=False)
        for number, tensor in enumerate(given.inputs):
            for layout in spellings(tensor.shape):
                space = space_of(layout, tensor.shape, tensor.shape)
                flow = flow_from_operand(given.op, number, layout, space) if space else None
                assert flow is None or flow.operands[number] == layout
                found += flow is not None
    assert found
