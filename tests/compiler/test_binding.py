"""Calls of a compiled model: what is accepted, what is refused, and in which words."""

import inspect
import math

import pytest
import torch
from gossamer.compiler.binding import Binder
from gossamer.compiler.leaves import FixedLeaf, NumberLeaf, Symbol, TensorLeaf
from gossamer.compiler.signature import parse_forward
from gossamer.dialects.diagnostics import UserError
from torch.utils import _pytree as pytree

BATCH, STEPS = Symbol("s0", 2, None, "x"), Symbol("s1", 4, 9, "x")
SYMBOLS = {"s0": BATCH, "s1": STEPS}


def tensor(name: str, *sizes: int | str, dtype: torch.dtype = torch.float32, device: str = "cpu") -> TensorLeaf:
    return TensorLeaf.of(name, dtype, sizes, SYMBOLS, torch.device(device))


def binder(forward: str, example: object, *leaves) -> Binder:
    return Binder(parse_forward(forward), pytree.tree_structure(example), leaves)


def call(bind: Binder, *args, **kwargs) -> list[object]:
    return bind(args, kwargs)


def refused(bind: Binder, *args, **kwargs) -> str:
    with pytest.raises(UserError) as raised:
        bind(args, kwargs)
    return str(raised.value)


def masked(forward: str = "(x, mask=None, *, scale=2.0)") -> Binder:
    """x and mask given, scale left to its default."""
    return binder(forward, ((0,), {"mask": 0}), tensor("x", "s0", "s1"), tensor("mask", "s0", "s1", dtype=torch.bool))


X, MASK = torch.randn(3, 5), torch.rand(3, 5) < 0.5


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((X,), {"mask": MASK}),
        ((X, MASK), {}),
        ((), {"x": X, "mask": MASK}),
        ((), {"mask": MASK, "x": X}),
        ((X,), {"scale": 2.0, "mask": MASK}),
    ],
)
def test_every_way_of_saying_the_same_call_is_one(args, kwargs):
    bind = masked()
    for _ in range(2):
        x, mask = bind(args, kwargs)
        assert x is X
        assert mask is MASK


