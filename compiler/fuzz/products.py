"""Ops that sum: products, norms, reductions, and modules that hold them."""

from collections.abc import Sequence

from .ffn import FFNS
from .model import Type
from .op import Op
from .shapes import along, are_floats, broadcast, floats, is_large, normed, number, reduced, wide


def projected(types: Sequence[Type], parameter: str) -> Type | None:
    """(.., 8) -> (.., 12), by weights"""
    dims = types[0].dims
    known = dims and number(dims[-1]) is not None
    return floats((*dims[:-1], parameter.partition(",")[0])) if known and are_floats(types) else None


def matrix(types: Sequence[Type], parameter: str) -> Type | None:
    """As `projected`, of a matrix."""
    return projected(types, parameter) if len(types[0].dims) == 2 else None


def sequence(types: Sequence[Type], parameter: str) -> Type | None:
    """As `normed`, of (b, s, 8)."""
    return normed(types, parameter) if len(types[0].dims) == 3 else None


def matrices(types: Sequence[Type], parameter: str) -> Type | None:
    """x @ y"""
    x, y = types[0].dims, types[1].dims
    if not are_floats(types) or min(len(x), len(y)) < 2 or x[-1] != y[-2] or is_large(y[-1]):
        return None
    batch = broadcast(x[:-2], y[:-2])
    return None if batch is None else floats((*batch, x[-2], y[-1]))


def batches(types: Sequence[Type], parameter: str) -> Type | None:
    """torch.bmm(x, y)"""
    x, y = types[0].dims, types[1].dims
    return matrices(types, parameter) if len(x) == len(y) == 3 and x[0] == y[0] else None


def scores(types: Sequence[Type], parameter: str) -> Type | None:
    """x @ y^T of two sequences"""
    x, y = types[0].dims, types[1].dims
    fits = are_floats(types) and len(x) == len(y) == 3 and x[0] == y[0] and x[2] == y[2]
    return floats((x[0], x[1], y[1])) if fits else None


WIDTHS = ("8", "12", "16")
AXES = ("-1", "1", "0")
KEPT = ("1", "-1", "0", "1, keepdim=True", "-1, keepdim=True", "0, keepdim=True")

PRODUCTS = {
    "linear": Op("{m}({0})", projected, 1, WIDTHS, {"": "nn.Linear({last}, {p})"}, weight=12),
    "no bias": Op("{m}({0})", projected, 1, WIDTHS, {"": "nn.Linear({last}, {p}, bias=False)"}, weight=3),
    "matmul": Op("{0} @ {m}", projected, 1, WIDTHS, {"": "nn.Parameter(torch.randn({last}, {p}))"}, weight=2),
    "mm": Op("torch.mm({0}, {m})", matrix, 1, WIDTHS, {"": "nn.Parameter(torch.randn({last}, {p}))"}),
    "addmm": Op(
        "torch.addmm({m}bias, {0}, {m}weight)",
        matrix,
        1,
        WIDTHS,
        {"bias": "nn.Parameter(torch.randn({p}))", "weight": "nn.Parameter(torch.randn({last}, {p}))"},
        weight=2,
    ),
    "einsum": Op('torch.einsum("bsd,df->bsf", {0}, {m})',
                 lambda types, p: projected(types, p) if len(types[0].dims) == 3 else None,
                 1, WIDTHS, {"": "nn.Parameter(torch.randn({last}, {p}))"}, weight=0.7),
    "at": Op("{0} @ {1}", matrices, 2, weight=2),
    "bmm": Op("torch.bmm({0}, {1})", batches, 2),
    "scores": Op("{0} @ {1}.transpose(1, 2)", scores, 2),
    "conv": Op(
        "{m}({0}.transpose(1, 2)).transpose(1, 2)",
        lambda types, p: Type("float", (*types[0].dims[:2], "8")) if sequence(types, p) else None,
        1,
        ("1", "3, padding=1"),
        {"": "nn.Conv1d({last}, 8, {p})"},
    ),
}  # fmt: skip

NORMS = {
    "layer norm": Op("{m}({0})", normed, state={"": "nn.LayerNorm({last})"}, weight=3),
    "rms norm": Op("{m}({0})", normed, state={"": "nn.RMSNorm({last})"}, weight=1.5),
    "plain layer norm": Op("functional.layer_norm({0}, {0}.shape[-1:])", normed, weight=0.7),
    "sequence norm": Op("functional.layer_norm({0}, {0}.shape[1:])", sequence, weight=0.5),
    "batch norm": Op(
        "{m}({0}.transpose(1, 2)).transpose(1, 2)", sequence, state={"": "nn.BatchNorm1d({last})"}, weight=1
    ),
    "softmax": Op("{0}.softmax({p})", along, 1, AXES, weight=2),
    "log softmax": Op("{0}.log_softmax({p})", along, 1, AXES, weight=0.5),
    "cumsum": Op("{0}.cumsum({p})", along, 1, AXES),
    "tril": Op("{0}.{p}", wide(2), 1, ("tril()", "triu()", "tril(-1)"), weight=0.7),
}

REDUCTIONS = {
    "sum": Op("{0}.sum({p})", reduced, 1, KEPT, weight=2),
    "mean": Op("{0}.mean({p})", reduced, 1, KEPT, weight=1.5),
    "amax": Op("{0}.amax({p})", reduced, 1, KEPT),
    "amin": Op("{0}.amin({p})", reduced, 1, KEPT, weight=0.4),
    "variance": Op("{0}.var({p}, correction=0)", reduced, 1, ("1", "-1", "0"), weight=0.5),
    "logsumexp": Op("{0}.logsumexp({p})", reduced, 1, KEPT, weight=0.5),
    "norm": Op("torch.linalg.vector_norm({0}, dim={p})", reduced, 1, KEPT, weight=0.5),
    "largest": Op("{0}.max({p}).values", reduced, 1, KEPT, weight=0.5),
}  # fmt: skip

STATE = {
    "counter": Op(
        "{m}.add_({0}.detach().flatten(0, -2).sum(0))\n{r} = {0} + {m}",
        lambda types, p: normed(types, p) if len(types[0].dims) > 1 else None,
        state={"": "buffer torch.zeros({last})"},
        weight=0.4,
    ),
}
"""Modules that remember."""

SUMS = PRODUCTS | FFNS | NORMS | REDUCTIONS | STATE
