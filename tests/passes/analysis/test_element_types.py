"""Numbers go into a type, and types join, as torch does it."""

import math
from itertools import product

import pytest
import torch
from gossamer.passes.analysis.element_types import (
    FLOATS,
    computed,
    held,
    literal_type,
    lowest_of,
    promoted,
    rounded,
    whole,
)
from gossamer.runtime.dtypes import DTYPES, ELEMENT_TYPES
from hypothesis import given
from hypothesis import strategies as st
from xdsl.dialects.builtin import ComplexType, f16, f32, i1, i8, i64

REAL = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
        torch.float16, torch.bfloat16, torch.float32, torch.float64]  # fmt: skip
NUMBERS = [0, 1, -1, True, False, 0.0, -0.0, 0.5, -1.5, 2.5, 127, 128, -128, 255, 256, 257, 65504, 65520.0, 2**24 + 1,
           2**31, 2**53 + 1, -(2**63), 0.1, 1e-7, 6e-8, 1e-45, 1e40, 3.4028234663852886e38, 1.7e308,
           math.inf, -math.inf, math.nan]  # fmt: skip


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("number", NUMBERS)
def test_what_is_held_is_what_torch_fills_a_tensor_with(dtype, number):
    found = held(number, ELEMENT_TYPES[dtype])
    if found is None:
        return
    wanted = torch.full((), number, dtype=dtype).item()
    assert found == wanted or (math.isnan(found) and math.isnan(wanted))
    assert type(found) is type(wanted)


def test_only_what_torch_refuses_or_wraps_is_not_held():
    for dtype, number in product(REAL, NUMBERS):
        if held(number, ELEMENT_TYPES[dtype]) is None:
            overflow = not dtype.is_floating_point or abs(number) > torch.finfo(dtype).max
            assert overflow, (dtype, number)
    assert held(0.5, i64) == 0
    assert held(-0.9, i8) == 0
    assert held(2, i1) is True
    assert held(math.nan, i64) is None
    assert held(300, i8) is None
    assert held(1.0, ComplexType(f32)) is None


@given(st.floats(width=64), st.sampled_from(sorted(FLOATS, key=str)))
def test_a_number_is_rounded_to_the_nearest_of_its_type(number, type):
    wanted = torch.tensor(number, dtype=torch.float64).to(DTYPES[type])
    if type == f16 or "bf16" in str(type):  # torch goes by way of single precision
        wanted = torch.tensor(rounded(number, f32), dtype=torch.float32).to(DTYPES[type])
        number = rounded(number, f32)
    found = rounded(number, type)
    assert found == wanted.item() or (math.isnan(found) and math.isnan(wanted.item()))


@given(*[st.sampled_from(REAL)] * 2, *[st.sampled_from([None, 0, 2])] * 2)
def test_types_join_as_torch_joins_them(one, other, axes, others):
    def operand(dtype: torch.dtype, count: int | None) -> object:
        return torch.ones((1,) * count, dtype=dtype) if count is not None else torch.ones((), dtype=dtype).item()

    def typed(dtype: torch.dtype, count: int | None):
        value = operand(dtype, count)
        return ELEMENT_TYPES[dtype] if isinstance(value, torch.Tensor) else literal_type(value), count  # pyright: ignore

    if axes is None and others is None:
        return
    wanted = torch.result_type(operand(one, axes), operand(other, others))  # pyright: ignore
    assert promoted([typed(one, axes), typed(other, others)]) == ELEMENT_TYPES[wanted]


def test_a_type_that_is_no_real_number_joins_nothing():
    assert promoted([(ComplexType(f32), 1), (f32, 1)]) is None


@pytest.mark.parametrize("dtype", REAL)
def test_whole_numbers_in_range_are_held_as_they_are(dtype):
    room = whole(ELEMENT_TYPES[dtype])
    assert room is not None
    for number in (*room, room[1] - 1, room[0] + 1):
        assert torch.full((), number, dtype=dtype).item() == number
    assert held(room[1] + 1, ELEMENT_TYPES[dtype]) != room[1] + 1


@given(st.sampled_from(sorted(FLOATS, key=str)), *[st.sampled_from([0.1, 3e38, -3e38, 1e-40, 7.0, 0.3, 60000.0])] * 2)
def test_one_operation_is_rounded_once(type, a, b):
    one, other = (held(x, type) for x in (a, b))
    if one is None or other is None:
        return
    dtype = DTYPES[type]
    for exact, wanted in (
        (one + other, torch.tensor(one, dtype=dtype) + torch.tensor(other, dtype=dtype)),
        (one * other, torch.tensor(one, dtype=dtype) * torch.tensor(other, dtype=dtype)),
    ):
        assert computed(exact, type) == wanted.item()


@pytest.mark.parametrize("dtype", REAL)
def test_the_lowest_number_of_a_type_is_torchs(dtype):
    wanted = torch.finfo(dtype).min if dtype.is_floating_point else -math.inf
    assert lowest_of(ELEMENT_TYPES[dtype]) == wanted
