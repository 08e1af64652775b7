"""Arguments of models: what they are called, and how their values are made, as torch code.

"keep": bool (b, s)        "right": torch.arange(s) < torch.randint(1, s + 1, (b, 1))
"x": float (b, s, 8)       "odd": normal numbers, one in ten of them NaN, Inf, -Inf or -0.0
"""

from .model import Type

ARGUMENTS: dict[str, Type] = {
    "keep": Type("bool", ("b", "s"), mask=True),
    "other": Type("bool", ("b", "s"), mask=True),
    "count": Type("int", ("b", "s"), mask=True),
    "share": Type("float", ("b", "s"), mask=True),
    "keep_y": Type("bool", ("b", "t"), mask=True),
    "whole": Type("bool", ("b",), mask=True),
    "columns": Type("bool", ("8",), mask=True),
    "ids": Type("int", ("b", "s")),
    "x": Type("float", ("b", "s", "8")),
    "z": Type("float", ("b", "s", "8")),
    "y": Type("float", ("b", "t", "8")),
    "vector": Type("float", ("b", "8")),
}
"""Masks first: what floats hold may depend on them."""

PATTERNS: dict[str, str] = {
    "right": "torch.arange({n}) < torch.randint(1, {n} + 1, (b, 1))",
    "left": "torch.arange({n}) >= torch.randint(0, {n}, (b, 1))",
    "holes": "torch.rand(b, {n}) < 0.5",
    "full": "torch.ones(b, {n}, dtype=torch.bool)",
    "one token": "torch.arange(b * {n}).view(b, {n}) == torch.randint(0, b * {n}, ())",
    "an empty sequence": "(torch.rand(b, {n}) < 0.7) & (torch.arange(b) > 0)[:, None]",
    "empty": "torch.zeros(b, {n}, dtype=torch.bool)",
}
"""Which positions of sequences of length {n} are real."""

CHOICES: dict[str, str] = {
    "some": "torch.rand({shape}) < 0.6",
    "full": "torch.ones({shape}, dtype=torch.bool)",
    "empty": "torch.zeros({shape}, dtype=torch.bool)",
}
"""Masks over one axis."""

NUMBERS: dict[str, str] = {
    "normal": "torch.randn({shape}, dtype={dtype})",
    "whole": "torch.randint(-2, 3, ({shape}), dtype={dtype})",
    "large": "100 * torch.randn({shape}, dtype={dtype})",
    "zero rows": "torch.randn({shape}, dtype={dtype}) * (torch.rand({rows}) < 0.5)[..., None]",
    "negative zeros": "torch.randn({shape}, dtype={dtype}).where(torch.rand({shape}) < 0.7, -0.0)",
    "nan": 'torch.randn({shape}, dtype={dtype}).where(torch.rand({shape}) < 0.95, float("nan"))',
    "infinite": 'torch.randn({shape}, dtype={dtype}).where(torch.rand({shape}) < 0.95, float("-inf"))',
    "nan rows": 'torch.randn({shape}, dtype={dtype}).where((torch.rand({rows}) < 0.7)[..., None], float("nan"))',
}
"""What floats hold."""

ODD = frozenset({"nan", "infinite", "nan rows"})
"""Those that hold NaN or infinity."""

IDS = {
    "random": "torch.randint(0, 10, (b, s))",
    "equal": "torch.full((b, s), 3)",
    "zero": "torch.zeros(b, s, dtype=torch.int64)",
}


def choices(name: str) -> tuple[str, ...]:
    """How the values of an argument may be made, from the plainest on."""
    kind = ARGUMENTS[name]
    if name == "ids":
        return tuple(IDS)
    if not kind.mask:
        return tuple(NUMBERS)
    return tuple(PATTERNS if len(kind.dims) == 2 else CHOICES)


def code(name: str, choice: str, dtype: str) -> str:
    """The expression that makes the values of argument `name`."""
    kind = ARGUMENTS[name]
    shape, rows = ", ".join(kind.dims), ", ".join(kind.dims[:-1])
    if name == "ids":
        return IDS[choice]
    if not kind.mask:
        return NUMBERS[choice].format(shape=shape, rows=rows, dtype=f"torch.{dtype}")
    text = PATTERNS[choice].format(n=kind.dims[1]) if len(kind.dims) == 2 else CHOICES[choice].format(shape=shape)
    return {"bool": text, "int": f"({text}).long()", "float": f"({text}).to(torch.{dtype})"}[kind.kind]
