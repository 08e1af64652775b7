"""What goes wrong when rows are dropped without care, each by its number in the research on dynamic sparsity, 3.5.

Here stand those that touch rows, and thresholds (16). Sums along a packed axis (5) are in `test_insert_skips.py`;
densities (17) are a matter of benchmarks.
"""

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any

import gossamer
import pytest
import torch
from gossamer.compiler.compiled import CompiledModel
from gossamer.tests.passes.models import (
    FLOAT32_MIN,
    SIZES,
    WIDTH,
    Block,
    Inputs,
    dynamic,
    network,
    vectors,
    words,
)
from torch import nn

PACKED = "simplify,insert-gathers,sink-scatters"


class Net(nn.Module):
    """`head` of a linear layer's rows."""

    def __init__(self, head: Callable[..., Any], **modules: nn.Module):
        super().__init__()
        self.linear, self.head = nn.Linear(WIDTH, WIDTH), head
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: torch.Tensor, keep: torch.Tensor) -> Any:
        return self.head(self, self.linear(x), keep)


def packed(model: nn.Module, inputs: Inputs, dont_care: dict[str, str] | None = None) -> CompiledModel:
    return gossamer.compile(model, kwargs=inputs, dynamic_shapes=dynamic(inputs), dont_care=dont_care, pipeline=PACKED)


@cache
def packed_block() -> CompiledModel:
    """A block of attention; rows that are not kept are nobody's concern."""
    return packed(Block(), vectors(right()), {"*": "keep"})


def domains(program: CompiledModel) -> int:
    return Counter(op.name for op in program.module.walk())["sparse.domain"]


def right(batch: int = 3, length: int = 6) -> torch.Tensor:
    """Padded at the right, no sequence empty and none full."""
    return torch.arange(length) < torch.randint(1, length, (batch, 1))


def check(program: CompiledModel, inputs: Inputs, rows: torch.Tensor | None = None) -> None:
    """The model's results, on `rows` where those are given."""
    with torch.no_grad():
        found, wanted = program(**inputs), program.original(**inputs)
    if rows is not None:
        found, wanted = found[rows], wanted[rows]
    torch.testing.assert_close(found, wanted, equal_nan=True, rtol=2e-5, atol=2e-5)


HEADS: dict[str, Callable[..., torch.Tensor]] = {
    "cleared to 1": lambda m, h, k: h.masked_fill(~k[..., None], 1.0).exp(),
    "added to after": lambda m, h, k: h * k[..., None] + 1,
    "through a bias after": lambda m, h, k: m.linear(torch.where(k[..., None], h, 0.0)),
}


@pytest.mark.parametrize("name", HEADS)
def test_01_rows_that_are_cleared_hold_what_they_are_cleared_to_and_pass_through_bias_and_f_of_0(name):
    program = packed(Net(HEADS[name]), vectors(right()))
    assert domains(program)
    check(program, vectors(right(4, 9)))


MIXING: dict[str, Callable[..., torch.Tensor]] = {
    "softmax": lambda m, h, k: h.softmax(1),
    "mean": lambda m, h, k: h - h.mean(1, keepdim=True),
    "standard deviation": lambda m, h, k: h / h.std(1, keepdim=True),
    "layer norm": lambda m, h, k: nn.functional.layer_norm(h, h.shape[1:]),
    "group norm": lambda m, h, k: nn.functional.group_norm(h.transpose(1, 2), 2).transpose(1, 2),
    "cumsum": lambda m, h, k: h.cumsum(1),
    "sort": lambda m, h, k: h.sort(1)[0],
}


@pytest.mark.parametrize("name", MIXING)
def test_02_what_mixes_positions_keeps_every_row(name):
    program = packed(Net(MIXING[name]), vectors(right()), {"*": "keep"})
    assert not domains(program)
    keep = right(4, 7)
    check(program, vectors(keep), keep)


