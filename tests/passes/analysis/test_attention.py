"""What masks of attention are read as, and that packed attention is attention."""

from collections import Counter
from collections.abc import Callable

import gossamer
import pytest
import torch
from gossamer.compiler.compiled import CompiledModel
from gossamer.dialects.sparse import AttentionOp, Mask
from gossamer.tests.passes.models import FLOAT32_MIN, PATTERNS, WIDTH, dynamic, vectors
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention as attend


def order(n: int) -> Tensor:
    """Key position less query position."""
    return torch.arange(n)[None, :] - torch.arange(n)[:, None]


def causal(q: Tensor) -> Tensor:
    positions = torch.arange(q.shape[2])
    return positions[None, :] <= positions[:, None]


class Layer(nn.Module):
    """Self-attention that `mix` does, between two linear layers."""

    def __init__(self, mix: Callable[..., Tensor], heads: int = 2):
        super().__init__()
        self.query, self.key, self.value, self.out = (
            nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 8 * heads), nn.Linear(WIDTH, 8 * heads), nn.Linear(WIDTH, WIDTH),
        )  # fmt: skip
        self.bias = nn.Parameter(torch.randn(1, 2, 16, 16))
        self.mix = mix

    def forward(self, x: Tensor, keep: Tensor) -> Tensor:
        q, k, v = (p(x).unflatten(-1, (-1, 8)).transpose(1, 2) for p in (self.query, self.key, self.value))
        mixed = self.mix(q, k, v, keep[:, None, None, :], self.bias[:, :, : x.shape[1], : x.shape[1]])
        return self.out(mixed.transpose(1, 2).flatten(2))


def additive(keep: Tensor, lowest: float = FLOAT32_MIN) -> Tensor:
    return torch.zeros(keep.shape).masked_fill(~keep, lowest)


NONE, CAUSAL, EXPLICIT = Mask.NONE, Mask.CAUSAL, Mask.EXPLICIT
MIXES: dict[str, tuple[Mask, Callable[..., Tensor]]] = {
    "keys": (NONE, lambda q, k, v, m, b: attend(q, k, v, m)),
    "keys for each query": (NONE, lambda q, k, v, m, b: attend(q, k, v, m.expand(-1, 1, q.shape[2], -1))),
    "keys, added": (NONE, lambda q, k, v, m, b: attend(q, k, v, additive(m))),
    "keys, added as -inf": (NONE, lambda q, k, v, m, b: attend(q, k, v, additive(m, -torch.inf))),
    "keys, scaled": (NONE, lambda q, k, v, m, b: attend(q, k, v, m, scale=0.7)),
    "keys up to the query": (CAUSAL, lambda q, k, v, m, b: attend(q, k, v, m & causal(q))),
    "keys after the query": (EXPLICIT, lambda q, k, v, m, b: attend(q, k, v, m & (order(q.shape[2]) >= 0))),
    "keys up to the query, added": (
        CAUSAL,
        lambda q, k, v, m, b: attend(q, k, v, additive(m & causal(q))),
    ),
    "keys of a window, added": (
        EXPLICIT,
        lambda q, k, v, m, b: attend(q, k, v, additive(m & (order(q.shape[2]) > -3) & causal(q))),
    ),
    "keys in a window": (EXPLICIT, lambda q, k, v, m, b: attend(q, k, v, m & (order(q.shape[2]).abs() < 3))),
    "keys of kept queries": (EXPLICIT, lambda q, k, v, m, b: attend(q, k, v, m & m.transpose(2, 3))),
    "a bias": (EXPLICIT, lambda q, k, v, m, b: attend(q, k, v, torch.where(m, b, -torch.inf))),
    "a bias without batch": (EXPLICIT, lambda q, k, v, m, b: attend(q, k, v, torch.where(m, b[0], -torch.inf))),
    "a bias without heads": (EXPLICIT, lambda q, k, v, m, b: attend(q, k, v, torch.where(m, b[0, 0], -torch.inf))),
    "a bias of keys": (EXPLICIT, lambda q, k, v, m, b: attend(q, k, v, torch.where(m, b[0, 0, :1], -torch.inf))),
}
"""Attention that is packed, and the mask that is left among active keys."""

STAYS: dict[str, Callable[..., Tensor]] = {
    "no mask": lambda q, k, v, m, b: attend(q, k, v),
    "causal alone": lambda q, k, v, m, b: attend(q, k, v, is_causal=True),
    "a bias that is added": lambda q, k, v, m, b: attend(q, k, v, additive(m, -1.0) + b),
    "keys that are only made unlikely": lambda q, k, v, m, b: attend(q, k, v, additive(m, -1e4)),
    "keys that are values too": lambda q, k, v, m, b: attend(q, k, k, m),
    "keys before the query, added": lambda q, k, v, m, b: attend(q, k, v, additive(m & (order(q.shape[2]) < 0))),
    "a mask of queries": lambda q, k, v, m, b: attend(q, k, v, m.transpose(2, 3).expand(-1, 1, -1, q.shape[2])),
}
"""Attention in which padded keys count, or may count."""


