"""How a torch call is written down: which argument is an operand, which is a literal.

    aten.index.Tensor(%x, [none, %i])            Template((Ref(0), (None, Ref(1))))
    aten.add.Tensor(%a, %b, alpha = 2)           Template((Ref(0), Ref(1)), (("alpha", 2),))

Literals are Python's own (`None`, `bool`, `int`, `float`, `complex`, `str`), lists are tuples, and torch's
constants are `Name("torch.float32")`; a device is `Name("device", "cpu")`. Two templates are equal when their
texts are, so `1`, `1.0` and `true` differ, and so do `0.0` and `-0.0`.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from xdsl.parser import AttrParser


@dataclass(frozen=True)
class Ref:
    """The operand at `index`."""

    index: int


@dataclass(frozen=True)
class RegionRef:
    """The region at `index`: a function passed to a higher-order op."""

    index: int


@dataclass(frozen=True)
class Name:
    """A constant of torch: a dtype, layout, memory format (`torch.float32`), or a `device("cuda:0")`."""

    text: str
    argument: str | None = None


Literal: TypeAlias = bool | int | float | complex | str | Name | None
Argument: TypeAlias = "Ref | RegionRef | Literal | tuple[Argument, ...]"


@dataclass(frozen=True, eq=False)
class Template:
    """Positional and keyword arguments of one call."""

    args: tuple[Argument, ...] = ()
    kwargs: tuple[tuple[str, Argument], ...] = ()

    @cached_property
    def text(self) -> str:
        """The canonical text, operands by number: `(operand<0>, [768], alpha = 2)`."""
        return self.show(lambda index: f"operand<{index}>")

    def show(self, operand: Callable[[int], str]) -> str:
        """The text with each operand written by `operand`."""
        parts = [show(a, operand) for a in self.args] + [f"{k} = {show(a, operand)}" for k, a in self.kwargs]
        return f"({', '.join(parts)})"

    def refs(self) -> Iterator[int]:
        """Operand indices in the order they are written, repeats included."""
        for argument in (*self.args, *(a for _, a in self.kwargs)):
            yield from refs(argument)

    def map(self, leaf: Callable[[Argument], Argument]) -> "Template":
        """Every leaf (operand, region, literal) replaced by `leaf` of it."""
        return Template(tuple(map_leaves(a, leaf) for a in self.args),
                        tuple((k, map_leaves(a, leaf)) for k, a in self.kwargs))  # fmt: skip

    def get(self, position: int, name: str, default: Argument = None) -> Argument:
        """The argument at `position`, or given by keyword as `name`, or `default`."""
        return self.args[position] if position < len(self.args) else dict(self.kwargs).get(name, default)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def refs(argument: Argument) -> Iterator[int]:
    """Operand indices inside one argument."""
    if isinstance(argument, Ref):
        yield argument.index
    elif isinstance(argument, tuple):
        for item in argument:
            yield from refs(item)


def map_leaves(argument: Argument, leaf: Callable[[Argument], Argument]) -> Argument:
    """`argument` with every leaf replaced."""
    return tuple(map_leaves(a, leaf) for a in argument) if isinstance(argument, tuple) else leaf(argument)


def show(argument: Argument, operand: Callable[[int], str]) -> str:
    """One argument as text that `parse_template` reads back."""
    match argument:
        case Ref(index):
            return operand(index)
        case RegionRef(index):
            return f"region<{index}>"
        case None:
            return "none"
        case bool():
            return "true" if argument else "false"
        case float():
            return show_float(argument)
        case complex():
            return f"complex<{show_float(argument.real)}, {show_float(argument.imag)}>"
        case str():
            return '"' + "".join(map(escaped, argument)) + '"'
        case Name(text, None):
            return text
        case Name(text, inner):
            return f'{text}<"{inner}">'
        case tuple():
            return f"[{', '.join(show(a, operand) for a in argument)}]"
        case _:
            return str(argument)


ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}


def escaped(character: str) -> str:
    """One character of a string literal; control characters as two hexadecimal digits."""
    return ESCAPES.get(character) or (f"\\{ord(character):02X}" if ord(character) < 32 else character)


def show_float(value: float) -> str:
    """The shortest text that gives `value` back bit for bit (one NaN stands for all)."""
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    mantissa, mark, exponent = repr(value).partition("e")
    return (mantissa if "." in mantissa else mantissa + ".0") + mark + exponent


CONSTANTS: dict[str, Literal] = {"none": None, "true": True, "false": False, "inf": math.inf, "nan": math.nan}


def no_operand() -> None:
    """For texts in which operands stand by number only."""


def parse_template(parser: AttrParser, operand: Callable[[], int | None] = no_operand) -> Template:
    """Read `(a, b, key = c)`; `operand` reads one operand and gives its index, or None when there is none."""
    args: list[Argument] = []
    kwargs: list[tuple[str, Argument]] = []

    def entry() -> None:
        value = parse_argument(parser, operand)
        if isinstance(value, Name) and value.argument is None and parser.parse_optional_punctuation("="):
            kwargs.append((value.text, parse_argument(parser, operand)))
        elif kwargs:
            parser.raise_error("a positional argument cannot follow one given by keyword")
        else:
            args.append(value)

    parser.parse_comma_separated_list(parser.Delimiter.PAREN, entry)
    return Template(tuple(args), tuple(kwargs))


def parse_argument(parser: AttrParser, operand: Callable[[], int | None]) -> Argument:
    """Read one argument."""
    if (index := operand()) is not None:
        return Ref(index)
    if (items := parser.parse_optional_comma_separated_list(
            parser.Delimiter.SQUARE, lambda: parse_argument(parser, operand))) is not None:  # fmt: skip
        return tuple(items)
    if (text := parser.parse_optional_str_literal()) is not None:
        return text
    if (number := parse_optional_number(parser)) is not None:
        return number
    word = parser.parse_identifier(" or another argument of a torch call")
    if word in CONSTANTS:
        return CONSTANTS[word]
    if not parser.parse_optional_punctuation("<"):
        return Name(word)
    if word == "operand":
        value: Argument = Ref(parser.parse_integer())
    elif word == "region":
        value = RegionRef(parser.parse_integer())
    elif word == "complex":
        real = parse_float(parser)
        parser.parse_punctuation(",")
        value = complex(real, parse_float(parser))
    else:
        value = Name(word, parser.parse_str_literal())
    parser.parse_punctuation(">")
    return value


def parse_optional_number(parser: AttrParser) -> int | float | None:
    """An integer or a float, `-inf` included; the sign of -0.0 is kept."""
    negative = parser.parse_optional_punctuation("-") is not None
    number = parser.parse_optional_number(allow_boolean=False)
    if number is None:
        if negative:
            parser.parse_keyword("inf")
            return -math.inf
        return None
    return -number if negative else number


def parse_float(parser: AttrParser) -> float:
    """A float; `inf` and `nan` by name."""
    number = parse_optional_number(parser)
    if number is None:
        return math.inf if parser.parse_keyword_in(("inf", "nan")) == "inf" else math.nan
    return float(number)
