"""Elementwise ops: what becomes of zeros and of other fills."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from gossamer.passes.analysis.facts import forward_facts
from gossamer.tests.passes.analysis.fact_checks import check_often
from gossamer.tests.passes.analysis.fact_programs import Program, Row, below, mask, programs, real, row, weight
from torch import Tensor

ZERO_KEEPING = (
    "neg abs square sqrt tanh sin tan asin atan sinh asinh atanh erf erfinv expm1 log1p floor ceil trunc frac "
    "nan_to_num"
)
ZERO_KEEPING_LAYERS = "gelu silu mish elu selu celu leaky_relu softsign tanhshrink hardswish hardtanh"
AT_ZERO = {
    "exp": "1", "exp2": "1", "cos": "1", "cosh": "1", "erfc": "1", "sinc": "1", "sigmoid": "0.5", "log": "-inf",
    "log2": "-inf", "log10": "-inf", "logit": "-inf",
}  # fmt: skip
ROUNDED_AT_ZERO = "acos i0 lgamma"
SIGN_OF_ZERO_COUNTS = "reciprocal rsqrt digamma"

ROWS_OF_X = " on axes [0] unless nz(%m); needs finite %x"
ROUNDED = " on axes [0] unless nz(%m); rounded; needs finite %x"
KEPT = f"0{ROWS_OF_X}"


def masked(function: Callable[[Tensor], Tensor], *facts: str) -> Row:
    """`function` of rows that are zero where the mask is."""
    return row(lambda x, m: function(x * m[:, None]), *facts)


ROWS = {
    **{f"{name}(0) = 0": masked(getattr(torch, name), KEPT) for name in ZERO_KEEPING.split()},
    **{f"{name}(0) = 0": masked(getattr(F, name), KEPT) for name in ZERO_KEEPING_LAYERS.split()},
    **{f"{name}(0) is {value}": masked(getattr(torch, name), f"{value}{ROWS_OF_X}") for name, value in AT_ZERO.items()},
    **{
        f"{name}(0) is rounded": masked(getattr(torch, name), f"{name}(0){ROUNDED}") for name in ROUNDED_AT_ZERO.split()
    },
    **{f"{name}(0) has two signs": masked(getattr(torch, name)) for name in SIGN_OF_ZERO_COUNTS.split()},
    "leaky_relu with a slope": masked(lambda h: F.leaky_relu(h, 0.2), KEPT),
    "hardsigmoid": masked(F.hardsigmoid, "0.5 on axes [0] unless nz(%m); needs finite %x"),
    "softplus": masked(F.softplus, "softplus(0) on axes [0] unless nz(%m); rounded; needs finite %x"),
    "logsigmoid": masked(F.logsigmoid, "log_sigmoid(0) on axes [0] unless nz(%m); rounded; needs finite %x"),
    "clamp around 0": masked(lambda h: h.clamp(-1, 2), KEPT),
    "clamp above 0": masked(lambda h: h.clamp(0.5, 2), "0.5 on axes [0] unless nz(%m); needs finite %x"),
    "clamp to what is rounded": masked(
        lambda h: h.clamp(0.1, 2), "clamp(0) on axes [0] unless nz(%m); rounded; needs finite %x"
    ),
    "to half": masked(lambda h: h.half(), KEPT),
    "to an integer": masked(lambda h: h.nan_to_num().int(), KEPT),
    "cube": masked(lambda h: h**3, KEPT),
    "root": masked(lambda h: h**0.5, KEPT),
    "inverse power": masked(lambda h: h**-1),
    "power of 2": masked(lambda h: 2**h, "1 on axes [0] unless nz(%m); needs finite %x"),
    "power 0": masked(lambda h: h**0, "1 on axes [0] unless nz(%m); needs finite %x"),
    "times a number": masked(lambda h: h * 3.3, KEPT),
    "by a number": masked(lambda h: h / 3, KEPT),
    "times inf is NaN": masked(lambda h: h * math.inf, "mul(0) on axes [0] unless nz(%m); needs finite %x"),
    "by 0 is NaN": masked(lambda h: h / 0.0, "div(0) on axes [0] unless nz(%m); needs finite %x"),
    "fmod": masked(lambda h: h.fmod(2), KEPT),
    "remainder": masked(lambda h: h % 2, KEPT),
    "floor division": masked(lambda h: h // 2, KEPT),
    "plus 1": masked(lambda h: h + 1, "1 on axes [0] unless nz(%m); needs finite %x"),
    "plus what is rounded": masked(lambda h: h + 0.1, "add(0) on axes [0] unless nz(%m); needs finite %x"),
    "minus": masked(lambda h: h - 2, "-2 on axes [0] unless nz(%m); needs finite %x"),
    "from 1": masked(lambda h: 1 - h, "1 on axes [0] unless nz(%m); needs finite %x"),
    "a chain of fills": masked(
        lambda h: torch.sigmoid((h + 0.1) * 2),
        "sigmoid(mul(add(0))) on axes [0] unless nz(%m); rounded; needs finite %x",
    ),
    "isfinite": masked(
        torch.isfinite, "0 on axes [0, 1] unless nz(%isfinite); else 1", "1 on axes [0] unless nz(%m); needs finite %x"
    ),
    "at least 0": masked(
        lambda h: h >= 0, "0 on axes [0, 1] unless %mul >= 0.0; else 1", "1 on axes [0] unless nz(%m); needs finite %x"
    ),
    "logical_not": masked(
        torch.logical_not,
        "0 on axes [0, 1] unless not nz(%mul); else 1",
        "1 on axes [0] unless nz(%m); needs finite %x",
    ),
    "prelu": row(
        lambda x, m, w: F.prelu(x * m[:, None], w), "0 on axes [0] unless nz(%m); needs finite %x, %w", w=weight(6)
    ),
    "plus a bias": row(
        lambda x, m, w: x * m[:, None] + w, "add(0, %w) on axes [0] unless nz(%m); needs finite %x", w=weight(6)
    ),
    "a product of two masks": row(
        lambda x, y, m, n: (x * m[:, None]) * (y * n[:, None]),
        "0 on axes [0] unless nz(%m) and nz(%n); needs finite %x, %y, %mul, %mul_1",
        "0 on axes [0] unless nz(%m); needs finite %x, %mul_1",
        "0 on axes [0] unless nz(%n); needs finite %y, %mul",
    ),
    "a product of rows and columns": row(
        lambda x, y, m, c: (x * m[:, None]) * (y * c),
        "0 on axes [0] unless nz(%m); needs finite %x, %mul_1",
        "0 on axes [1] unless nz(%c); needs finite %y, %mul",
        c=mask(6),
    ),
    "by what is positive": row(
        lambda x, y, m: (x * m[:, None]) / (y.abs() + 1e-3), "0 on axes [0] unless nz(%m); needs finite %x, %add"
    ),
    "by what may be 0": row(lambda x, y, m: (x * m[:, None]) / y),
    "normalize": masked(F.normalize, "0 on axes [0] unless nz(%m); needs finite %x, %expand"),
    "a sum with the same mask": row(
        lambda x, y, m: x * m[:, None] + y * m[:, None], "0 on axes [0] unless nz(%m); needs finite %x, %y"
    ),
    "a sum of two masks": row(
        lambda x, y, m, n: x * m[:, None] + y * n[:, None], "0 on axes [0] unless nz(%m) or nz(%n); needs finite %x, %y"
    ),
    "a residual sum": row(lambda x, y, m: x + y * m[:, None]),
    "a difference": row(
        lambda x, y, m, n: x * m[:, None] - y * n[:, None], "0 on axes [0] unless nz(%m) or nz(%n); needs finite %x, %y"
    ),
    "a sum with a factor": row(
        lambda x, y, m: torch.add(x * m[:, None], y * m[:, None], alpha=2),
        "0 on axes [0] unless nz(%m); needs finite %x, %y",
    ),
    "maximum": row(
        lambda x, y, m, n: torch.maximum(x * m[:, None], y * n[:, None]),
        "0 on axes [0] unless nz(%m) or nz(%n); needs finite %x, %y",
    ),
    "minimum of what is at least 0": row(
        lambda x, y, m: torch.minimum(x.exp(), y.relu() * m[:, None]),
        "0 on axes [0, 1] unless nz(%relu); needs finite %exp",
        "0 on axes [0] unless nz(%m); needs finite %exp, %relu",
    ),
    "hypot": row(
        lambda x, y, m, n: torch.hypot(x * m[:, None], y * n[:, None]),
        "0 on axes [0] unless nz(%m) or nz(%n); needs finite %x, %y",
    ),
    "atan2 of two zeros has an angle": row(lambda x, y, m, n: torch.atan2(x * m[:, None], y * n[:, None])),
    "addcmul": row(
        lambda x, y, z, m, n: torch.addcmul(x * m[:, None], y * n[:, None], z),
        "0 on axes [0] unless nz(%m) or nz(%n); needs finite %x, %y, %z",
    ),
    "addcdiv": row(
        lambda x, y, z, m, n: torch.addcdiv(x * m[:, None], y * n[:, None], z.abs() + 0.1),
        "0 on axes [0] unless nz(%m) or nz(%n); needs finite %x, %y, %add",
    ),
    "lerp": row(
        lambda x, y, z, m, n: torch.lerp(x * m[:, None], y * n[:, None], z),
        "0 on axes [0] unless nz(%m) or nz(%n); needs finite %x, %y, %z",
    ),
    "lerp by a number": row(
        lambda x, y, m, n: torch.lerp(x * m[:, None], y * n[:, None], 0.3),
        "0 on axes [0] unless nz(%m) or nz(%n); needs finite %x, %y",
    ),
    "where": row(
        lambda x, y, c, m, n: torch.where(c, x * m[:, None], y * n[:, None]),
        "0 on axes [0, 1] unless nz(%c) and nz(%m) or not nz(%c) and nz(%n); needs finite %x, %y",
        c=mask(4, 6),
    ),
    "where between the same": row(
        lambda x, y, c, m: torch.where(c, x * m[:, None], y * m[:, None]),
        "0 on axes [0] unless nz(%m); needs finite %x, %y",
        c=mask(4, 6),
    ),
    "logical_or": row(
        lambda x, y: x.relu().logical_or(y.relu()), "0 on axes [0, 1] unless nz(%relu) or nz(%relu_1); else 1"
    ),
    "logical_and": row(
        lambda x, y: x.relu().logical_and(y.relu()), "0 on axes [0, 1] unless nz(%relu) and nz(%relu_1); else 1"
    ),
    "and": row(lambda m, n: m & n, "0 on axes [0] unless nz(%m) and nz(%n); else 1"),
    "xor": row(lambda m, n: m ^ n, "0 on axes [0] unless nz(%m) and not nz(%n) or not nz(%m) and nz(%n); else 1"),
    "to bool": row(lambda x: x.relu().bool(), "0 on axes [0, 1] unless nz(%relu); else 1"),
    "not equal to 0": row(lambda x: (x.relu() != 0).float(), "0 on axes [0, 1] unless nz(%relu); else 1"),
    "a chain of comparisons": row(
        lambda i, x: ((i != 0) & (x > 0)).float(),
        "0 on axes [0] unless nz(%i) and %x > 0.0; else 1",
        i=below(3, 4),
        x=real(4),
    ),
    "dropout outside of training": row(lambda x: F.dropout(x.relu(), 0.5, False), "0 on axes [0, 1] unless nz(%relu)"),
    "dropout in training": row(
        lambda x, m: F.dropout(x * m[:, None], 0.5, True),
        "0 on axes [0, 1] unless nz(%native_dropout_1); needs finite %mul",
        KEPT,
    ),
    "an unknown op": masked(torch.special.bessel_j0),
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