def test_03_batch_norm_in_training_sees_every_row():
    def head(m: Any, h: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return m.norm(h.transpose(1, 2)).transpose(1, 2)

    inputs = vectors(right())
    model = Net(head, norm=nn.BatchNorm1d(WIDTH)).train()
    program = packed(model, inputs, {"*": "keep"})
    assert not domains(program)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    found = program(**inputs)
    after = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(before[name])
    torch.testing.assert_close(found, model(**inputs))
    torch.testing.assert_close(after, dict(model.named_buffers()))


def test_04_random_numbers_are_drawn_for_every_row_in_the_same_order():
    def head(m: Any, h: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(h, 0.5, True) * k[..., None]

    inputs = vectors(right())
    program = packed(Net(head).train(), inputs)
    torch.manual_seed(7)
    found = program(**inputs)
    torch.manual_seed(7)
    torch.testing.assert_close(found, program.original(**inputs))


ODD = [torch.nan, torch.inf, -torch.inf, -0.0]


@pytest.mark.parametrize("odd", ODD)
def test_06_what_padded_rows_hold_reaches_no_row_that_is_read(odd):
    program = packed_block()
    keep = right(4, 8)
    inputs = vectors(keep)
    plain = program(**inputs)
    inputs["x"][~keep] = odd
    assert torch.equal(program(**inputs)[keep], plain[keep])


def test_06_exact_leaves_rows_in_place_that_are_dead_only_if_they_are_finite():
    inputs = vectors(right())
    inputs["x"][~inputs["keep"]] = torch.inf
    model = Net(lambda m, h, k: (h * k[..., None]).sum(1))
    exact = gossamer.compile(model, kwargs=inputs, dynamic_shapes=dynamic(inputs), exact="bitwise", pipeline=PACKED)
    assert exact(**inputs).isnan().any()
    assert torch.equal(exact(**inputs).isnan(), model(**inputs).isnan())


@pytest.mark.parametrize("value", [-0.0, torch.nan, 1e-45, -1.0])
def test_07_and_08_a_row_is_kept_if_its_mask_is_not_zero_nan_included(value):
    def head(m: Any, h: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        return h.masked_fill((k == 0)[..., None], 5.0)

    keep = torch.full((2, 3), value)
    keep[0] = 1.0
    inputs = {"x": torch.randn(2, 3, WIDTH), "keep": keep}
    program = packed(Net(head), inputs)
    assert domains(program)
    check(program, inputs)


@pytest.mark.parametrize("odd", ODD)
def test_08_odd_numbers_in_rows_that_are_read_come_out_as_the_models(odd):
    model = Net(lambda m, h, k: torch.where(k[..., None], h.relu() - h.abs(), 0.0))
    program = packed(model, vectors(right()))
    assert domains(program)
    inputs = vectors(right(4, 8))
    inputs["x"][:, 0, 0] = odd
    check(program, inputs)


def test_09_writing_in_place_is_seen_where_the_model_sees_it():
    def head(m: Any, h: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        first = h[:, 0]
        h.mul_(k[..., None]).relu_()
        h[:, 1] += 1
        return h.sum(1) + first

    program = packed(Net(head), vectors(right()))
    check(program, vectors(right(4, 8)))


def test_09_a_buffer_that_is_updated_gets_the_models_values():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(WIDTH, WIDTH)
            self.register_buffer("total", torch.zeros(WIDTH))

        def forward(self, x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
            h = self.linear(x) * keep[..., None]
            self.total += h.detach().sum((0, 1))
            return h

    inputs = vectors(right())
    program = packed(Counting(), inputs)
    check(program, inputs)
    total = program.original.get_buffer("total")
    wanted = (program.original.get_submodule("linear")(inputs["x"]) * inputs["keep"][..., None]).sum((0, 1))
    torch.testing.assert_close(total, 2 * wanted, rtol=1e-4, atol=1e-4)


def test_10_results_are_memory_of_their_own():
    program = packed(Net(lambda m, h, k: h * k[..., None]), vectors(right()))
    inputs = vectors(right())
    with torch.no_grad():
        first = program(**inputs)
        kept, x = first.clone(), inputs["x"].clone()
        first.add_(1)
        assert torch.equal(inputs["x"], x)
        assert torch.equal(program(**inputs), kept)


def test_11_hidden_states_that_the_user_reads_keep_their_rows():
    inputs = words(right())
    model = network("BertModel", "BertConfig", **SIZES, num_hidden_layers=2)
    model.config.output_hidden_states = True  # pyright: ignore
    program = packed(model, inputs, {"last_hidden_state": "attention_mask"})
    found, wanted = program(**inputs), model(**inputs)
    keep = inputs["attention_mask"] != 0
    for ours, theirs in zip(found.hidden_states[:-1], wanted.hidden_states[:-1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(found.last_hidden_state[keep], wanted.last_hidden_state[keep], rtol=2e-5, atol=2e-5)


def test_11_a_result_that_nobody_gave_away_keeps_its_rows():
    program = packed(Net(lambda m, h, k: (h, m.linear(h))), vectors(right()), {"1": "keep"})
    inputs = vectors(right(4, 8))
    for ours, theirs, rows in zip(program(**inputs), program.original(**inputs), (..., inputs["keep"]), strict=True):
        torch.testing.assert_close(ours[rows], theirs[rows])


@pytest.mark.parametrize("active", [0, 1, 2, 17, 18])
def test_12_no_row_one_row_and_all_rows_are_rows_too(active):
    program = packed_block()
    keep = (torch.randperm(18) < active).view(3, 6)
    check(program, vectors(keep), keep)


@pytest.mark.parametrize(("batch", "length"), [(1, 1), (1, 9), (7, 1), (2, 31)])
def test_13_sizes_are_found_when_the_program_runs(batch, length):
    program = packed_block()
    keep = torch.rand(batch, length) < 0.6
    check(program, vectors(keep), keep)


BIASED: dict[str, Callable[..., torch.Tensor]] = {
    "rows that are cleared": lambda m, h, k: h * k[..., None],
    "rows that are replaced": lambda m, h, k: torch.where(k[..., None], m.linear(h), h),
}


@pytest.mark.parametrize("head", BIASED)
def test_14_the_bias_gets_the_gradient_of_every_row_and_no_other(head):
    program = packed(Net(BIASED[head]), vectors(right()))
    inputs, gradients = vectors(right()), []
    for call in (program, program.original):
        program.original.zero_grad()
        call(**inputs).square().sum().backward()
        gradients.append(
            {name: p.grad.clone() for name, p in program.original.named_parameters() if p.grad is not None}
        )
    assert gradients[0].keys() == gradients[1].keys() >= {"linear.bias", "linear.weight"}
    for name, wanted in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lowest", [None, FLOAT32_MIN, -torch.inf])
def test_15_rows_that_see_nothing_are_nobodys_concern_in_every_kind_of_mask(lowest):
    program = packed(Block(lowest), vectors(right()), {"*": "keep"})
    assert domains(program)
    keep = right(4, 6)
    keep[1] = False
    check(program, vectors(keep), keep)


@pytest.mark.parametrize("lowest", [None, FLOAT32_MIN, -torch.inf])
def test_15_rows_that_see_nothing_are_the_models_where_they_are_read(lowest):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = Block(lowest)

        def forward(self, x: torch.Tensor, keep: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
            return self.block(x, keep)

    read = right(3, 6)
    inputs = vectors(right(3, 6)) | {"read": read}
    program = packed(Other(), inputs, {"*": "read"})
    assert domains(program)
    inputs["keep"][1] = False
    check(program, inputs, read)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_16_a_product_skips_by_what_it_reads_and_not_by_what_underflows_before_it(dtype):
    """Tiny numbers are not 0 before a cast and 0 after it, and what is large is Inf after it."""

    class Cast(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Linear(WIDTH, WIDTH, dtype=dtype)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.down(x.relu().to(dtype)) + self.down((x.to(dtype).to(x.dtype) - 1e-9).relu().to(dtype))

    model = Cast()
    x = torch.randn(1, WIDTH)
    x[0, : WIDTH // 2] *= 1e-42
    x[0, 0] = 1e-8
    free = "insert-skips{call=0.0 start-k=0.0 copy-k=0.0 copy-n=0.0 bandwidth=1.0e+30}"
    program = gossamer.compile(model, x, pipeline=f"simplify,{free}")
    assert "sparse.support" in program.ir()
    with torch.no_grad():
        torch.testing.assert_close(program(x), model(x), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("kept", [1, 3])
def test_19_rows_that_are_scattered_to_one_place_add_up(kept):
    def head(m: Any, h: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        rows = (h * k[..., None]).flatten(0, 1)
        places = torch.arange(rows.shape[0], device=h.device) % kept
        return torch.zeros(kept, WIDTH).index_add(0, places, rows)

    program = packed(Net(head), vectors(right()))
    check(program, vectors(right(4, 8)))


def test_18_a_residual_joins_rows_of_one_domain():
    program = packed_block()
    ops = Counter(op.name for op in program.module.walk())
    assert (ops["sparse.domain"], ops["sparse.gather"], ops["sparse.scatter"]) == (1, 1, 1)


def test_20_one_domain_serves_every_layer_and_every_result():
    inputs = words(right())
    model = network("BertModel", "BertConfig", **SIZES, num_hidden_layers=2)
    program = packed(model, inputs, {"last_hidden_state": "attention_mask"})
    assert domains(program) == 1
    keep = inputs["attention_mask"] != 0
    with torch.no_grad():
        ours, theirs = program(**inputs), model(**inputs)
    for found, wanted in (
        (ours.last_hidden_state[keep], theirs.last_hidden_state[keep]),
        (ours.pooler_output, theirs.pooler_output),
    ):
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5)
