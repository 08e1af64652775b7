"""What an imported module holds: names, weights, sizes; the same text every time."""

import hashlib
import os
import subprocess
import sys
import textwrap
from typing import Any

import pytest
import torch
from gossamer.compiler.context import print_module
from gossamer.compiler.frontends.torch_export import import_exported, import_model
from gossamer.dialects.aten import ParameterOp, dims
from gossamer.dialects.diagnostics import UserError
from gossamer.tests.imports import Wrap, calls, declared, leaf_names, result_of, symbols, template
from gossamer.tests.zoo import ZOO, difference
from torch import nn
from torch.export import Dim
from xdsl.dialects.builtin import ArrayAttr, StringAttr

# -- names and nesting ------------------------------------------------------------------------------------------------


def test_arguments_and_results_are_called_by_their_path():
    imported = import_model(*ZOO["nested arguments and results"].build())
    assert leaf_names(imported, "arg_attrs") == ["x", "options.y", "rest.0"]
    results = ["values", "indices.0", "indices.1.0", "indices.1.1", "pair.left", "sum", "infinite", "scaled", "same"]
    assert leaf_names(imported, "res_attrs") == results


def test_constants_among_inputs_and_results_are_literals():
    imported = import_model(*ZOO["nested arguments and results"].build())
    assert template(imported, "inputs") == "(operand<0>, operand<1>, 3.0, operand<2>, none, 3)"
    assert "none" in template(imported, "outputs")
    assert "7" in template(imported, "outputs"), "n + the number of rows"


def test_the_function_says_how_the_model_is_called():
    imported = import_model(*ZOO["nested arguments and results"].build())
    assert imported.function.attributes["aten.forward"] == StringAttr("(x, options, *rest, flag=None, n=2)")


def test_a_value_returned_twice_is_two_results():
    imported = import_model(Wrap(lambda x: [x + 1] * 2), (torch.randn(3),))
    assert template(imported, "outputs") == "(operand<0>, operand<1>)"


def test_what_an_op_takes_twice_is_one_operand():
    (op,) = calls(import_model(Wrap(lambda x: x * x), (torch.randn(3),)))
    assert op.template.data.text == "(operand<0>, operand<0>)"
    assert len(op.operands) == 1


def test_a_sequence_is_taken_apart_where_it_is_made():
    imported = import_model(Wrap(lambda x: torch.split(x, 2)[1] + 1), (torch.randn(6),))
    split, _ = calls(imported)
    assert (len(split.results), split.unpack is not None) == (3, True)
    assert not calls(imported, "getitem")


# -- weights ----------------------------------------------------------------------------------------------------------


def test_a_tied_weight_is_declared_once_with_all_its_names():
    imported = import_model(*ZOO["odd weights"].build())
    aliases = declared(imported)["first.weight"].aliases
    assert aliases == ArrayAttr([StringAttr("second.weight")])
    assert "second.weight" not in declared(imported)
    parameters = [op.weight.string_value() for op in imported.function.walk() if isinstance(op, ParameterOp)]
    assert len(parameters) == len(set(parameters)), "each weight is read once"


def test_weights_are_the_models_own_tensors():
    sample = ZOO["odd weights"].build()
    imported = import_model(*sample)
    assert imported.weights["first.weight"] is sample.model.first.weight  # pyright: ignore
    assert imported.weights["byte"] is sample.model.byte
    assert set(imported.weights) == set(declared(imported))


def test_a_view_of_a_weight_is_a_weight_of_its_own():
    imported = import_model(*ZOO["odd weights"].build())
    assert {"unsaved", "row"} <= set(declared(imported))


def test_a_trained_and_a_frozen_reading_of_one_memory_stay_apart():
    class Shared(nn.Module):
        frozen: torch.Tensor

        def __init__(self):
            super().__init__()
            self.trained = nn.Parameter(torch.randn(3))
            self.register_buffer("frozen", self.trained.detach())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.trained + self.frozen

    model = Shared()
    imported = import_model(model, (torch.ones(3),))
    result_of(imported, torch.ones(3)).sum().backward()
    assert torch.equal(model.trained.grad, torch.ones(3))  # pyright: ignore


