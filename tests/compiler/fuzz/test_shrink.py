"""Shrinking: what still fails is kept, and little is left."""

from collections.abc import Callable

import pytest
from gossamer.compiler.fuzz.generate import generate
from gossamer.compiler.fuzz.model import INPUT, Model
from gossamer.compiler.fuzz.ops import types_of
from gossamer.compiler.fuzz.shrink import candidates, shrink
from gossamer.compiler.fuzz.source import source


def ops(model: Model) -> list[str]:
    return [node.op for node in model.nodes if node.op != INPUT]


def first(fails: Callable[[Model], bool]) -> Model:
    return next(model for model in map(generate, range(2000)) if len(model.nodes) > 8 and fails(model))


@pytest.mark.parametrize("op", ["relu", "attend", "times rows", "cat", "linear", "add_"])
def test_one_op_that_fails_is_left_nearly_alone(op):
    def fails(model: Model) -> bool:
        return op in ops(model)

    small = shrink(first(fails), fails)
    assert op in ops(small)
    assert len(ops(small)) <= 2
    assert len(small.calls) == len(small.results) == 1
    special = (small.dynamic, small.training, small.gradients, small.also, small.dont_care)
    assert not any(special)
    assert all(size == 1 for _, size in small.calls[0].sizes)


def test_two_ops_that_fail_together_stay_together():
    def fails(model: Model) -> bool:
        return {"linear", "softmax"} <= set(ops(model)) and bool(model.dont_care)

    small = shrink(first(fails), fails)
    assert {"linear", "softmax"} <= set(ops(small))
    assert len(ops(small)) <= 3
    assert small.dont_care


def test_every_smaller_model_that_is_well_typed_is_python():
    for seed in range(40):
        for candidate in candidates(generate(seed)):
            if types_of(candidate) is not None:
                compile(source(candidate), "model.py", "exec")


def test_there_is_an_end_to_the_time_it_may_take():
    model = generate(3)
    assert shrink(model, lambda _: True, seconds=0.0) == model