def packed(layer: nn.Module) -> CompiledModel:
    inputs = vectors(PATTERNS["right"](3, 7))
    passes = "simplify,insert-gathers,sink-scatters"
    return gossamer.compile(
        layer, kwargs=inputs, dynamic_shapes=dynamic(inputs), dont_care={"*": "keep"}, pipeline=passes
    )


def check(program: CompiledModel) -> None:
    """The model's rows, whatever is padded."""
    for pattern in PATTERNS.values():
        inputs = vectors(pattern(3, 6))
        keep = inputs["keep"]
        with torch.no_grad():
            found, wanted = program(**inputs)[keep], program.original(**inputs)[keep]
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5, equal_nan=True)


@pytest.mark.parametrize("name", MIXES)
def test_attention_over_kept_keys_is_packed_and_the_same(name):
    kind, mix = MIXES[name]
    program = packed(Layer(mix))
    (op,) = (op for op in program.module.walk() if isinstance(op, AttentionOp))
    assert op.kind.data is kind
    assert "sparse.covers" not in program.ir(), "every active position is a key that is kept"
    check(program)


@pytest.mark.parametrize("name", STAYS)
def test_attention_in_which_padded_keys_count_stays(name):
    program = packed(Layer(STAYS[name]))
    assert not Counter(op.name for op in program.module.walk())["sparse.attention"]
    check(program)


def test_queries_that_share_heads_of_keys_are_the_same():
    check(
        packed(Layer(lambda q, k, v, m, b: attend(q, k, v, m.expand(-1, 1, q.shape[2], -1), enable_gqa=True), heads=1))
    )


def test_the_mask_of_one_sequence_does_not_speak_for_the_others():
    check(packed(Layer(lambda q, k, v, m, b: attend(q, k, v, m[:1]))))


class Across(nn.Module):
    """Queries of `ctx` over keys and values of `x`; `mask` makes one of the keys that are kept."""

    def __init__(self, mask: Callable[[Tensor], Tensor]):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.mask = mask

    def forward(self, ctx: Tensor, x: Tensor, keep: Tensor) -> Tensor:
        q, k, v = self.query(ctx), self.key(x), self.value(x)
        q, k, v = (t.unflatten(-1, (2, -1)).transpose(1, 2) for t in (q, k, v))
        return attend(q, k, v, self.mask(keep[:, None, None, :])).transpose(1, 2).flatten(2)


ACROSS = pytest.mark.parametrize("mask", [lambda m: m, additive, lambda m: additive(m, -torch.inf)])
"""Truth values, the lowest number, -inf."""


@ACROSS
@pytest.mark.parametrize("exact", [None, "bitwise"])
def test_keys_of_another_sequence_that_may_have_none(mask, exact):
    program = gossamer.compile(
        Across(mask), kwargs={"ctx": torch.randn(3, 5, WIDTH)} | vectors(PATTERNS["right"](3, 16)), exact=exact
    )
    for pattern in PATTERNS.values():
        inputs = {"ctx": torch.randn(3, 5, WIDTH)} | vectors(pattern(3, 16))
        with torch.no_grad():
            found, wanted = program(**inputs), program.original(**inputs)
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5, equal_nan=True)


def test_keys_of_another_sequence_are_packed_where_each_sequence_has_one():
    inputs = {"ctx": torch.randn(3, 5, WIDTH)} | vectors(PATTERNS["right"](3, 16))
    program = gossamer.compile(Across(additive), kwargs=inputs, pipeline="simplify,insert-gathers,sink-scatters")
    assert program.ir().count("sparse.gather") == 1
    assert program.ir().count("sparse.covers") == 1


def test_keys_that_the_batch_shares_are_hidden_by_no_sequence_alone():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

        def forward(self, x: Tensor, memory: Tensor, keep: Tensor) -> Tensor:
            q, k, v = self.query(x), self.key(memory), self.value(memory)
            q, k, v = (t.unflatten(-1, (2, -1)).transpose(1, 2) for t in (q, k, v))
            return attend(q, k.expand(1, -1, -1, -1), v, keep[:, None, None, :]).transpose(1, 2).flatten(2)

    keep = PATTERNS["right"](3, 9)
    inputs = {"x": torch.randn(3, 5, WIDTH), "memory": torch.randn(1, 9, WIDTH), "keep": keep}
    program = gossamer.compile(Shared(), kwargs=inputs)
    with torch.no_grad():
        torch.testing.assert_close(program(**inputs), program.original(**inputs), rtol=2e-5, atol=2e-5)


@ACROSS
def test_keys_of_another_sequence_up_to_the_querys_place_are_the_same(mask):
    def seen(keep: Tensor) -> Tensor:
        return mask(keep & (torch.arange(16)[None, :] <= torch.arange(5)[:, None]))

    program = gossamer.compile(
        Across(seen),
        kwargs={"ctx": torch.randn(3, 5, WIDTH)} | vectors(PATTERNS["right"](3, 16)),
        pipeline="simplify,insert-gathers,sink-scatters",
    )
    for pattern in PATTERNS.values():
        inputs = {"ctx": torch.randn(3, 5, WIDTH)} | vectors(pattern(3, 16))
        with torch.no_grad():
            found, wanted = program(**inputs), program.original(**inputs)
        torch.testing.assert_close(found, wanted, rtol=2e-5, atol=2e-5, equal_nan=True)