def test_a_digest_is_of_the_bytes_in_row_major_order():
    class Strided(nn.Module):
        def __init__(self, weight: torch.Tensor):
            super().__init__()
            self.weight = nn.Parameter(weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.weight

    weight = torch.randn(5, 4)
    for laid_out in (weight.clone(), weight.t().contiguous().t()):
        imported = import_model(Strided(laid_out), (torch.randn(2, 5),))
        assert declared(imported)["weight"].digest.data == hashlib.sha256(weight.numpy().tobytes()).hexdigest()


def test_a_weight_without_values_is_an_error():
    with pytest.raises(UserError, match="meta device"):
        import_model(nn.Linear(2, 2, device="meta"), (torch.randn(1, 2, device="meta"),))


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_sizes_that_vary_have_a_symbol_a_range_and_an_example():
    rows = Dim("rows", min=3, max=64)
    imported = import_model(nn.Linear(8, 2), (torch.randn(4, 8),), dynamic_shapes=({0: rows},))
    (symbol, numbers), *more = symbols(imported).items()
    assert not more
    assert numbers == (3, 64, 4)
    assert dims(imported.function.args[0].type) == (symbol, 8)


def test_a_size_without_a_bound_and_one_without_an_example_are_minus_one():
    imported = import_model(*ZOO["nonzero and boolean index"].build())
    found = symbols(imported)
    assert [n[1:] for name, n in found.items() if name.startswith("s")] == [(-1, 4)]
    assert {n[2] for name, n in found.items() if name.startswith("u")} == {-1}


def test_a_number_from_data_has_no_bounds():
    imported = import_model(Wrap(lambda x, n: x * n.item()), (torch.ones(2), torch.tensor(-3)))
    assert list(symbols(imported).values()) == [(-(2**63), -1, -1)]
    assert torch.equal(result_of(imported, torch.ones(2), torch.tensor(-7)), torch.full((2,), -7.0))


def test_without_dynamic_shapes_all_sizes_are_those_of_the_example():
    imported = import_model(nn.Linear(8, 2), (torch.randn(4, 8),))
    assert dims(imported.function.args[0].type) == (4, 8)
    assert symbols(imported) == {}


def test_auto_lets_every_axis_vary_that_the_model_does_not_fix():
    imported = import_model(nn.Linear(8, 2), (torch.randn(4, 5, 8),), dynamic_shapes="auto")
    first, second, last = dims(imported.function.args[0].type)
    assert (isinstance(first, str), isinstance(second, str), last) == (True, True, 8)


def test_a_number_that_varies_is_an_argument():
    sample = ZOO["arithmetic on sizes"].build()
    imported = import_model(*sample)
    assert str(imported.function.args[1].type).startswith("!aten.scalar<int")
    reshaped, total, filled = result_of(imported, torch.randn(10, 4), 7)
    assert (reshaped.shape, total, filled.shape) == ((4, 10), 47, (10, 2))


# -- texts ------------------------------------------------------------------------------------------------------------


def test_the_same_text_in_every_process():
    script = """
        import hashlib, logging
        from gossamer.compiler.context import print_module
        from gossamer.compiler.frontends.torch_export import import_model
        from gossamer.tests.zoo import ZOO
        for name in ("T5 encoder", "cond", "nested arguments and results", "nonzero and boolean index"):
            print(hashlib.sha256(print_module(import_model(*ZOO[name].build()).module).encode()).hexdigest())
    """
    texts = [
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert texts[0] == texts[1]
    assert len(set(texts[0].split())) == 4


def test_the_same_text_twice():
    sample = ZOO["GPT-2"].build()
    assert print_module(import_model(*sample).module) == print_module(import_model(*sample).module)


def test_a_function_of_flex_attention_is_a_region():
    from torch.nn.attention.flex_attention import flex_attention

    def causal(score: Any, _batch: Any, _head: Any, i: Any, j: Any) -> torch.Tensor:
        return torch.where(i >= j, score, -float("inf"))

    attend = Wrap(lambda q: flex_attention(q, q, q, score_mod=causal))
    (op,) = calls(import_model(attend, (torch.randn(1, 2, 128, 16),)), "flex_attention")
    assert len(op.regions) == 2, "one for the score, one for the mask"


def test_an_exported_program_gives_the_same_function_and_stays_as_it_is():
    sample, twin = (ZOO["no_grad and autocast"].build() for _ in range(2))
    program = torch.export.export(sample.model, sample.args)
    before = str(program)
    imported = import_exported(program)
    assert str(program) == before
    assert difference(result_of(imported, *sample.args), twin.model(*twin.args)) == 0
    from_model = import_model(sample.model, sample.args)
    assert [op.target for op in calls(imported)] == [op.target for op in calls(from_model)]
    assert leaf_names(imported, "arg_attrs") == ["x"]
