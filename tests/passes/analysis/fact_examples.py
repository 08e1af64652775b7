"""Calls that no exported program has: overloads that export takes apart, that only text or other front ends write.

Each with the facts that the research on dynamic sparsity (tables 3.2 and 3.3) has for its op.
"""

from typing import Any

from gossamer.dialects.aten import Effects
from gossamer.dialects.template import Name
from gossamer.tests.passes.analysis.fact_programs import Row, below, mask, real, row
from gossamer.tests.passes.analysis.written_programs import Value, call, relu, rows

KEPT = "0 on axes [0] unless nz(%m); needs finite %x"
BOTH = "0 on axes [0] unless nz(%m); needs finite %x, %y"
ALL = "0 on axes [0, 1] unless nz(%relu)"
ANY = "0 on axes [0] unless any(nz(%relu)[i0, j1] for j1 < 6)"

IMAGE = {"x": real(2, 4, 4, 6), "m": mask(2)}
VOLUME = {"x": real(2, 2, 4, 4, 4), "m": mask(2)}
SEQUENCE = {"x": real(2, 4, 6), "m": mask(2)}


def of_rows(name: str, *args: object, facts: tuple[str, ...] = (KEPT,), **options: Any) -> Row:
    """`name` of rows that are 0 where the mask does not hold."""
    return row(lambda x, m: call(name, rows(x, m), *args, **options), *facts)


def of_both(name: str, *facts: str) -> Row:
    """`name` of two tensors that are 0 in the same rows."""
    return row(lambda x, y, m: call(name, rows(x, m), rows(y, m)), *facts)


def of_flags(name: str, *facts: str) -> Row:
    return row(lambda m, n: call(name, m, n), *facts)


def of_integers(name: str, *facts: str) -> Row:
    return row(lambda k, i: call(name, k, i), *facts, k=below(3, 4), i=below(3, 4))


def of_integer(name: str, number: int, *facts: str) -> Row:
    return row(lambda k: call(name, k, number), *facts, k=below(4, 4, 6))


def of_relu(name: str, *args: object, facts: tuple[str, ...] = (ANY,), **options: Any) -> Row:
    """`name`, its first result, of elements that may be 0."""
    return row(lambda x: first(call(name, relu(x), *args, **options)), *facts)


def first(given: Value | tuple[Value, ...]) -> Value:
    return given[0] if isinstance(given, tuple) else given


