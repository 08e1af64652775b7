"""Which calls may not be removed, and in which order writes stand."""

import pytest
import torch
from gossamer.compiler.frontends.torch_export import import_model
from gossamer.dialects.aten import AssignOp, CallOp, Effects, UpdateOp
from gossamer.tests.imports import Wrap, calls, effects, result_of
from gossamer.tests.zoo import ZOO, difference
from torch import nn
from torch.nn.functional import scaled_dot_product_attention


@pytest.mark.parametrize(
    ("training", "expected"), [(True, Effects.RANDOM), (False, None)], ids=["training", "evaluating"]
)
def test_dropout_is_random_in_training_only(training: bool, expected: Effects | None):
    model = nn.Dropout(0.5).train(training)
    assert {effects(op) for op in calls(import_model(model, (torch.randn(3),)), "dropout")} <= {expected}


@pytest.mark.parametrize(("probability", "expected"), [(0.3, Effects.RANDOM), (0.0, None)])
def test_attention_is_random_only_where_it_drops(probability: float, expected: Effects | None):
    attend = Wrap(lambda q: scaled_dot_product_attention(q, q, q, dropout_p=probability))
    (op,) = calls(import_model(attend, (torch.randn(1, 2, 4, 8),)), "attention")
    assert effects(op) == expected


def test_an_assert_is_kept_and_may_not_be_removed():
    asserts = calls(import_model(*ZOO["item and slice"].build()), "_assert_scalar")
    assert asserts
    assert {effects(op) for op in asserts} == {Effects.MUTATES}


def test_notes_of_export_to_itself_are_left_out():
    imported = import_model(Wrap(lambda x: x.to(torch.float64)), (torch.randn(3),))
    assert [op.target.data for op in calls(imported)] == ["aten._to_copy.default"]


def test_writes_stand_at_the_end():
    imported = import_model(*ZOO["buffers and an argument written"].build())
    *_, before = [type(op) for op in imported.function.body.block.ops if not isinstance(op, UpdateOp | AssignOp)][:-1]
    assert before is CallOp
    tail = [op for op in imported.function.body.block.ops if isinstance(op, UpdateOp | AssignOp)]
    assert len(tail) == 6, "two buffers, three of the norm, one argument"
    assert list(imported.function.body.block.ops)[-7:-1] == tail


def test_a_graph_that_stays_as_exported_writes_in_order(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise RuntimeError("no decompositions today")

    sample = ZOO["buffers and an argument written"].build()
    twin = ZOO["buffers and an argument written"].build()
    monkeypatch.setattr(torch.export.ExportedProgram, "run_decompositions", refuse)
    imported = import_model(*sample)
    assert not imported.functional
    assert {effects(op) for op in calls(imported, "_.")} == {Effects.MUTATES}
    assert [effects(op) for op in calls(imported, "batch_norm")] == [Effects.MUTATES]
    assert difference(result_of(imported, *sample.args), twin.model(*twin.args)) == 0
    assert difference(sample.args, twin.args) == 0
    assert difference(dict(sample.model.named_buffers()), dict(twin.model.named_buffers())) == 0
