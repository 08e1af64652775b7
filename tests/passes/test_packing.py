"""Whole models: whatever is padded, the packed program gives what the model gives on every row that is read."""

from collections import Counter
from functools import cache
from typing import Any

import gossamer
import pytest
import torch
from gossamer.compiler.compiled import CompiledModel
from gossamer.compiler.dont_care import leaf_names, read
from gossamer.compiler.entry import entry_function
from gossamer.dialects.aten import CallOp
from gossamer.passes.analysis.attention import ATTENTION
from gossamer.tests.passes.models import CASES, PATTERNS, Inputs, dynamic
from torch.utils import _pytree as pytree

PACKED = "simplify,insert-gathers,sink-scatters"
"""The passes without the guard, which would run models as small as these dense."""

GUARDED = f"{PACKED},guard-density{{flops=1.0e6}}"
"""A machine so slow that packing pays even here, while rows are few."""


@cache
def compiled(name: str, dtype: torch.dtype = torch.float32, pipeline: str = PACKED) -> CompiledModel:
    """One compilation serves all patterns and sizes."""
    case = CASES[name]
    model = case.build().to(dtype)
    inputs = converted(case.inputs(PATTERNS["right"](3, 7)), dtype)
    return gossamer.compile(
        model, kwargs=inputs, dynamic_shapes=dynamic(inputs), dont_care=case.dont_care or None, pipeline=pipeline
    )


def converted(inputs: Inputs, dtype: torch.dtype) -> Inputs:
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}


def live_rows(program: CompiledModel, results: Any, inputs: Inputs) -> list[torch.Tensor]:
    """Each result without the rows that nobody reads."""
    function = entry_function(program.module)
    masks = read(function)
    leaves = zip(leaf_names(function.res_attrs), pytree.tree_leaves(results), strict=True)
    return [leaf[inputs[masks[name]] != 0] if name in masks else leaf for name, leaf in leaves]


def check(program: CompiledModel, inputs: Inputs, *, rtol: float, atol: float) -> None:
    """Results of the program and of its model, on rows that are read."""
    with torch.no_grad():
        ours, theirs = program(**inputs), program.original(**inputs)
    for found, wanted in zip(*(live_rows(program, r, inputs) for r in (ours, theirs)), strict=True):
        torch.testing.assert_close(found, wanted, equal_nan=True, rtol=rtol, atol=atol)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", CASES)
def test_rows_that_are_read_are_the_models_whatever_is_padded(name, pattern):
    for batch, length in ((3, 7), (1, 5), (4, 12)):
        check(compiled(name), CASES[name].inputs(PATTERNS[pattern](batch, length)), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_no_model_here_stays_dense(name):
    ops = Counter(op.name for op in compiled(name).module.walk())
    assert ops["sparse.domain"]
    assert ops["sparse.gather"]
    dense = [op for op in compiled(name).module.walk() if isinstance(op, CallOp) and op.target.data == ATTENTION]
    assert bool(dense) == (name == "T5"), "only attention to another sequence stays as it is"


@pytest.mark.parametrize("name", ["BERT", "T5 encoder", "OPT", "block", "nn.TransformerEncoder"])
def test_a_whole_layer_is_one_packed_region(name):
    ops = Counter(op.name for op in compiled(name).module.walk())
    assert ops["sparse.domain"] == ops["sparse.scatter"] == 1


@pytest.mark.parametrize("name", ["BERT", "block, -inf", "mean"])
def test_in_double_precision_little_is_left_but_the_order_of_sums(name):
    for pattern in ("right", "holes"):
        inputs = converted(CASES[name].inputs(PATTERNS[pattern](3, 6)), torch.float64)
        check(compiled(name, torch.float64), inputs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["BERT", "mean of rows"])
def test_bfloat16_stays_within_its_rounding(name):
    inputs = converted(CASES[name].inputs(PATTERNS["right"](3, 6)), torch.bfloat16)
    check(compiled(name, torch.bfloat16), inputs, rtol=0.1, atol=0.15)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("name", ["BERT", "mean"])
def test_the_guarded_program_gives_the_same(name, pattern):
    check(compiled(name, pipeline=GUARDED), CASES[name].inputs(PATTERNS[pattern](2, 6)), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", ["BERT", "mean"])
def test_a_guard_that_takes_the_dense_side_gives_the_models_bits(name):
    inputs = CASES[name].inputs(PATTERNS["full"](2, 6))
    check(compiled(name, pipeline=GUARDED), inputs, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("pattern", ["right", "holes", "full", "an empty sequence", "empty"])
@pytest.mark.parametrize("name", ["BERT", "T5 encoder", "Llama", "block", "mean", "where", "two masks"])
def test_gradients_of_rows_that_are_read_are_the_models(name, pattern):
    program, inputs = compiled(name), CASES[name].inputs(PATTERNS[pattern](3, 6))
    gradients = []
    for call in (program, program.original):
        program.original.zero_grad()
        leaves = {key: v.clone().requires_grad_() if v.is_floating_point() else v for key, v in inputs.items()}
        rows = live_rows(program, call(**leaves), inputs)
        sum((row * torch.linspace(-1, 1, row.numel()).view(row.shape)).sum() for row in rows).backward()  # pyright: ignore
        named = {key: parameter.grad for key, parameter in program.original.named_parameters()}
        named |= {key: leaf.grad for key, leaf in leaves.items() if leaf.is_floating_point()}
        gradients.append({key: torch.zeros(()) if g is None else g.clone() for key, g in named.items()})
    for key, wanted in gradients[1].items():
        torch.testing.assert_close(gradients[0][key].expand(wanted.shape), wanted, rtol=1e-4, atol=1e-4, msg=key)
