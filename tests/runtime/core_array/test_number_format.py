"""Weights are stored as the nearest numbers that a machine's format has."""

import math
from fractions import Fraction

import numpy as np
import pytest
from gossamer.runtime.core_array.number_format import (
    Sign,
    WeightFormat,
    divisor,
    exact_scales,
    scales,
    stored,
)

FORMATS = [WeightFormat(bits, sign, exponents) for bits in (1, 3, 8)
           for sign in (Sign.BIT, Sign.SHARED, Sign.APART, Sign.SOURCE) for exponents in (1, 4)]  # fmt: skip


def mantissas(form: WeightFormat, weights: np.ndarray) -> range:
    """By the table, for weights that are there."""
    top = 2**form.bits - 1
    if form.sign in (Sign.APART, Sign.SOURCE):
        return range(-top, top + 1)
    if form.sign is Sign.SHARED and (weights >= 0).all():
        return range(top + 1)
    if form.sign is Sign.SHARED and (weights <= 0).all():
        return range(-top, 1)
    return range(-(2 ** (form.bits - 1)), 2 ** (form.bits - 1))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("form", FORMATS, ids=lambda f: f"{f.bits} {f.sign} {f.exponents}")
def test_what_is_stored_is_the_nearest_that_there_is(form: WeightFormat, seed: int):
    rng = np.random.default_rng(seed)
    whole = bool(seed % 2)
    projections = [rng.normal(0, 10.0 ** rng.integers(-2, 4), int(rng.integers(1, 20))) for _ in range(3)]
    projections[0] = np.abs(projections[0]) if seed % 3 else projections[0]
    projections = [np.rint(w) if whole else w.astype(np.float32) for w in projections]
    found = scales(form, projections, whole)
    for weights, scale in zip(projections, found, strict=True):
        offered = np.array(mantissas(form, weights)) * scale
        nearest = np.abs(weights[:, None].astype(float) - offered).min(axis=1)
        got = stored(form, weights, scale)
        np.testing.assert_allclose(np.abs(got.astype(float) - weights), nearest, rtol=1e-5, atol=1e-5 * scale)
        if form.bits > 1:
            assert np.abs(got.astype(float) - weights).max() <= scale * (0.5 + 1e-5), "a weight is cut off"
    powers = np.log2(np.array(found) / max(found))
    np.testing.assert_allclose(powers, np.rint(powers), atol=1e-9)
    assert powers.min() >= 1 - form.exponents
    if whole:
        assert all(scale >= 1 and math.log2(scale) % 1 == 0 for scale in found)


@pytest.mark.parametrize("seed", range(40))
def test_weights_that_fit_stay_as_they_are(seed: int):
    rng = np.random.default_rng(seed)
    unit = float(rng.integers(1, 40)) / 2 ** int(rng.integers(0, 12))
    given = [rng.integers(-128, 128, 30) * unit * 2.0**k for k in rng.integers(0, 9, 3)]
    found = exact_scales(WeightFormat(8, Sign.SHARED, 16), given, whole=False)
    assert found is not None
    for weights, scale in zip(given, found, strict=True):
        assert np.array_equal(stored(WeightFormat(8, Sign.SHARED), weights, scale), weights)


def test_what_does_not_fit_is_not_said_to():
    form = WeightFormat(8, Sign.SHARED, 16)
    assert exact_scales(form, [np.array([1, 128, -1])], whole=True) is None
    assert exact_scales(form, [np.array([1, 128])], whole=True) == [1]
    assert exact_scales(form, [np.array([3.0, 3 * 127, -3])], whole=False) == [3]
    assert exact_scales(form, [np.array([3, 3 * 127, -3])], whole=True) is None
    assert exact_scales(form, [np.array([1.0]), np.array([2.0**15])], whole=False) == [1, 2**15]
    assert exact_scales(form, [np.array([1.0, -255]), np.array([2.0**16])], whole=False) is None
    assert exact_scales(form, [np.array([1e-30, 1e30])], whole=False) is None


@pytest.mark.parametrize("seed", range(100))
def test_the_divisor_is_the_greatest_common_one(seed: int):
    rng = np.random.default_rng(seed)
    unit = Fraction(int(rng.integers(1, 50)), 2 ** int(rng.integers(0, 60)))
    whole = rng.integers(-(2**20), 2**20, 5) * 2 ** rng.integers(0, 20, 5)
    assert divisor(np.array([float(unit * int(w)) for w in whole])) == unit * math.gcd(*map(int, whole))


def test_no_weights_and_zeros_have_scales_too():
    form = WeightFormat(8, Sign.BIT, 4)
    for nothing in ([], [np.zeros(3)], [np.zeros(0), np.array([1.5])]):
        for weights, scale in zip(nothing, scales(form, nothing, whole=False), strict=True):
            assert np.array_equal(stored(form, weights, scale), weights)
