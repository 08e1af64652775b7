"""Where sparsity comes from: every source makes its fact, and the fact is true."""

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from gossamer.passes.analysis.facts import forward_facts
from gossamer.tests.passes.analysis.fact_checks import check_often
from gossamer.tests.passes.analysis.fact_programs import (
    Program,
    below,
    mask,
    programs,
    real,
    row,
    weight,
)

LOWEST = torch.finfo(torch.float32).min

ROWS = {
    "relu": row(lambda x: F.relu(x), "0 on axes [0, 1] unless nz(%relu)"),
    "relu in place": row(lambda x: F.relu_(x * 1), "0 on axes [0, 1] unless nz(%relu)"),
    "clamp at 0": row(lambda x: x.clamp(min=0), "0 on axes [0, 1] unless nz(%clamp)"),
    "clamp between 0 and 1": row(lambda x: x.clamp(0, 1), "0 on axes [0, 1] unless nz(%clamp)"),
    "clamp_min at 0": row(lambda x: x.clamp_min(0), "0 on axes [0, 1] unless nz(%clamp_min)"),
    "threshold to 0": row(lambda x: F.threshold(x, 0.5, 0), "0 on axes [0, 1] unless nz(%threshold)"),
    "relu6": row(lambda x: F.relu6(x), "0 on axes [0, 1] unless nz(%relu6)"),
    "hardtanh from 0": row(lambda x: F.hardtanh(x, 0, 2), "0 on axes [0, 1] unless nz(%hardtanh)"),
    "square of relu": row(lambda x: F.relu(x).square(), "0 on axes [0, 1] unless nz(%relu)"),
    "power of relu": row(lambda x: F.relu(x) ** 2, "0 on axes [0, 1] unless nz(%relu)"),
    "gate (ReGLU)": row(lambda x, y: F.relu(x) * y, "0 on axes [0, 1] unless nz(%relu); needs finite %y"),
    "two gates (dReLU)": row(
        lambda x, y: F.relu(x) * F.relu(y),
        "0 on axes [0, 1] unless nz(%relu) and nz(%relu_1); needs finite %relu, %relu_1",
        "0 on axes [0, 1] unless nz(%relu); needs finite %relu_1",
        "0 on axes [0, 1] unless nz(%relu_1); needs finite %relu",
    ),
    "silu is never zero": row(lambda x: F.silu(x)),
    "gelu is never zero": row(lambda x: F.gelu(x)),
    "hardswish is zero too rarely": row(lambda x: F.hardswish(x)),
    "hardshrink": row(lambda x: F.hardshrink(x), "0 on axes [0, 1] unless not %abs <= 0.5"),
    "softshrink": row(lambda x: F.softshrink(x), "0 on axes [0, 1] unless %abs > 0.5; needs finite %x"),
    "magnitude threshold": row(lambda x: torch.where(x.abs() > 0.5, x, 0.0), "0 on axes [0, 1] unless %abs > 0.5"),
    "round": row(lambda x: x.round(), "0 on axes [0, 1] unless nz(%round)"),
    "product with a row mask": row(lambda x, m: x * m[:, None], "0 on axes [0] unless nz(%m); needs finite %x"),
    "product with a real mask": row(
        lambda x, m: x * m.float()[:, None], "0 on axes [0] unless nz(%m); needs finite %x"
    ),
    "product with a mask from outside": row(
        lambda x, s: x * s[:, None], "0 on axes [0] unless nz(%s); needs finite %x", s=real(4)
    ),
    "product with an integer mask": row(
        lambda x, k: x * k[:, None], "0 on axes [0] unless nz(%k); needs finite %x", k=below(2, 4)
    ),
    "product with a column mask": row(lambda x, c: x * c, "0 on axes [1] unless nz(%c); needs finite %x", c=mask(6)),
    "masked_fill with 0": row(lambda x, m: x.masked_fill(~m[:, None], 0), "0 on axes [0] unless nz(%m)"),
    "where with 0": row(lambda x, m: torch.where(m[:, None], x, 0.0), "0 on axes [0] unless nz(%m)"),
    "where with zeros": row(
        lambda x, m: torch.where(m[:, None], x, torch.zeros_like(x)), "0 on axes [0] unless nz(%m)"
    ),
    "where with a mask token": row(
        lambda x, m, t: torch.where(m[:, None], t, x), "%t on axes [0] unless not nz(%m)", t=weight(1, 6)
    ),
    "masked_fill with -inf": row(
        lambda x, m: x.masked_fill(~m, -math.inf), "-inf on axes [0, 1] unless nz(%m)", m=mask(4, 6)
    ),
    "causal mask": row(
        lambda x: x.masked_fill(torch.ones(4, 6, dtype=torch.bool).triu(1), -math.inf),
        "-inf on axes [0, 1] unless i0 >= i1",
    ),
    "tril": row(lambda x: x.tril(), "0 on axes [0, 1] unless i0 >= i1"),
    "triu": row(lambda x: x.triu(1), "0 on axes [0, 1] unless i1 > i0"),
    "softmax of masked scores": row(
        lambda x, m: x.masked_fill(~m, -math.inf).softmax(-1),
        "0 on axes [0, 1] unless nz(%m) or not any(nz(%m)[i0, j1] for j1 < 6); needs finite %x",
        m=mask(4, 6),
    ),
    "softmax of an additive mask": row(
        lambda x, m: (x + torch.where(m, 0.0, -math.inf)).softmax(-1),
        "0 on axes [0, 1] unless nz(%m) or not any(nz(%m)[i0, j1] for j1 < 6); needs finite %x",
        m=mask(4, 6),
    ),
    "softmax of finfo.min added": row(
        lambda x, m: (x + torch.where(m, 0.0, LOWEST)).softmax(-1),
        "0 on axes [0, 1] unless nz(%m) or not any(nz(%m)[i0, j1] for j1 < 6); needs finite %x",
        m=mask(4, 6),
    ),
    "softmax of (1 - mask) * finfo.min": row(
        lambda x, m: (x + (1.0 - m.float()) * LOWEST).softmax(-1),
        "0 on axes [1] unless nz(%m) or not any(nz(%m)[j1] for j1 < 6); needs finite %x",
        m=mask(6),
    ),
    "an integer mask may be 2": row(lambda x, k: (x + (1.0 - k.float()) * LOWEST).softmax(-1), k=below(3, 6)),
    "causal softmax": row(
        lambda x: x.masked_fill(torch.ones(6, 6, dtype=torch.bool).triu(1), -math.inf).softmax(-1),
        "0 on axes [0, 1] unless i0 >= i1; needs finite %x",
        x=real(6, 6),
    ),
    "log_softmax of masked scores": row(
        lambda x, m: x.masked_fill(~m, -math.inf).log_softmax(-1),
        "-inf on axes [0, 1] unless nz(%m) or not any(nz(%m)[i0, j1] for j1 < 6); needs finite %x",
        m=mask(4, 6),
    ),
    "padding: 1 - mask": row(lambda m: 1 - m.float(), "0 on axes [0] unless not nz(%m)", "1 on axes [0] unless nz(%m)"),
    "padding: mask as integers": row(lambda k: k.float(), "0 on axes [0] unless nz(%k)", k=below(3, 4)),
    "padding: lengths": row(
        lambda x, k: x * (torch.arange(6)[None] < k[:, None]),
        "0 on axes [1, 0] unless %k[i1] > i0; needs finite %x",
        k=below(7, 4),
    ),
    "top-k scattered": row(
        lambda x: torch.zeros_like(x).scatter(-1, x.topk(2)[1], x.topk(2)[0]),
        "0 on axes [1, 0] unless any(%topk_1[i1, j1] == i0 for j1 < 2)",
    ),
    "top-k as ones": row(
        lambda x: torch.zeros_like(x).scatter(-1, x.topk(2)[1], 1.0),
        "0 on axes [1, 0] unless any(%topk_1[i1, j1] == i0 for j1 < 2)",
    ),
    "index_add into zeros": row(
        lambda x, i: torch.zeros(8, 6).index_add(0, i, x),
        "0 on axes [0] unless any(%i[j1] == i0 for j1 < 4)",
        i=below(8, 4),
    ),
    "index_copy into zeros": row(
        lambda x, i: torch.zeros(8, 6).index_copy(0, i, x.relu()),
        "0 on axes [0, 1] unless any(%i[j1] == i0 and nz(%relu)[j1, i1] for j1 < 4)",
        i=below(8, 4),
    ),
    "index_put into zeros": row(
        lambda x, i: torch.zeros(8, 6).index_put((i,), x),
        "0 on axes [0] unless any(%i[j1] % 8 == i0 for j1 < 4)",
        i=below(8, 4),
    ),
    "index_put from the end": row(
        lambda x, i: torch.zeros(8, 6).index_put((i - 8,), x),
        "0 on axes [0] unless any(%i[j1] % 8 == i0 for j1 < 4)",
        i=below(8, 4),
    ),
    "index_put adds relu": row(
        lambda x, i: torch.zeros(8, 6).index_put((i,), x.relu(), True),
        "0 on axes [0, 1] unless any(%i[j1] % 8 == i0 and nz(%relu)[j1, i1] for j1 < 4)",
        i=below(8, 4),
    ),
    "index_put at pairs": row(
        lambda x, i, j: torch.zeros(8, 6).index_put((i, j), x),
        "0 on axes [0, 1] unless any(%i[j1] % 8 == i0 and %j[j1] % 6 == i1 for j1 < 4)",
        x=real(4),
        i=below(8, 4),
        j=below(6, 4),
    ),
    "index_put at a grid": row(
        lambda x, i, j: torch.zeros(8, 6).index_put((i[:, None], j), x),
        "0 on axes [0, 1] unless any(%i[j1] % 8 == i0 for j1 < 4) and any(%j[j1] % 6 == i1 for j1 < 3)",
        x=real(4, 3),
        i=below(8, 4),
        j=below(6, 3),
    ),
    "index_put by a mask": row(lambda x, m: torch.zeros(4, 6).index_put((m,), x[0, 0]), "0 on axes [0] unless nz(%m)"),
    "scatter_add into zeros": row(
        lambda x, i: torch.zeros(4, 6).scatter_add(0, i, x),
        "0 on axes [0, 1] unless any(%i[j1, i1] == i0 for j1 < 2) and i1 < 5",
        x=real(2, 5),
        i=below(4, 2, 5),
    ),
    "scatter_reduce into zeros": row(
        lambda x, i: torch.zeros(4, 6).scatter_reduce(1, i, x.relu(), "amax"),
        "0 on axes [1, 0] unless any(%i[i1, j1] == i0 and nz(%relu)[i1, j1] for j1 < 6)",
        i=below(6, 4, 6),
    ),
    "one_hot": row(lambda i: F.one_hot(i, 5), "0 on axes [1, 0] unless %i[i1] == i0; else 1", i=below(5, 4)),
    "one_hot of argmax": row(
        lambda x: F.one_hot(x.argmax(-1), 6).float(), "0 on axes [1, 0] unless %argmax[i1] == i0; else 1"
    ),
    "spike": row(lambda x: (x > 1.0).float(), "0 on axes [0, 1] unless %x > 1.0; else 1"),
    "spike at a literal that is rounded": row(
        lambda x: (x <= 0.1).to(x.dtype),
        "0 on axes [0, 1] unless %x <= 0.1; else 1",
    ),
    "spike reset": row(
        lambda x, y: x * (1 - (y > 1.0).float()), "0 on axes [0, 1] unless not %y > 1.0; needs finite %x"
    ),
    "equality of integers": row(
        lambda i: (i == 2).float(),
        "0 on axes [0] unless %i == 2; else 1",
        i=below(4, 5),
    ),
    "heaviside": row(lambda x: torch.heaviside(x, torch.zeros(())), "0 on axes [0, 1] unless nz(%heaviside)"),
    "sign": row(lambda x: x.sign(), "0 on axes [0, 1] unless nz(%sign)"),
    "bernoulli": row(
        lambda x: torch.bernoulli(x.sigmoid().nan_to_num()), "0 on axes [0, 1] unless nz(%bernoulli); else 1"
    ),
    "embedding with padding": row(
        lambda i, w: F.embedding(i, w, padding_idx=1),
        "0 on axes [0] unless %i != 1 or any(nz(%w)[1, j1] for j1 < 3)",
        i=below(4, 5),
        w=real(7, 3),
    ),
    "dropout in training": row(
        lambda x: F.dropout(x, 0.5, True), "0 on axes [0, 1] unless nz(%native_dropout_1); needs finite %x"
    ),
    "feature dropout in training": row(
        lambda x: F.dropout2d(x, 0.5, True),
        "0 on axes [0, 1] unless nz(%bernoulli)[i0, i1, 0, 0]; needs finite %x",
        x=real(2, 3, 4, 4),
    ),
    "padding with 0": row(lambda x: F.pad(x, (1, 2)), "0 on axes [1] unless i0 > 0 and i0 < 7"),
    "padding with 3": row(
        lambda x: F.pad(x, (1, 2, 0, 1), value=3.0), "3 on axes [1, 0] unless i0 > 0 and i1 < 4 and i0 < 7"
    ),
    "zeros": row(lambda x: torch.zeros_like(x), "0"),
    "a constant that is rounded": row(lambda x: torch.full_like(x, 0.1), "0.1"),
    "slice_scatter into zeros": row(
        lambda x: torch.zeros(4, 9).slice_scatter(x, 1, 2, 8), "0 on axes [1] unless i0 >= 2 and i0 < 8"
    ),
    "slice_scatter with a step": row(
        lambda x: torch.zeros(4, 12).slice_scatter(x, 1, 0, 12, 2), "0 on axes [1] unless i0 % 2 == 0"
    ),
    "select_scatter into zeros": row(
        lambda x: torch.zeros(4, 3, 6).select_scatter(x, 1, 2), "0 on axes [1] unless i0 == 2"
    ),
    "cat with zeros": row(lambda x: torch.cat([x, torch.zeros(4, 2)], 1), "0 on axes [1] unless i0 < 6"),
    "max_unpool": row(
        lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), (2, 2)),
        "0 on axes [1, 2, 3] unless nz(%max_unpool2d)[0, i0, i1, i2]",
        x=real(1, 2, 4, 4),
    ),
    "backward of relu": row(
        lambda x, y: torch.ops.aten.threshold_backward(y, x, 0), "0 on axes [0, 1] unless nz(%threshold_backward)"
    ),
    "ignored targets": row(
        lambda x, i: F.cross_entropy(x, i, reduction="none", ignore_index=2),
        "0 on axes [0] unless %i != 2",
        i=below(6, 4),
    ),
    "masked loss": row(
        lambda x, y, c: F.mse_loss(x, y, reduction="none") * c,
        "0 on axes [1] unless nz(%c); needs finite %mse_loss",
        c=mask(6),
    ),
    "gathered rows": row(
        lambda x, m, i: (x * m[:, None])[i], "0 on axes [0] unless nz(%m)[%i % 4]; needs finite %x", i=below(4, 2)
    ),
    "pruned weight": row(
        lambda x, y: F.linear(x, y * (y.abs() > 0.5)),
        "0 on axes [1] unless any(%abs[i0, j1] > 0.5 for j1 < 6); needs finite %x, %y",
        y=real(3, 6),
    ),
    "fake_quantize": row(
        lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 3, 0, 255),
        "0 on axes [0, 1] unless nz(%fake_quantize_per_tensor_affine)",
    ),
}


@pytest.fixture(scope="module")
def imported() -> dict[str, Program]:
    return dict(zip(ROWS, programs(list(ROWS.values())), strict=True))


@pytest.mark.parametrize("name", ROWS)
def test_a_source_makes_its_facts(imported: dict[str, Program], name: str):
    program = imported[name]
    facts = forward_facts(program.function)
    assert tuple(map(str, facts.get(program.result, ()))) == ROWS[name].facts


@pytest.mark.parametrize("name", ROWS)
def test_the_facts_of_a_source_are_true(imported: dict[str, Program], name: str):
    check_often(imported[name], forward_facts(imported[name].function), ROWS[name])