def test_a_way_of_calling_is_understood_once(monkeypatch):
    bind = masked()
    understood = []
    monkeypatch.setattr(bind, "understand", lambda *way: understood.append(way) or Binder.understand(bind, *way))
    for _ in range(3):
        call(bind, X, MASK)
        call(bind, X, mask=MASK)
    assert understood == [(2, ()), (1, ("mask",))]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((X,), {}, "argument 'mask' is None, expected bool ['s0', 's1' in 4..9]"),
        ((), {"mask": MASK}, "missing a required argument: 'x'"),
        ((X, MASK, 2.0), {}, "too many positional arguments"),
        ((X, MASK), {"mask": MASK}, "multiple values for argument 'mask'"),
        ((X, MASK), {"scales": 2.0}, "did you mean 'scale'?"),
        ((X, MASK), {"scale": 3.0}, "argument 'scale' is 3.0, expected 2.0"),
        ((X, MASK), {"scale": 2}, "argument 'scale' is 2, expected 2.0"),
        ((X, MASK), {"scale": torch.tensor(2.0)}, "argument 'scale' is float32 [], expected 2.0"),
        ((X.numpy(), MASK), {}, "argument 'x' is a ndarray, expected float32 ['s0', 's1' in 4..9]"),
        ((X.double(), MASK), {}, "argument 'x' has dtype float64, expected float32"),
        ((X, MASK.long()), {}, "argument 'mask' has dtype int64, expected bool"),
        ((X[0], MASK), {}, "argument 'x' has shape [5], expected ['s0', 's1' in 4..9]"),
        ((X[:, :3], MASK), {}, "argument 'x' has shape [3, 3], expected ['s0', 's1' in 4..9]"),
        ((X.repeat(1, 2), MASK), {}, "argument 'x' has shape [3, 10], expected ['s0', 's1' in 4..9]"),
        ((X, MASK[:2]), {}, "argument 'mask' has shape [2, 5], expected ['s0' = 3, 's1' = 5]"),
        ((X.to("meta"), MASK), {}, "argument 'x' is on meta, the program on cpu"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_in_words(args, kwargs, message):
    bind = masked()
    assert message in refused(bind, *args, **kwargs)
    assert message in refused(bind, *args, **kwargs)


def test_an_error_names_the_argument_that_set_a_size():
    assert "'s1' is the same size as in argument 'x'" in refused(masked(), X, MASK[:, :4])


def test_an_error_says_how_to_let_a_fixed_size_vary():
    bind = binder("(x)", ((0,), {}), tensor("x", 3, "s1", 4))
    message = refused(bind, torch.ones(2, 5, 6))
    assert "argument 'x' has shape [2, 5, 6], expected [3, 's1' in 4..9, 4]" in message
    assert "dynamic_shapes={'x': {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC}, ..}" in message


@pytest.mark.parametrize("size", [0, 1, 2, 1000])
def test_a_size_that_may_be_two_may_be_anything(size):
    bind = binder("(x)", ((0,), {}), tensor("x", "s0"))
    assert len(call(bind, torch.ones(size))) == 1


def test_one_symbol_is_one_size_within_a_tensor_too():
    bind = binder("(x)", ((0,), {}), tensor("x", "s0", "s0"))
    call(bind, torch.ones(3, 3))
    assert "has shape [3, 4], expected ['s0', 's0' = 3]" in refused(bind, torch.ones(3, 4))


def test_a_derived_size_follows_its_symbol():
    bind = binder("(x, y)", ((0, 0), {}), tensor("x", "2*s0 + 1"), tensor("y", "s0"))
    call(bind, torch.ones(7), torch.ones(3))
    call(bind, torch.ones(1), torch.ones(0))
    assert "argument 'x' has shape [6], expected ['2*s0 + 1']" in refused(bind, torch.ones(6), torch.ones(3))


def test_a_number_stands_for_its_symbol():
    bind = binder("(x, n)", ((0, 0), {}), tensor("x", "s1"), NumberLeaf("n", STEPS))
    assert call(bind, torch.ones(5), 5)[1] == 5
    assert "argument 'n' is 6, expected 's1' = 5" in refused(bind, torch.ones(5), 6)
    assert "argument 'n' is True, expected an integer" in refused(bind, torch.ones(5), True)
    alone = binder("(n)", ((0,), {}), NumberLeaf("n", STEPS))
    assert "argument 'n' is 10, expected 's1' in 4..9" in refused(alone, 10)


@pytest.mark.parametrize("value", [None, True, 1, 1.0, -0.0, "text", math.nan, torch.float32])
def test_a_fixed_value_takes_itself_only(value):
    bind = binder("(x)", ((0,), {}), FixedLeaf("x", value))
    assert call(bind, value) == []
    for other in (None, True, 1, 1.0, "text", math.nan, torch.float32):
        if type(other) is not type(value) or repr(other) != repr(value):
            assert "the program is made for that value" in refused(bind, other)


def test_nested_arguments_are_checked_leaf_by_leaf():
    bind = binder("(d)", (({"a": 0, "b": [0, 0]},), {}), tensor("d.a", "s0"), tensor("d.b.0", 2), FixedLeaf("d.b.1", 3))
    a, b = torch.ones(4), torch.ones(2)
    taken = call(bind, {"b": [b, 3], "a": a})
    assert taken[0] is a
    assert taken[1] is b
    assert len(taken) == 2
    assert "'d.b.0' has shape [4]" in refused(bind, {"a": a, "b": [a, 3]})
    assert "'d.b.1' is 4, expected 3" in refused(bind, {"a": a, "b": [b, 4]})
    for wrong in (a, {"a": a}, {"a": a, "b": b, "c": b}, {"a": a, "b": [b]}, {"a": a, "b": (b, 3)}, None):
        assert "argument 'd' is nested otherwise" in refused(bind, wrong)


def test_arguments_without_a_name_are_counted():
    bind = binder("(*xs, **more)", ((0, 0), {"w": 0}), tensor("xs.0"), tensor("xs.1"), tensor("w"))
    one, two, three = torch.tensor(1.0), torch.tensor(2.0), torch.tensor(3.0)
    assert call(bind, one, two, w=three) == [one, two, three]
    assert "argument 'xs.1' is missing" in refused(bind, one, w=three)
    assert "argument 'xs.2' was not given when the model was compiled" in refused(bind, one, two, three, w=three)
    assert "argument 'v' was not given when the model was compiled" in refused(bind, one, two, w=three, v=one)


def test_the_signature_is_pythons_own():
    bind = binder("(x, /, y)", ((0, 0), {}), tensor("x"), tensor("y"))
    assert isinstance(bind.forward, inspect.Signature)
    assert "positional only" in refused(bind, x=torch.tensor(1.0), y=torch.tensor(1.0)).replace("-", " ")