ELEMENTWISE = [
    # f(0) = 0
    *(of_rows(f"{name}.default") for name in "deg2rad rad2deg special_expm1 positive alias contiguous detach".split()),
    *(of_rows(f"{name}.default") for name in "lift_fresh_copy selu".split()),
    *(
        of_rows(f"{name}.default", facts=(f"0 on axes [0, 1] unless nz(%{name})", KEPT))
        for name in "relu relu6 sgn sign round hardshrink softshrink".split()
    ),
    of_rows("round.decimals", decimals=1, facts=("0 on axes [0, 1] unless nz(%round)", KEPT)),
    of_rows("mul.Scalar", 3.3),
    of_rows("true_divide.Scalar", 3),
    of_rows("floor_divide.Scalar", 2),
    of_rows("div.Scalar_mode", 3, rounding_mode="trunc"),
    of_rows("clamp_max.default", 2.0),
    of_rows("to.dtype", Name("torch.float64")),
    of_rows("dropout.default", 0.5, False),
    of_rows("dropout.default", 0.5, True, effects=Effects.RANDOM),
    row(
        lambda x, m: call("feature_dropout.default", rows(x, m), 0.5, True, effects=Effects.RANDOM),
        "0 on axes [0, 1, 2] unless nz(%feature_dropout)",
        KEPT,
        **SEQUENCE,
    ),
    of_both("rsub.Tensor", BOTH),
    *(of_both(name, BOTH) for name in "fmax.default fmin.default max.other min.other".split()),
    of_integer("bitwise_and.Scalar", 3, "0 on axes [0, 1] unless nz(%k)"),
    of_integer("__and__.Scalar", 3, "0 on axes [0, 1] unless nz(%k)"),
    # f(0) != 0
    of_rows("add.Scalar", 1, facts=("1 on axes [0] unless nz(%m); needs finite %x",)),
    of_rows("sub.Scalar", 2, facts=("-2 on axes [0] unless nz(%m); needs finite %x",)),
    of_rows("clamp_max.default", -2.0, facts=("-2 on axes [0] unless nz(%m); needs finite %x",)),
    of_rows("acosh.default", facts=("acosh(0) on axes [0] unless nz(%m); rounded; needs finite %x",)),
    of_both("pow.Tensor_Tensor", "1 on axes [0] unless nz(%m); needs finite %x, %y"),
    of_both("logaddexp.default", "logaddexp(0, 0) on axes [0] unless nz(%m); rounded; needs finite %x, %y"),
    *(
        of_integer(name, 3, "3 on axes [0, 1] unless nz(%k)")
        for name in "bitwise_or.Scalar __or__.Scalar bitwise_xor.Scalar __xor__.Scalar".split()
    ),
    row(
        lambda x, m, b: call("clamp.Tensor", rows(x, m), b),
        "clamp(0, %b) on axes [0] unless nz(%m); needs finite %x",
        b=real(6),
    ),
    # 0 / 0 is NaN, and so is 0 / y where y is 0
    of_both("remainder.Tensor", "remainder(0, 0) on axes [0] unless nz(%m); rounded; needs finite %x, %y"),
    of_both("fmod.Tensor", "fmod(0, 0) on axes [0] unless nz(%m); rounded; needs finite %x, %y"),
    of_both("true_divide.Tensor"),
    row(lambda x, y, m: call("div.Tensor_mode", rows(x, m), y, rounding_mode="floor")),
    row(
        lambda x, y, m: call("true_divide.Tensor", rows(x, m), call("clamp.default", y, 0.25)),
        "0 on axes [0] unless nz(%m); needs finite %x, %clamp",
    ),
    # one factor, one of what is at least 0
    row(
        lambda x, y, m: call("fmin.default", call("exp.default", x), rows(relu(y), m)),
        "0 on axes [0, 1] unless nz(%relu); needs finite %exp",
        "0 on axes [0] unless nz(%m); needs finite %exp, %relu",
    ),
    of_both("xlogy.Tensor", "xlogy(0, 0) on axes [0] unless nz(%m); rounded; needs finite %x, %y"),
    # truth values
    of_rows(
        "lt.Scalar",
        0.5,
        facts=("0 on axes [0, 1] unless %mul < 0.5; else 1", "1 on axes [0] unless nz(%m); needs finite %x"),
    ),
    of_rows("isinf.default", facts=("0 on axes [0, 1] unless nz(%isinf); else 1", KEPT)),
    of_rows("isnan.default", facts=("0 on axes [0, 1] unless nz(%isnan); else 1", KEPT)),
    of_rows("isin.Tensor_Scalar", 0.5, facts=("0 on axes [0, 1] unless nz(%isin); else 1",)),
    row(lambda m: call("to.dtype", m, Name("torch.float32")), "0 on axes [0] unless nz(%m); else 1"),
    of_both("ne.Tensor", "0 on axes [0, 1] unless nz(%ne); else 1", BOTH),
    of_both("gt.Tensor", "0 on axes [0, 1] unless nz(%gt); else 1", BOTH),
    of_both("ge.Tensor", "0 on axes [0, 1] unless nz(%ge); else 1", "1 on axes [0] unless nz(%m); needs finite %x, %y"),
    of_both("le.Tensor", "0 on axes [0, 1] unless nz(%le); else 1", "1 on axes [0] unless nz(%m); needs finite %x, %y"),
    of_integers("ne.Tensor", "0 on axes [0] unless %i != %k; else 1"),
    of_integers("gt.Tensor", "0 on axes [0] unless %k > %i; else 1"),
    of_integers("ge.Tensor", "0 on axes [0] unless %k >= %i; else 1"),
    of_integers("le.Tensor", "0 on axes [0] unless %i >= %k; else 1"),
    *(
        of_flags(name, "0 on axes [0] unless nz(%m) and nz(%n); else 1")
        for name in "bitwise_and.Tensor __and__.Tensor".split()
    ),
    *(
        of_flags(name, "0 on axes [0] unless nz(%m) or nz(%n); else 1")
        for name in "bitwise_or.Tensor __or__.Tensor".split()
    ),
    *(
        of_flags(name, "0 on axes [0] unless nz(%m) and not nz(%n) or not nz(%m) and nz(%n); else 1")
        for name in "bitwise_xor.Tensor __xor__.Tensor logical_xor.default".split()
    ),
    of_integers("bitwise_and.Tensor", "0 on axes [0] unless nz(%k) and nz(%i)"),
    of_integers("bitwise_or.Tensor", "0 on axes [0] unless nz(%k) or nz(%i)"),
    of_integers("bitwise_xor.Tensor", "0 on axes [0] unless nz(%k) or nz(%i)"),
    row(lambda m: call("bitwise_not.default", m), "0 on axes [0] unless not nz(%m); else 1"),
    row(lambda m: call("where.Scalar", m, 2.0, 0.0), "2 on axes [0] unless not nz(%m)", "0 on axes [0] unless nz(%m)"),
]

