"""Layouts through reshapes, held against numpy on a tensor of row numbers.

A tensor whose every element says which position of the domain it belongs to must still say so after the reshape.
"""

import math

import numpy as np
from gossamer.dialects.layout import DOMAIN_AXES, Layout
from gossamer.passes.solvers.reshaping import canonical, compact_shape, factor_sizes, reshape
from hypothesis import assume, given
from hypothesis import strategies as st


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Layout, tuple[int, ...], tuple[int, int]]:
    """A layout with both domain axes and others, some of them sharing an axis; its shape; the domain's space."""
    sizes = dict(zip("ij", (draw(st.integers(1, 4)), draw(st.integers(1, 4))), strict=True))
    names = draw(st.permutations(["i", "j", *draw(st.sampled_from(["", "a", "ab", "abc"]))]))
    sizes |= {name: draw(st.integers(1, 4)) for name in names if name not in DOMAIN_AXES}
    axes: list[list[str]] = [[]]
    for name in names:
        if axes[-1] and draw(st.booleans()):
            axes.append([])
        axes[-1].append(name)
    layout = canonical(axes)
    assume(all(sum(name not in DOMAIN_AXES for name in axis) <= 1 for axis in layout.axes))
    shape = tuple(math.prod(sizes[name] for name in axis) for axis in axes)
    return layout, shape, (sizes["i"], sizes["j"])


@st.composite
def regrouped(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Another shape with as many elements: prime factors grouped anew, ones put in."""
    primes = [p for size in shape for p in prime_factors(size)]
    sizes = [1]
    for prime in primes:
        if draw(st.booleans()):
            sizes.append(1)
        sizes[-1] *= prime
    return tuple(sizes)


def prime_factors(number: int) -> list[int]:
    return next(([p, *prime_factors(number // p)] for p in range(2, number + 1) if number % p == 0), [])


def owners(layout: Layout, shape: tuple[int, ...], space: tuple[int, int]) -> np.ndarray:
    """For every element of the tensor the position of the domain that it belongs to."""
    sizes = factor_sizes(layout, shape, space)
    assert sizes is not None
    coordinates = dict(zip(layout.names, np.indices([int(sizes[n]) for n in layout.names]), strict=True))
    return (coordinates["i"] * space[1] + coordinates["j"]).reshape(shape)


def is_known(layout: Layout, shape: tuple[int, ...], space: tuple[int, int]) -> bool:
    """Both axes of the domain are there, and every factor has a size."""
    return layout.domain_axes == ("i", "j") and factor_sizes(layout, shape, space) is not None


@given(st.data(), tensors())
def test_every_element_stays_with_its_position(data, tensor):
    layout, shape, space = tensor
    to = data.draw(regrouped(shape))
    after = reshape(layout, shape, to, space)
    if after is not None and is_known(after, to, space):
        np.testing.assert_array_equal(owners(after, to, space), owners(layout, shape, space).reshape(to))


@given(tensors())
def test_a_reshape_to_the_same_shape_changes_nothing_but_names(tensor):
    layout, shape, space = tensor
    after = reshape(layout, shape, shape, space)
    assume(1 not in space)
    assert after is not None
    assume(is_known(after, shape, space))
    np.testing.assert_array_equal(owners(after, shape, space), owners(layout, shape, space))


@given(tensors())
def test_flattening_and_coming_back_is_the_way_it_was(tensor):
    layout, shape, space = tensor
    flat = reshape(layout, shape, (math.prod(shape),), space)
    if flat is not None and is_known(flat, (math.prod(shape),), space):
        back = reshape(flat, (math.prod(shape),), shape, space)
        if back is not None and is_known(back, shape, space):
            np.testing.assert_array_equal(owners(back, shape, space), owners(layout, shape, space))


@given(tensors())
def test_the_compact_form_has_the_elements_of_one_position(tensor):
    layout, shape, space = tensor
    compact = compact_shape(layout, shape, space)
    assert compact is not None
    assert math.prod(map(int, compact)) * math.prod(space) == math.prod(shape)


def test_known_reshapes_give_known_layouts():
    cases = {
        ("i j a", ("s0", "s1", 64), ("s0*s1", 64)): "(i j) a",
        ("(i j) a", ("s0*s1", 64), ("s0", "s1", 4, 16)): "i j a b",
        ("j i a", ("s1", "s0", 64), ("s1", "4*s0", 16)): "j (i a) b",
        ("i j a", ("s0", "s1", 64), (1, "s0", "s1", 64)): "1 i j a",
        ("i j a b", ("s0", "s1", 4, 16), ("s0", "s1", 64)): "i j a",
    }
    for (layout, shape, to), after in cases.items():
        assert str(reshape(Layout.parse(layout), shape, to, ("s0", "s1"))) == after


def test_a_domain_axis_is_never_cut():
    assert reshape(Layout.parse("i a"), (6, 4), (3, 8), (6,)) is None
    assert reshape(Layout.parse("i j a"), ("s0", "s1", 64), ("s1", "s0", 64), ("s0", "s1")) is None
    assert reshape(Layout.parse("i a"), (6, 4), (5, 5), (6,)) is None
