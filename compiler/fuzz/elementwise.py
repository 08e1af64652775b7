"""Ops on each number alone: functions that make zeros, functions that make none, arithmetic, comparisons."""

from collections.abc import Sequence

from .model import Type
from .op import Op
from .shapes import broadcast, into_first, same, together

ZEROS = {
    "relu": Op("{0}.relu()", same, weight=3),
    "squared relu": Op("{0}.relu().square()", same),
    "hardshrink": Op(
        "functional.hardshrink({0}, {p})",
        same,
        parameters=("0.5", "0.0"),
        clears="torch.where({0}.abs() <= {p}, 0.0, {0})",
        when="export",
    ),
    "threshold": Op("functional.threshold({0}, {p})", same, parameters=("0.0, 0.0", "0.3, 0.0", "0.3, 0.7")),
    "hardtanh": Op("functional.hardtanh({0}, {p})", same, parameters=("0.0, 1.0", "-1.0, 1.0", "0.5, 1.0")),
    "clamp": Op("{0}.clamp({p})", same, parameters=("min=0.0", "max=0.0", "min=-1.0, max=1.0")),
    "dropout": Op(
        "functional.dropout({0}, {p})",
        same,
        parameters=("0.5, False", "0.0, True"),
        clears="{0}.clone()",
        when="export",
    ),
    "random dropout": Op("functional.dropout({0}, 0.5, True)", same, weight=0.2),
}
"""Functions that make zeros of numbers, or may in training."""

SMOOTH = {
    name: Op(code, same, weight=0.7)
    for name, code in {
        "gelu": "functional.gelu({0})",
        "silu": "functional.silu({0})",
        "tanh": "{0}.tanh()",
        "sigmoid": "{0}.sigmoid()",
        "exp": "{0}.clamp(-3.0, 3.0).exp()",
        "cos": "{0}.cos()",
        "softplus": "functional.softplus({0})",
        "elu": "functional.elu({0})",
        "leaky relu": "functional.leaky_relu({0})",
        "abs": "{0}.abs()",
        "neg": "-{0}",
        "square": "{0}.square()",
        "root": "{0}.abs().sqrt()",
        "log1p": "{0}.abs().log1p()",
        "reciprocal": "1.0 / (1.0 + {0}.abs())",
        "inverse": "1.0 / {0}",
        "sign": "{0}.sign()",
        "round": "{0}.round()",
        "plus one": "{0} + 1.0",
        "one minus": "1.0 - {0}",
        "half": "{0} * 0.5",
        "times zero": "{0} * 0.0",
        "nan to num": "{0}.nan_to_num()",
        "clone": "{0}.clone()",
        "contiguous": "{0}.contiguous()",
        "detach": "{0}.detach()",
        "through float32": "{0}.to(torch.float32).to({dtype})",
    }.items()
}

BOTH = "torch.where(({a} != 0) & ({1} != 0), {a} * {1}, 0.0)"
"""A product that is zero where a factor is."""

ARITHMETIC = {
    "add": Op("{0} + {1}", together, 2, weight=5),
    "mul": Op("{0} * {1}", together, 2, weight=3, clears=BOTH.replace("{a}", "{0}"), when="gate"),
    "sub": Op("{0} - {1}", together, 2, weight=1.5),
    "div": Op("{0} / ({1}.abs() + 0.5)", together, 2),
    "plain div": Op("{0} / {1}", together, 2, weight=0.3),
    "maximum": Op("torch.maximum({0}, {1})", together, 2),
    "minimum": Op("torch.minimum({0}, {1})", together, 2, weight=0.5),
    "gated": Op("{0}.relu() * {1}", together, 2, weight=2, clears=BOTH.replace("{a}", "{0}.relu()"), when="gate"),
    "lerp": Op("torch.lerp({0}, {1}, 0.3)", together, 2, weight=0.5),
    "addcmul": Op("torch.addcmul({0}, {0}, {1}, value=0.5)", together, 2, weight=0.5),
}

WRITING = {
    "relu_": Op("{0}.relu_()", same, weight=0.4, writes=True),
    "scale_": Op("{0}.{p}", same, parameters=("mul_(0.5)", "add_(1.0)", "zero_()"), weight=0.4, writes=True),
    "add_": Op("{0}.add_({1})", into_first, 2, weight=0.6, writes=True),
    "copy_": Op("{0}.copy_({1})", into_first, 2, weight=0.2, writes=True),
}
"""Ops that write their first operand."""


def compared(types: Sequence[Type], parameter: str) -> Type | None:
    """x > 0 of floats, or n != 0 of whole numbers: truth values"""
    kinds = {type.kind for type in types}
    dims = types[0].dims if len(types) == 1 else broadcast(types[0].dims, types[1].dims)
    return Type("bool", dims, types[0].mask) if dims and len(kinds) == 1 and kinds != {"bool"} else None


def numbers(types: Sequence[Type], parameter: str) -> Type | None:
    """truth values and whole numbers as floats"""
    return Type("float", types[0].dims, types[0].mask) if types[0].kind != "float" else None


COMPARISONS = {
    "compare": Op("{0} {p}", compared, parameters=("> 0", ">= 0", "!= 0", "< 1")),
    "isnan": Op("{0}.isnan()", compared, weight=0.2),
    "greater": Op("{0} > {1}", compared, 2, weight=0.7),
    "as numbers": Op("{0}.to({dtype})", numbers, weight=2),
    "spikes": Op("({0} > {p}).to({dtype})", same, parameters=("0", "0.5")),
}

ELEMENTWISE = ZEROS | SMOOTH | ARITHMETIC | WRITING | COMPARISONS
