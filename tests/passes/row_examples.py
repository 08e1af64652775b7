"""A call or more for every target that has a row rule, as short text.

EXAMPLES["aten.linear.default"]     [((floats(2, 3, 4), floats(5, 4), floats(5)), {}), ..]

`floats(2, 3, 4)` stands for a tensor of that shape; everything else is passed as it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from gossamer.dialects.template import Name


@dataclass(frozen=True)
class Tensor:
    """A tensor to be made: `kind` says of what."""

    kind: str
    sizes: tuple[int, ...]


def floats(*sizes: int) -> Tensor:
    """Ordinary numbers."""
    return Tensor("floats", sizes)


def specials(*sizes: int) -> Tensor:
    """Numbers, and here and there NaN, infinities and both zeros."""
    return Tensor("specials", sizes)


def integers(*sizes: int) -> Tensor:
    """0 to 3"""
    return Tensor("integers", sizes)


def doubles(*sizes: int) -> Tensor:
    """Ordinary numbers of the wider type."""
    return Tensor("doubles", sizes)


def flags(*sizes: int) -> Tensor:
    return Tensor("flags", sizes)


def make(tensor: Tensor) -> torch.Tensor:
    """New values at every call."""
    if tensor.kind == "integers":
        return torch.randint(0, 4, tensor.sizes)
    if tensor.kind == "doubles":
        return torch.randn(tensor.sizes, dtype=torch.float64)
    if tensor.kind == "flags":
        return torch.rand(tensor.sizes) < 0.5
    values = torch.randn(tensor.sizes)
    if tensor.kind == "specials":
        odd = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0])
        values = torch.where(torch.rand(tensor.sizes) < 0.3, odd[torch.randint(0, 5, tensor.sizes)], values)
    return values


Call: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]

X, BATCH_1, SEQUENCE_1, FLAT = specials(2, 3, 4), specials(1, 3, 4), specials(2, 1, 4), specials(6, 4)
PLAIN = floats(2, 3, 4)

UNARY = (
    "abs acos acosh alias angle asin asinh atan atanh ceil celu clone contiguous cos cosh deg2rad detach "
    "digamma elu erf erfc erfinv exp exp2 expm1 floor frac hardshrink hardsigmoid hardswish hardtanh "
    "isfinite isinf isnan leaky_relu lgamma lift_fresh_copy log log10 log1p log2 log_sigmoid logical_not logit mish "
    "nan_to_num neg positive rad2deg reciprocal relu relu6 round rsqrt selu sgn sigmoid sign signbit silu sin sinc "
    "sinh softplus softshrink sqrt square tan tanh trunc _to_copy zeros_like ones_like"
)
BINARY = (
    "add.Tensor atan2.default div.Tensor eq.Tensor fmax.default fmin.default fmod.Tensor ge.Tensor gt.Tensor "
    "hypot.default le.Tensor logical_and.default logical_or.default logical_xor.default lt.Tensor maximum.default "
    "minimum.default mul.Tensor ne.Tensor pow.Tensor_Tensor remainder.Tensor rsub.Tensor sub.Tensor "
    "true_divide.Tensor xlogy.Tensor logaddexp.default copysign.Tensor isclose.default min.other max.other "
    "floor_divide.default"
)
SCALAR = (
    "add div eq floor_divide fmod ge gt le lt mul ne remainder rsub sub true_divide copysign"
)  # fmt: skip
BITWISE = "bitwise_and bitwise_or bitwise_xor __and__ __or__ __xor__"
FLOAT64 = Name("torch.float64")


def unary(*more: Any, **kwargs: Any) -> list[Call]:
    """One operand, in every shape."""
    return [((x, *more), kwargs) for x in (X, BATCH_1, SEQUENCE_1, FLAT, specials(5))]


def binary(kind: Any = specials) -> list[Call]:
    """Two operands that broadcast in every way."""
    pairs = [
        ((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 4)), ((2, 3, 4), (1, 3, 1)), ((2, 1, 4), (2, 3, 4)),
        ((2, 3, 1), (2, 3, 4)), ((2, 3, 4), ()), ((1, 3, 4), (2, 1, 1)), ((1, 3, 4), (1, 3, 1)), ((4,), (2, 3, 4)),
        ((3, 1), (2, 1, 4)),
    ]  # fmt: skip
    return [((kind(*a), kind(*b)), {}) for a, b in pairs]


def along(*more: Any, x: Tensor = PLAIN, **kwargs: Any) -> list[Call]:
    """Every axis as an int argument that comes first."""
    return [((x, axis, *more), kwargs) for axis in (0, 1, -1)]


def reductions(**kwargs: Any) -> list[Call]:
    """Every axis and two of them, kept and dropped."""
    axes = [(-1,), (1,), (0,), (0, 2), (1, -1)]
    return [((x, a, keep), kwargs) for a in axes for keep in (True, False) for x in (PLAIN, floats(2, 3, 1))]


EXAMPLES: dict[str, list[Call]] = {
    **{f"aten.{name}.default": unary() for name in UNARY.split()},
    **{f"aten.{name}": binary() for name in BINARY.split()},
    **{f"aten.{name}.Scalar": unary(1.5) for name in SCALAR.split()},
    **{f"aten.{name}.Tensor": binary(integers) + binary(flags) for name in BITWISE.split()},
    **{f"aten.{name}.Scalar": [((integers(2, 3, 4), 3), {})] for name in BITWISE.split()},
    "aten.add.Tensor": [*binary(), ((floats(2, 3), doubles(1, 1)), {}), ((floats(2, 3, 4), doubles(1)), {})],
    "aten.prelu.default": [((X, floats(1)), {}), ((specials(2, 4, 4), floats(4)), {}), ((X, floats(3)), {})],
    "aten.bitwise_not.default": [((flags(2, 3, 4),), {}), ((integers(2, 3),), {})],
    "aten.dropout.default": unary(0.5, False),
    "aten.threshold.default": unary(0.5, 2.0),
    "aten.pow.Tensor_Scalar": unary(2),
    "aten.pow.Scalar": [((2.0, X), {})],
    "aten.div.Tensor_mode": [(args, {"rounding_mode": "floor"}) for args, _ in binary()],
    "aten.div.Scalar_mode": unary(1.5, rounding_mode="trunc"),
    "aten.where.self": [((flags(*a.sizes), a, b), {}) for (a, b), _ in binary()],
    "aten.where.ScalarOther": [((flags(2, 3, 1), X, 0.0), {})],
    "aten.where.ScalarSelf": [((flags(2, 1, 1), -1.0, X), {})],
    "aten.masked_fill.Scalar": [((X, flags(*sizes), -1.0), {}) for sizes in ((2, 3, 4), (2, 3, 1), (1, 3, 1), (4,))],
    "aten.masked_fill.Tensor": [((X, flags(*sizes), floats()), {}) for sizes in ((2, 3, 4), (2, 3, 1), (3, 1))],
    "aten.clamp.default": unary(-0.5, 0.5),
    "aten.clamp.Tensor": [((X, None, floats(3, 1)), {}), ((X, floats(4), floats(2, 1, 1)), {})],
    "aten.clamp_min.default": unary(0.0),
    "aten.clamp_max.default": unary(0.0),
    "aten.addcmul.default": [((X, floats(4), floats(2, 3, 1)), {"value": 0.5})],
    "aten.addcdiv.default": [((X, floats(4), floats(2, 3, 1)), {"value": 0.5})],
    "aten.lerp.Scalar": [((X, floats(3, 4), 0.3), {})],
    "aten.lerp.Tensor": [((X, floats(3, 4), floats(2, 3, 1)), {})],
    "aten.to.dtype": unary(FLOAT64),
    "aten.to.dtype_layout": unary(dtype=FLOAT64),
    "aten.to.device": unary(Name("device", "cpu"), FLOAT64),
    "aten.type_as.default": [((X, integers(2, 3, 4)), {}), ((X, integers(7, 4)), {}), ((X, doubles()), {})],
    "aten.round.decimals": unary(decimals=1),
    "aten.full_like.default": unary(2.5),
    "aten.threshold_backward.default": [((X, X, 0.5), {}), ((X, PLAIN, 0.5), {})],
    "aten.gelu.default": [((PLAIN,), {}), ((floats(6, 4),), {"approximate": "tanh"})],
    "aten.gelu_backward.default": [((PLAIN, floats(2, 3, 4)), {})],
    "aten.view.default": [
        ((X, (6, 4)), {}),
        ((X, (2, 3, 2, 2)), {}),
        ((FLAT, (2, 3, 4)), {}),
        ((X, (24,)), {}),
        ((X, (2, 12)), {}),
        ((BATCH_1, (3, 4)), {}),
        ((SEQUENCE_1, (2, 4)), {}),
        ((specials(3, 4), (1, 3, 4)), {}),
        ((X, (-1, 4)), {}),
        ((specials(2, 3), (2, 3, 1)), {}),
    ],
    "aten.reshape.default": [((X, (6, 4)), {}), ((specials(2, 3, 2, 2), (2, 3, 4)), {}), ((X, (4, 6)), {})],
    "aten._unsafe_view.default": [((X, (6, 4)), {}), ((X, (1, 2, 3, 4)), {})],
    "aten.flatten.using_ints": [((X, 0, 1), {}), ((X, 1, 2), {}), ((X,), {})],
    "aten.unflatten.int": [((X, 2, (2, 2)), {}), ((FLAT, 0, (2, 3)), {})],
    "aten.view_as.default": [((X, integers(6, 4)), {}), ((FLAT, integers(2, 3, 4)), {})],
    "aten.squeeze.default": [((specials(2, 1, 3, 1),), {}), ((BATCH_1,), {})],
    "aten.squeeze.dim": [((specials(2, 1, 3), 1), {}), ((specials(2, 3, 1), -1), {}), ((X, 0), {})],
    "aten.squeeze.dims": [((specials(2, 1, 3, 1), (1, 3)), {})],
    "aten.unsqueeze.default": [((X, axis), {}) for axis in (0, 1, -1)] + [((specials(2, 3), 1), {})],
    "aten.transpose.int": [((x, a, b), {}) for a, b in ((0, 1), (1, 2), (-1, 0)) for x in (X, BATCH_1, SEQUENCE_1)],
    "aten.permute.default": [((X, order), {}) for order in ((2, 0, 1), (1, 0, 2), (0, -1, 1))]
    + [((specials(2, 3, 2, 4), (0, 2, 1, 3)), {}), ((specials(2, 3, 2, 4), (1, 3, 2, 0)), {})],
    "aten.t.default": [((FLAT,), {}), ((specials(5, 1),), {})],
    "aten.expand.default": [
        ((specials(*source), to), {})
        for source, to in (
            ((2, 3, 1), (2, 3, 4)),
            ((2, 3, 1), (-1, -1, 4)),
            ((3, 4), (2, 3, 4)),
            ((2, 1, 4), (2, 3, 4)),
            ((1, 3, 4), (2, 3, 4)),
            ((2, 1, 1, 4), (2, 3, 1, 4)),
            ((2, 1, 1), (2, 3, 4)),
            ((1,), (2, 3)),
            ((3, 1), (2, 3, 4)),
        )
    ],
    "aten.select.int": [((x, axis, index), {}) for axis, index in ((0, 0), (1, -1), (2, 1), (-1, 2)) for x in (X,)]
    + [((SEQUENCE_1, 1, 0), {}), ((specials(2, 3, 2, 4), 2, 1), {})],
    "aten.slice.Tensor": [((X, axis, 1, 3), {}) for axis in (0, 1, 2)] + [((X, -1, 0, 9, 2), {}), ((X,), {})],
    "aten.narrow.default": [((X, 2, 1, 2), {}), ((X, 1, 0, 1), {})],
    "aten.index_select.default": [((X, 2, integers(5)), {}), ((specials(2, 4, 3), 1, integers(5)), {})],
    "aten.split.Tensor": [((X, 3, -1), {}), ((X, 2, 1), {}), ((X, 1), {})],
    "aten.split_with_sizes.default": [((X, (1, 3), 2), {}), ((X, (1, 1)), {})],
    "aten.chunk.default": [((X, 2, -1), {}), ((X, 3, 1), {}), ((X, 2), {})],
    "aten.unbind.int": [((X, -1), {}), ((X, 1), {}), ((X,), {}), ((SEQUENCE_1, 1), {})],
    "aten.cat.default": [
        (((X, specials(2, 3, 1)), -1), {}),
        (((X, specials(2, 5, 4)), 1), {}),
        (((X, X),), {}),
        (((X, PLAIN),), {}),
        (((X,), 1), {}),
    ],
    "aten.stack.default": [(((X, PLAIN), axis), {}) for axis in (0, 1, 2, -1)] + [(((X, PLAIN),), {})],
    "aten.flip.default": [((X, (axis,)), {}) for axis in (0, 1, -1)] + [((X, (0, 2)), {})],
    "aten.roll.default": [((X, (1,), (axis,)), {}) for axis in (0, 1, -1)] + [((X, (1,)), {})],
    "aten.linear.default": [
        ((PLAIN, floats(5, 4), floats(5)), {}),
        ((PLAIN, floats(5, 4)), {}),
        ((floats(6, 4), floats(5, 4)), {}),
        ((floats(1, 3, 4), floats(1, 4), floats(1)), {}),
        ((floats(2, 1, 4), floats(5, 4), floats(5)), {}),
        ((floats(2, 2, 3, 4), floats(5, 4)), {}),
        ((PLAIN, floats(5, 4), None), {}),
    ],
    "aten.mm.default": [((floats(6, 4), floats(4, 5)), {}), ((floats(4, 4), floats(4, 4)), {})],
    "aten.addmm.default": [
        ((floats(5), floats(6, 4), floats(4, 5)), {"beta": 0.5, "alpha": 2}),
        ((floats(6, 5), floats(6, 4), floats(4, 5)), {}),
        ((floats(6, 1), floats(6, 4), floats(4, 5)), {}),
    ],
    "aten.matmul.default": [
        ((PLAIN, floats(4, 5)), {}),
        ((PLAIN, floats(2, 4, 5)), {}),
        ((floats(6, 4), floats(4, 5)), {}),
        ((floats(6, 4), floats(4)), {}),
        ((floats(4), floats(4, 5)), {}),
        ((floats(3, 4), floats(2, 4, 5)), {}),
    ],
    "aten.embedding.default": [
        ((floats(4, 5), integers(2, 3)), {}),
        ((floats(4, 5), integers(2, 3), 1), {}),
        ((floats(4, 5), integers(6)), {}),
        ((floats(4, 5), integers(1, 3)), {}),
        ((floats(4, 5), integers(2, 1, 3)), {}),
    ],
    "aten.softmax.int": along() + along(FLOAT64) + along(x=floats(2, 3, 4, 2)),
    "aten.log_softmax.int": along(),
    "aten._softmax.default": along(False),
    "aten._log_softmax.default": along(False),
    "aten.cumsum.default": along() + along(dtype=FLOAT64),
    "aten.cumprod.default": along(),
    "aten.sort.default": along() + along(True) + [((PLAIN,), {})],
    "aten.argsort.default": [*along(), ((PLAIN,), {})],
    "aten.topk.default": [((PLAIN, 2, axis), {}) for axis in (0, 1, -1)] + [((PLAIN, 2), {})],
    "aten.sum.dim_IntList": [*reductions(), ((PLAIN, None), {}), ((PLAIN, (-1,)), {"dtype": FLOAT64})],
    "aten.mean.dim": [*reductions(), ((PLAIN, (-1,)), {})],
    "aten.amax.default": [*reductions(), ((PLAIN,), {}), ((PLAIN, (1,)), {})],
    "aten.amin.default": reductions(),
    "aten.any.dim": along(x=flags(2, 3, 4)) + along(True, x=flags(2, 3, 4)),
    "aten.all.dim": along(x=flags(2, 3, 4)) + along(True, x=flags(2, 3, 4)),
    "aten.prod.dim_int": along() + along(True),
    "aten.logsumexp.default": reductions(),
    "aten.var.correction": [
        ((PLAIN, axes), {"correction": 1, "keepdim": keep}) for axes in ((-1,), (1,), (0, 2)) for keep in (True, False)
    ]
    + [((PLAIN, (-1,)), {})],
    "aten.max.dim": along() + along(True),
    "aten.min.dim": along() + along(True),
    "aten.argmax.default": along() + along(True) + [((PLAIN,), {})],
    "aten.argmin.default": along() + along(True),
    "aten.linalg_vector_norm.default": [((PLAIN, 2, (-1,), keep), {}) for keep in (True, False)]
    + [((PLAIN, 1, (1, 2)), {}), ((PLAIN,), {})],
    "aten.layer_norm.default": [
        ((PLAIN, (4,), floats(4), floats(4)), {}),
        ((PLAIN, (3, 4)), {}),
        ((floats(6, 4), (4,), None, None, 1e-3), {}),
        ((floats(2, 1, 4), (4,), floats(4), None), {}),
    ],
    "aten.rms_norm.default": [((PLAIN, (4,), floats(4)), {}), ((PLAIN, (3, 4)), {})],
    "aten.conv1d.default": [
        ((floats(3, 4, 6), floats(5, 4, 3), floats(5)), {}),
        ((floats(3, 4, 6), floats(5, 4, 3)), {}),
    ],
    "aten.conv2d.default": [((floats(3, 2, 5, 5), floats(4, 2, 3, 3), floats(4), (1, 1), (1, 1)), {})],
    "aten.conv3d.default": [((floats(2, 1, 3, 3, 3), floats(2, 1, 2, 2, 2)), {})],
    "aten.max_pool2d.default": [((floats(3, 2, 4, 4), (2, 2)), {})],
    "aten.avg_pool2d.default": [((floats(3, 2, 4, 4), (2, 2)), {})],
    "aten.adaptive_avg_pool1d.default": [((floats(3, 2, 4), (2,)), {})],
    "aten.adaptive_avg_pool2d.default": [((floats(3, 2, 4, 4), (1, 2)), {})],
    "aten.group_norm.default": [((floats(3, 4, 5), 2, floats(4), floats(4)), {}), ((floats(3, 4), 2), {})],
}
"""Calls by target: arguments and keyword arguments."""


def tensors(argument: Any) -> Iterator[Tensor]:
    """The tensors inside an argument, in order."""
    if isinstance(argument, Tensor):
        yield argument
    elif isinstance(argument, tuple):
        for item in argument:
            yield from tensors(item)
