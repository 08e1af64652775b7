"""What ops make of numbers, held against torch: in every real type, for zeros of both signs, at every place."""

import math

import pytest
import torch
from gossamer.passes.analysis.fact_fills import represents
from gossamer.passes.analysis.fact_numbers import AT_NEGATIVE_INFINITY, AT_ZERO, FUNCTIONS, ZERO_KEEPING, at
from gossamer.runtime.dtypes import ELEMENT_TYPES

REALS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
LAYERS = torch.nn.functional
COPIES = {"_to_copy", "to"}
RANDOM = {"dropout", "feature_dropout", "bernoulli"}


def op(name: str):
    """torch's op of that name."""
    for place in (torch, LAYERS):
        if hasattr(place, name):
            return getattr(place, name)
    return getattr(torch.special, name.removeprefix("special_"))


def everywhere(value: float, dtype: torch.dtype) -> list[torch.Tensor]:
    """The value in a row longer than any vector register, and strided, where ops take another path."""
    full = torch.full((67,), value, dtype=dtype)
    return [full, torch.stack([full, full], 1)[:, 0]]


@pytest.mark.parametrize("dtype", REALS, ids=str)
@pytest.mark.parametrize("name", sorted(ZERO_KEEPING - COPIES - RANDOM))
def test_zero_stays_zero(name: str, dtype: torch.dtype):
    for zero in (0.0, -0.0):
        for tensor in everywhere(zero, dtype):
            assert (op(name)(tensor) == 0).all()
    assert at(name, 0.0) == 0


@pytest.mark.parametrize("dtype", REALS, ids=str)
@pytest.mark.parametrize("name", sorted(AT_ZERO))
def test_what_becomes_of_zero_is_exact(name: str, dtype: torch.dtype):
    for zero in (0.0, -0.0):
        for tensor in everywhere(zero, dtype):
            assert (op(name)(tensor).double() == at(name, 0.0)).all()


@pytest.mark.parametrize("dtype", REALS, ids=str)
@pytest.mark.parametrize("name", sorted(AT_NEGATIVE_INFINITY))
def test_what_becomes_of_minus_infinity_is_exact(name: str, dtype: torch.dtype):
    for tensor in everywhere(-math.inf, dtype):
        assert (op(name)(tensor) == at(name, -math.inf)).all()


NUMBERS = [0.0, 1.0, -2.0, 0.5, 3.0, -math.inf]
UNARY = "neg abs square relu relu6 hardtanh sign logical_not isfinite isinf isnan"
BINARY = "add sub mul div floor_divide remainder fmod pow maximum minimum fmax fmin hypot eq ne gt ge lt le logical_and"


@pytest.mark.parametrize("dtype", REALS, ids=str)
@pytest.mark.parametrize("name", UNARY.split())
def test_functions_of_one_number_are_those_of_torch(name: str, dtype: torch.dtype):
    for number in NUMBERS:
        expected = at(name, number)
        assert expected is None or (op(name)(torch.tensor(number, dtype=dtype)).double() == expected).all()


@pytest.mark.parametrize("dtype", REALS, ids=str)
@pytest.mark.parametrize("name", BINARY.split())
def test_functions_of_two_numbers_are_those_of_torch(name: str, dtype: torch.dtype):
    element = ELEMENT_TYPES[dtype]
    for one in NUMBERS:
        for other in NUMBERS:
            expected = at(name, one, other)
            if expected is not None and represents(element, expected):
                found = op(name)(torch.tensor(one, dtype=dtype), torch.tensor(other, dtype=dtype))
                assert found.double() == expected, (one, other)


def test_what_is_rounded_is_not_known():
    assert at("div", 1.0, 3.0) is None
    assert at("gelu", 1.0) is None
    assert at("mul", 0.0, math.inf) is None
    assert at("add", math.inf, -math.inf) is None
    assert set(ZERO_KEEPING) >= {"relu", "gelu"}
    assert "rsqrt" not in ZERO_KEEPING | set(AT_ZERO) | set(FUNCTIONS)


@pytest.mark.parametrize("dtype", [*REALS, torch.bool, torch.int8, torch.uint8, torch.int64], ids=str)
def test_a_number_is_represented_where_torch_gives_it_back(dtype: torch.dtype):
    element = ELEMENT_TYPES[dtype]
    for value in (0.0, 1.0, 0.1, 0.5, -1.0, 2.0, 255.0, 65504.0, 3.4028234663852886e38, 1e300):
        try:
            given_back = torch.tensor(value, dtype=dtype).double().item() == value
        except (RuntimeError, OverflowError):
            given_back = False
        assert represents(element, value) == given_back, value
    assert not represents(element, math.nan)