MOVES = [
    of_relu("_unsafe_view.default", (2, 2, 6), facts=("0 on axes [0, 1, 2] unless nz(%relu)[2*i0 + i1, i2]",)),
    of_relu("view.default", (2, 2, 6), facts=("0 on axes [0, 1, 2] unless nz(%relu)[2*i0 + i1, i2]",)),
    row(
        lambda x, y: call("view_as.default", relu(x), y), "0 on axes [0] unless nz(%relu)[i0 // 6, i0 % 6]", y=real(24)
    ),
    of_relu("ravel.default", facts=("0 on axes [0] unless nz(%relu)[i0 // 6, i0 % 6]",)),
    of_rows("unflatten.int", 0, (2, 2), facts=("0 on axes [0, 1] unless nz(%m)[2*i0 + i1]; needs finite %x",)),
    row(lambda x, m: call("flatten.using_ints", rows(x, m), 1, 2), KEPT, **SEQUENCE),
    row(lambda x: call("squeeze.default", relu(x)), "0 on axes [0, 1] unless nz(%relu)[i0, 0, i1]", x=real(4, 1, 6)),
    row(lambda x: call("squeeze.dim", relu(x), 1), "0 on axes [0, 1] unless nz(%relu)[i0, 0, i1]", x=real(4, 1, 6)),
    row(lambda x: call("squeeze.dim", relu(x), 0), "0 on axes [0, 2] unless nz(%relu)[i0, 0, i1]", x=real(4, 1, 6)),
    row(lambda x: call("squeeze.dims", relu(x), (1, 2)), "0 on axes [0] unless nz(%relu)[i0, 0, 0]", x=real(4, 1, 1)),
    of_relu("t.default", facts=("0 on axes [1, 0] unless nz(%relu)",)),
    row(lambda x: call("t.default", relu(x)), "0 on axes [0] unless nz(%relu)", x=real(4)),
    row(lambda x, m: call("mT.default", rows(x, m)), KEPT, **SEQUENCE),
    of_relu("broadcast_to.default", (3, 4, 6), facts=("0 on axes [1, 2] unless nz(%relu)",)),
    row(lambda x, y: call("expand_as.default", relu(x), y), "0 on axes [0] unless nz(%relu)[i0, 0]", x=real(4, 1)),
    row(lambda x, y: call("copy.default", y, relu(x)), ALL),
    row(lambda x: call("chunk.default", relu(x), 2, 1)[1], "0 on axes [0, 1] unless nz(%relu)[i0, i1 + 3]"),
    row(
        lambda x: call("split_with_sizes.default", relu(x), (1, 3, 2), 1)[2],
        "0 on axes [0, 1] unless nz(%relu)[i0, i1 + 4]",
    ),
    row(lambda x: call("tensor_split.sections", relu(x), 4, 1)[1], "0 on axes [0, 1] unless nz(%relu)[i0, i1 + 2]"),
    of_relu("narrow.default", 1, 2, 3, facts=("0 on axes [0, 1] unless nz(%relu)[i0, i1 + 2]",)),
    row(lambda x, m: call("upsample_nearest1d.vec", rows(x, m), None, (2.0,)), KEPT, **SEQUENCE),
    row(
        lambda x, m: call("upsample_nearest3d.vec", relu(x), None, (2.0, 2.0, 4.0)),
        "0 on axes [0, 1, 2, 3, 4] unless nz(%relu)[i0, i1, i2 // 2, i3 // 2, i4 // 4]",
        **VOLUME,
    ),
    row(
        lambda x, m: call("masked_fill.Tensor", x, call("unsqueeze.default", m, 1), call("sum.default", x)),
        "%sum on axes [0] unless not nz(%m)",
        x=real(4, 6),
    ),
    row(
        lambda x, m, o: call("masked_fill.Tensor", x, call("unsqueeze.default", m, 1), o),
        "%o on axes [0] unless not nz(%m)",
        o=real(),
    ),
    row(
        lambda x, m, o: call(
            "masked_fill.Tensor", rows(x, m), call("unsqueeze.default", m, 1), call("zeros_like.default", o)
        ),
        "0; needs finite %x",
        "%zeros_like on axes [0] unless not nz(%m)",
        o=real(),
    ),
    of_rows(
        "constant_pad_nd.default",
        (0, 1, 2, 0),
        facts=("0 on axes [0, 1] unless nz(%m)[i0 - 2] and i0 >= 2 and i1 < 6; needs finite %x",),
    ),
    row(
        lambda x, m, i: call("index_fill.int_Scalar", rows(x, m), 0, i, 0.0),
        "0 on axes [0] unless nz(%m) and %i[0] != i0; needs finite %x",
        i=below(4, 1),
    ),
    row(
        lambda x, m, i: call("index_fill.int_Scalar", rows(x, m), 0, i, 1.0),
        "1 on axes [0] unless %i[0] != i0",
        "0 on axes [0] unless nz(%m) or %i[0] == i0; needs finite %x",
        i=below(4, 1),
    ),
    row(lambda x, m, i: call("index_fill.int_Scalar", rows(x, m), 0, i, 0.0), i=below(4, 2)),
    row(lambda x: call("new_full.default", x, (4, 6), 2.0), "2"),
    row(lambda x: call("new_ones.default", x, (4, 6)), "1"),
    row(lambda x: call("new_zeros.default", x, (4, 6)), "0"),
    row(lambda x: call("ones_like.default", x), "1"),
]
