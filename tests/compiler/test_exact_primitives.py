"""A primitive is fused only where its kernel has eager's bits."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gossamer.compiler import exact_primitives as trying
from gossamer.passes.kernels import tanh
from gossamer.passes.kernels.primitives import PRIMITIVES, minus, plus, product, real
from xdsl.ir import SSAValue

pytest.importorskip("llvmlite")

TANH = "aten.tanh.default"
SURE = (
    "aten.add.Tensor",
    "aten.mul.Tensor",
    "aten.div.Tensor",
    "aten.where.self",
    "aten.lt.Scalar",
    "aten.neg.default",
)


def test_what_rounds_once_is_exact_everywhere():
    assert set(SURE) <= set(trying.exact_primitives())


def test_what_is_not_eagers_is_found(monkeypatch: pytest.MonkeyPatch):
    def through_a_sum(g: SSAValue, s: SSAValue) -> SSAValue:
        return product(g, minus(s, product(s, s)))

    def forgets_the_sign_of_zero(a: SSAValue) -> SSAValue:
        return minus(real(0.0), a)

    def forgets_the_smallest(a: SSAValue, b: SSAValue) -> SSAValue:
        return product(plus(a, real(0.0)), b)

    wrong = {
        "aten.sigmoid_backward.default": through_a_sum,
        "aten.neg.default": forgets_the_sign_of_zero,
        "aten.mul.Tensor": forgets_the_smallest,
    }
    for name, write in wrong.items():
        monkeypatch.setitem(PRIMITIVES, name, replace(PRIMITIVES[name], write=write))
    module, examples = trying.trial(len(trying.tried()[0]), list(PRIMITIVES))
    found = trying.differing(module, examples)
    assert set(wrong) <= found
    assert not found & (set(SURE) - set(wrong))


@pytest.mark.usefixtures("guessed_tanh")
def test_guesses_are_tried_on_all_numbers_that_may_be_in_doubt(monkeypatch: pytest.MonkeyPatch):
    primitive, sizes = PRIMITIVES[TANH], (2.0**-7, 2.0**-7 * 1.2)
    assert primitive.library is not None
    monkeypatch.setitem(PRIMITIVES, TANH, replace(primitive, library=replace(primitive.library, sizes=sizes)))
    assert trying.guessed_right(TANH)
    monkeypatch.setattr(tanh, "WINDOW", (1e-5, 1e-5))
    assert not trying.guessed_right(TANH)


def test_what_calls_a_function_that_is_not_there_is_not_tried(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trying.native, "callable_names", lambda: frozenset())
    assert set(PRIMITIVES) - set(trying.possible()) == {TANH}


def test_every_number_between():
    (found,) = trying.all_between(1.0, 1.1)
    assert found[0] == 1
    assert found[-1] >= 1.1
    assert torch.equal(found[1:], found[:-1].nextafter(torch.tensor(2.0)))


def test_every_primitive_is_tried():
    x, y, mask = trying.tried()
    assert len(x) == len(y) == len(mask)
    assert len(x) % 2
    _, examples = trying.trial(len(x), list(PRIMITIVES))
    assert set(examples) == set(PRIMITIVES)


def test_nothing_is_fused_where_nothing_compiles(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trying.native, "available", lambda: False)
    assert trying.found.__wrapped__() == {}


def test_a_guess_that_is_not_the_librarys_leaves_the_primitive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(trying, "cache_file", lambda kind: tmp_path / kind)
    monkeypatch.setattr(trying, "guessed_right", lambda name: False)
    known = trying.found.__wrapped__()
    monkeypatch.setattr(trying, "found", lambda: known)
    assert trying.exact_guesses() == ()
    assert set(SURE) <= set(trying.exact_primitives())
