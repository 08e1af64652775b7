"""Products, windows, reductions and norms: which slices stay known."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from gossamer.passes.analysis.facts import forward_facts
from gossamer.tests.passes.analysis.fact_checks import check_often
from gossamer.tests.passes.analysis.fact_programs import Program, Row, below, mask, programs, real, row, weight
from torch import Tensor

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sum": lambda h: h.sum(1),
    "mean": lambda h: h.mean(1),
    "amax": lambda h: h.amax(1),
    "max": lambda h: h.max(1)[0],
    "amin": lambda h: h.amin(1),
    "norm": lambda h: h.norm(dim=1),
    "var": lambda h: h.var(1),
    "std": lambda h: h.std(1),
    "median": lambda h: h.median(1)[0],
    "nansum": lambda h: h.nansum(1),
    "count_nonzero": lambda h: h.count_nonzero(1),
}
KEPT = "0 on axes [0] unless nz(%m); needs finite %x"
SOME = "0 on axes [0] unless any(nz(%relu)[i0, j1] for j1 < 6)"


def masked(function: Callable[[Tensor], Tensor], *facts: str) -> Row:
    """`function` of rows that are zero where the mask is."""
    return row(lambda x, m: function(x * m[:, None]), *facts)


def after_relu(function: Callable[[Tensor], Tensor], *facts: str) -> Row:
    """`function` of elements that may be zero."""
    return row(lambda x: function(x.relu()), *facts)


ROWS = {
    "rows of a matmul": row(
        lambda x, m, w: (x * m[:, None]) @ w, "0 on axes [0] unless nz(%m); needs finite %x, %w", w=weight(6, 3)
    ),
    "columns of a matmul": row(
        lambda x, y, c: x @ (y * c), "0 on axes [1] unless nz(%c); needs finite %x, %y", y=real(6, 3), c=mask(3)
    ),
    "rows and columns": row(
        lambda x, y, m, c: (x * m[:, None]) @ (y * c),
        "0 on axes [0] unless nz(%m); needs finite %x, %mul_1",
        "0 on axes [1] unless nz(%c); needs finite %y, %mul",
        y=real(6, 3),
        c=mask(3),
    ),
    "elements of a matmul": row(
        lambda x, w: x.relu() @ w,
        "0 on axes [0] unless any(nz(%relu)[i0, j1] for j1 < 6); needs finite %w",
        w=weight(6, 3),
    ),
    "one_hot picks rows": row(
        lambda i, y: (torch.arange(5) == i[:, None] - 2).float() @ y.relu(),
        "0 on axes [0, 1] unless %i >= 2 and %i < 7 and nz(%relu)[%i - 2, i1]; needs finite %relu",
        "0 on axes [0] unless %i >= 2 and %i < 7; needs finite %relu",
        "0 on axes [1] unless any(nz(%relu)[j1, i0] for j1 < 5)",
        i=below(9, 4),
        y=real(5, 3),
    ),
    "batches": row(
        lambda x, y, a, c: torch.bmm(x * a[:, None, None], y * c[:, None, None]),
        "0 on axes [0] unless nz(%a) and nz(%c); needs finite %x, %y, %mul, %mul_1",
        "0 on axes [0] unless nz(%a); needs finite %x, %mul_1",
        "0 on axes [0] unless nz(%c); needs finite %y, %mul",
        x=real(3, 2, 4),
        y=real(3, 4, 2),
        a=mask(3),
        c=mask(3),
    ),
    "broadcast batches": row(
        lambda x, a, y: (x * a[:, None, None]) @ y,
        "0 on axes [0] unless nz(%a); needs finite %x, %y",
        x=real(3, 2, 4),
        a=mask(3),
        y=real(4, 2),
    ),
    "heads": row(
        lambda x, a, y: (x * a[:, None, :, None]) @ y,
        "0 on axes [0, 2] unless nz(%a); needs finite %x, %y",
        x=real(2, 3, 4, 5),
        a=mask(2, 4),
        y=real(2, 3, 5, 4),
    ),
    "matrix times vector": row(
        lambda x, m, y: (x * m[:, None]) @ y, "0 on axes [0] unless nz(%m); needs finite %x, %y", y=real(6)
    ),
    "einsum": row(
        lambda x, a, y: torch.einsum("bsd,btd->bst", x * a[:, :, None], y),
        "0 on axes [0, 1] unless nz(%a); needs finite %x, %y",
        x=real(2, 3, 4),
        a=mask(2, 3),
        y=real(2, 5, 4),
    ),
    "linear": row(
        lambda x, m, w, b: F.linear(x * m[:, None], w, b),
        "%b on axes [0] unless nz(%m); needs finite %x, %w",
        w=weight(3, 6),
        b=weight(3),
    ),
    "linear without bias": row(
        lambda x, m, w: F.linear(x * m[:, None], w), "0 on axes [0] unless nz(%m); needs finite %x, %w", w=weight(3, 6)
    ),
    "linear of relu": row(
        lambda x, w, b: F.linear(x.relu(), w, b),
        "%b on axes [0] unless any(nz(%relu)[i0, j1] for j1 < 6); needs finite %w",
        w=weight(3, 6),
        b=weight(3),
    ),
    "addmm": row(
        lambda x, m, w, b: torch.addmm(b, x * m[:, None], w),
        "%b on axes [0] unless nz(%m); needs finite %x, %w",
        w=weight(6, 3),
        b=weight(3),
    ),
    "addmm with half the bias": row(
        lambda x, m, w, b: torch.addmm(b, x * m[:, None], w, beta=0.5), w=weight(6, 3), b=weight(3)
    ),
    "baddbmm": row(
        lambda b, x, y, a: torch.baddbmm(b * a[:, None, None], x * a[:, None, None], y),
        "0 on axes [0] unless nz(%a); needs finite %b, %x, %y",
        b=real(3, 2, 2),
        x=real(3, 2, 4),
        y=real(3, 4, 2),
        a=mask(3),
    ),
    "an MLP": row(
        lambda x, m, w, b, v, c: F.linear(F.gelu(F.linear(x * m[:, None], w, b)), v, c),
        "linear(gelu(%b), %v, %c) on axes [0] unless nz(%m); rounded; needs finite %x, %w",
        w=weight(8, 6),
        b=weight(8),
        v=weight(6, 8),
        c=weight(6),
    ),
    "an MLP that is normalised": row(
        lambda x, m, w, b, g, c: F.layer_norm(F.gelu(F.linear(x * m[:, None], w, b)), (8,), g, c),
        "layer_norm(gelu(%b), %g, %c) on axes [0] unless nz(%m); rounded; needs finite %x, %w",
        w=weight(8, 6),
        b=weight(8),
        g=weight(8),
        c=weight(8),
    ),
    "attention mixes": row(
        lambda x, y, z: F.scaled_dot_product_attention(x, y, z.relu()),
        x=real(1, 2, 3, 4),
        y=real(1, 2, 3, 4),
        z=real(1, 2, 3, 4),
    ),
    "images of a convolution": row(
        lambda x, a, w, b: F.conv2d(x * a[:, None, None, None], w, b),
        "%b on axes [0] unless nz(%a); needs finite %x, %w",
        x=real(3, 2, 5, 5),
        a=mask(3),
        w=weight(4, 2, 3, 3),
        b=weight(4),
    ),
    "sites of a convolution": row(
        lambda x, a, w: F.conv2d(x * a[:, None], w, padding=1),
        "0 on axes [0, 2, 3] unless any(any(nz(%a)[i0, i1 + j2 - 1, i2 + j1 - 1] and i2 + j1 > 0 and i2 +"
        " j1 < 6 for j1 < 3) and i1 + j2 > 0 and i1 + j2 < 6 for j2 < 3); needs finite %x, %w",
        x=real(2, 2, 5, 5),
        a=mask(2, 5, 5),
        w=weight(4, 2, 3, 3),
    ),
    "stride, padding, dilation": row(
        lambda x, a, w, b: F.conv2d(x * a[:, None], w, b, stride=2, padding=(1, 0), dilation=(2, 1)),
        "%b on axes [0, 2, 3] unless any(any(nz(%a)[i0, 2*i1 + 2*j2 - 1, 2*i2 + j1] for j1 < 2) and i1 + "
        "j2 > 0 and i1 + j2 < 4 for j2 < 3); needs finite %x, %w",
        x=real(2, 2, 7, 6),
        a=mask(2, 7, 6),
        w=weight(4, 2, 3, 2),
        b=weight(4),
    ),
    "channels in groups": row(
        lambda x, a, w: F.conv2d(x * a[:, :, None, None], w, groups=2),
        "0 on axes [0, 1] unless any(nz(%a)[i0, j1 + 2*(i1 // 3)] for j1 < 2); needs finite %x, %w",
        x=real(2, 4, 5, 5),
        a=mask(2, 4),
        w=weight(6, 2, 3, 3),
    ),
    "columns of images": row(
        lambda x, a, w, b: F.conv2d(x * a, w, b),
        "%b on axes [3] unless any(nz(%a)[i0 + j1] for j1 < 3); needs finite %x, %w",
        x=real(2, 2, 5, 5),
        a=mask(5),
        w=weight(4, 2, 3, 3),
        b=weight(4),
    ),
    "filters of a convolution": row(
        lambda x, y, m: F.conv2d(x, y * m[:, None, None, None]),
        "0 on axes [1] unless nz(%m); needs finite %x, %y",
        x=real(2, 2, 5, 5),
        y=real(4, 2, 3, 3),
    ),
    "a convolution of one axis": row(
        lambda x, a, w, b: F.conv1d(x * a[:, None], w, b, padding=1),
        "%b on axes [0, 2] unless any(nz(%a)[i0, i1 + j1 - 1] and i1 + j1 > 0 and i1 + j1 < 8 for j1 < "
        "3); needs finite %x, %w",
        x=real(2, 2, 7),
        a=mask(2, 7),
        w=weight(4, 2, 3),
        b=weight(4),
    ),
    "max_pool": row(
        lambda x: F.max_pool2d(x.relu(), 2),
        "0 on axes [1, 2, 3] unless any(any(nz(%relu)[0, i0, 2*i1 + j2, 2*i2 + j1] for j1 < 2) for j2 < 2)",
        x=real(1, 2, 4, 6),
    ),
    "max_pool of -inf": row(
        lambda x, a: F.max_pool2d(x.masked_fill(~a, -math.inf), 3, 2, 1),
        "-inf on axes [2, 3] unless any(any(nz(%a)[2*i0 + j2 - 1, 2*i1 + j1 - 1] and 2*i1 + j1 > 0 and "
        "2*i1 + j1 < 6 for j1 < 3) and 2*i0 + j2 > 0 and 2*i0 + j2 < 6 for j2 < 3)",
        x=real(1, 2, 5, 5),
        a=mask(5, 5),
    ),
    "avg_pool": row(
        lambda x, a: F.avg_pool2d(x * a[:, None], 2),
        "0 on axes [0, 2, 3] unless any(any(nz(%a)[i0, 2*i1 + j2, 2*i2 + j1] for j1 < 2) for j2 < 2); needs finite %x",
        x=real(2, 2, 4, 4),
        a=mask(2, 4, 4),
    ),
    "avg_pool of one axis": row(
        lambda x, a: F.avg_pool1d(x * a, 3, 1, 1),
        "0 on axes [2] unless any(nz(%a)[i0 + j1 - 1] and i0 + j1 > 0 and i0 + j1 < 8 for j1 < 3); needs finite %x",
        x=real(2, 2, 7),
        a=mask(7),
    ),
    "adaptive windows": row(
        lambda x, a: F.adaptive_avg_pool2d(x * a[:, None], 2),
        "0 on axes [0, 2, 3] unless any(any(nz(%a)[i0, j2 + (5*i1 // 2), 2*i2 + j1] for j1 < 2) and j2 + "
        "(5*i1 // 2) < 5 for j2 < 4); needs finite %x",
        x=real(2, 2, 5, 4),
        a=mask(2, 5, 4),
    ),
    "adaptive max": row(
        lambda x, a: F.adaptive_max_pool2d(x * a[:, None], 3),
        "0 on axes [0, 2, 3] unless any(any(nz(%a)[i0, j2 + (5*i1 // 3), j1 + (4*i2 // 3)] and j1 + (4*i2"
        " // 3) < 4 for j1 < 3) and j2 + (5*i1 // 3) < 5 for j2 < 3); needs finite %x",
        x=real(2, 2, 5, 4),
        a=mask(2, 5, 4),
    ),
    "sort": row(lambda x: x.relu().sort(1)[0], SOME),
    "topk": row(lambda x: x.relu().topk(2, 1)[0], SOME),
    "argmax names positions": row(lambda x: x.relu().argmax(1)),
    **{f"{name} of masked rows": masked(function, KEPT) for name, function in REDUCTIONS.items()},
    **{f"{name} of relu": after_relu(function, SOME) for name, function in REDUCTIONS.items()},
    "sum over rows": row(lambda x, m: (x * m[:, None]).sum(0), "0 unless any(nz(%m)[j1] for j1 < 4); needs finite %x"),
    "sum that keeps its axis": row(
        lambda x: x.relu().sum(0, keepdim=True), "0 on axes [1] unless any(nz(%relu)[j1, i0] for j1 < 4)"
    ),
    "sum of all": row(lambda x, m: (x * m[:, None]).sum(), "0 unless any(nz(%m)[j1] for j1 < 4); needs finite %x"),
    "sum of a fill": row(
        lambda x, m, b: (x * m[:, None] + b).sum(1),
        "sum(add(0, %b)) on axes [0] unless nz(%m); rounded; needs finite %x",
        b=weight(6),
    ),
    "max of a fill": row(
        lambda x, m, b: (x * m[:, None] + b).amax(1),
        "amax(add(0, %b)) on axes [0] unless nz(%m); needs finite %x",
        b=weight(6),
    ),
    "prod: one zero is enough": row(
        lambda x: x.relu().prod(1), "0 on axes [0] unless not any(not nz(%relu)[i0, j1] for j1 < 6); needs finite %relu"
    ),
    "any": row(lambda x: x.relu().any(1), "0 on axes [0] unless any(nz(%relu)[i0, j1] for j1 < 6); else 1"),
    "all": row(
        lambda m: m.all(-1).float(), "0 on axes [0] unless not any(not nz(%m)[i0, j1] for j1 < 3); else 1", m=mask(4, 3)
    ),
    "logsumexp of relu": row(lambda x: x.relu().logsumexp(1)),
    "logsumexp of -inf": row(
        lambda x, m: x.masked_fill(~m, -math.inf).logsumexp(1),
        "-inf on axes [0] unless any(nz(%m)[i0, j1] for j1 < 6)",
        m=mask(4, 6),
    ),
    "cumsum": row(
        lambda x: x.relu().cumsum(1), "0 on axes [0, 1] unless any(nz(%relu)[i0, j1] and i1 >= j1 for j1 < 6)"
    ),
    "cumsum along rows": row(lambda x, m: (x * m[:, None]).cumsum(1), KEPT),
    "cummax": row(
        lambda x: x.relu().cummax(1)[0], "0 on axes [0, 1] unless any(nz(%relu)[i0, j1] and i1 >= j1 for j1 < 6)"
    ),
    "cumprod": row(
        lambda x: x.relu().cumprod(1),
        "0 on axes [0, 1] unless not any(not nz(%relu)[i0, j1] and i1 >= j1 for j1 < 6); needs finite %relu",
    ),
    "softmax of zero rows": row(
        lambda x, m: (x * m[:, None]).softmax(1), "softmax(0) on axes [0] unless nz(%m); rounded; needs finite %x"
    ),
    "softmax of 4 zeros": row(
        lambda x, m: (x * m[:, None]).softmax(1), "0.25 on axes [0] unless nz(%m); needs finite %x", x=real(4, 4)
    ),
    "log_softmax of zero rows": row(
        lambda x, m: (x * m[:, None]).log_softmax(1),
        "log_softmax(0) on axes [0] unless nz(%m); rounded; needs finite %x",
    ),
    "softmax over rows": row(
        lambda x, m: (x * m[:, None]).softmax(0), "0.25 unless any(nz(%m)[j1] for j1 < 4); needs finite %x"
    ),
    "softmax of a fill": row(
        lambda x, m, b: (x * m[:, None] + b).softmax(1),
        "softmax(add(0, %b)) on axes [0] unless nz(%m); rounded; needs finite %x",
        b=weight(6),
    ),
    "layer_norm": row(
        lambda x, m, w, b: F.layer_norm(x * m[:, None], (6,), w, b),
        "%b on axes [0] unless nz(%m); needs finite %x, %w",
        w=weight(6),
        b=weight(6),
    ),
    "layer_norm without weights": row(lambda x, m: F.layer_norm(x * m[:, None], (6,)), KEPT),
    "layer_norm over the masked axis": row(
        lambda x, c: F.layer_norm(x * c, (6,)), "0 unless any(nz(%c)[j1] for j1 < 6); needs finite %x", c=mask(6)
    ),
    "rms_norm": row(
        lambda x, m, w: F.rms_norm(x * m[:, None], (6,), w, 1e-6),
        "0 on axes [0] unless nz(%m); needs finite %x, %w",
        w=weight(6),
    ),
    "rms_norm of elements": row(
        lambda x, w: F.rms_norm(x.relu(), (6,), w, 1e-6),
        "0 on axes [0, 1] unless nz(%relu); needs finite %w, %relu",
        w=weight(6),
    ),
    "rms_norm in pieces": row(
        lambda x, m, w: w * (x * m[:, None]) * torch.rsqrt((x * m[:, None]).pow(2).mean(-1, True) + 1e-6),
        "0 on axes [0] unless nz(%m); needs finite %x, %w, %rsqrt",
        w=weight(6),
    ),
    "batch_norm in inference": row(
        lambda x, a, w, b, u, v: F.batch_norm(x * a[:, None, None, None], u, v.abs() + 0.1, w, b),
        "batch_norm(0, %w, %b, %u, %add) on axes [0] unless nz(%a); rounded; needs finite %x",
        x=real(3, 2, 4, 4),
        a=mask(3),
        w=weight(2),
        b=weight(2),
        u=weight(2),
        v=weight(2),
    ),
    "batch_norm in training": row(
        lambda x, a: F.batch_norm(x * a[:, None, None, None], None, None, training=True),
        x=real(3, 2, 4, 4),
        a=mask(3),
    ),
    "group_norm": row(
        lambda x, a, w, b: F.group_norm(x * a[:, None, None, None], 2, w, b),
        "%b on axes [0] unless nz(%a); needs finite %x, %w",
        x=real(3, 4, 2, 2),
        a=mask(3),
        w=weight(4),
        b=weight(4),
    ),
    "instance_norm": row(
        lambda x, a: F.instance_norm(x * a[:, :, None, None]),
        "0 on axes [0, 1] unless nz(%a); needs finite %x",
        x=real(3, 4, 2, 2),
        a=mask(3, 4),
    ),
}


@pytest.fixture(scope="module")
def imported() -> dict[str, Program]:
    return dict(zip(ROWS, programs(list(ROWS.values())), strict=True))


@pytest.mark.parametrize("name", ROWS)
def test_an_op_carries_its_facts_on(imported: dict[str, Program], name: str):
    program = imported[name]
    facts = forward_facts(program.function)
    assert tuple(map(str, facts.get(program.result, ()))) == ROWS[name].facts


@pytest.mark.parametrize("name", ROWS)
def test_the_facts_are_true(imported: dict[str, Program], name: str):
    check_often(imported[name], forward_facts(imported[name].function), ROWS[name])
