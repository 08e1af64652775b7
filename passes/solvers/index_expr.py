"""A tensor as a function of its own indices, as far as that can be seen.

    mask[b, h, q, k] = (k <= q) and nz(attention_mask[b, k])

Expressions are canonical and hashable: two ways to write the same mask give equal expressions, so that all its
consumers share one domain. A leaf that cannot be seen through is `Element(source, indices)`, the source being
anything hashable with an `order` given by the caller. Pure mathematics: no IR, no torch.
"""

import operator
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Axis:
    """The index along axis `number` of the tensor described; 0 or more."""

    number: int


@dataclass(frozen=True)
class Constant:
    """A number or truth value."""

    value: bool | int | float


@dataclass(frozen=True)
class Element:
    """One element of a tensor that is not seen through; `boolean` when its elements are truth values."""

    source: Hashable
    indices: tuple["Expr", ...]
    boolean: bool


@dataclass(frozen=True)
class Apply:
    """A known function of expressions; `and` and `or` hold two or more different operands in a fixed order."""

    name: str
    operands: tuple["Expr", ...]


Expr: TypeAlias = Axis | Constant | Element | Apply

TRUE, FALSE = Constant(True), Constant(False)
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge, "eq": operator.eq, "ne": operator.ne,
}  # fmt: skip
ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul,
}  # fmt: skip
MIRRORED = {"gt": "lt", "ge": "le"}


def is_boolean(e: Expr) -> bool:
    """Is this a truth value?"""
    match e:
        case Constant(value):
            return isinstance(value, bool)
        case Element():
            return e.boolean
        case Apply(name, _):
            return name in COMPARISONS or name in ("and", "or", "not", "nz")
        case _:
            return False


def apply(name: str, *operands: Expr) -> Expr:
    """name(operands), simplified.

    Names: comparisons, add, sub, mul, and, or, not, nz (is not zero), where, number (an integer in another type).
    """
    match name:
        case "and" | "or":
            return junction(name, operands)
        case "not":
            return negation(operands[0])
        case "nz":
            return truth(operands[0])
        case "number":
            return as_number(operands[0])
        case "where":
            return choice(*operands)
    if name in MIRRORED:
        return apply(MIRRORED[name], operands[1], operands[0])
    if name in COMPARISONS:
        return comparison(name, *operands)
    return arithmetic(name, *operands)


def junction(name: str, operands: Iterable[Expr]) -> Expr:
    """Conjunction or disjunction: flat, each operand once, in a fixed order, neutral ones gone."""
    neutral, absorbing = (TRUE, FALSE) if name == "and" else (FALSE, TRUE)
    flat: dict[Expr, None] = {}
    for e in operands:
        parts = e.operands if isinstance(e, Apply) and e.name == name else (truth(e),)
        flat.update(dict.fromkeys(p for p in parts if p != neutral))
    if absorbing in flat or any(negation(e) in flat for e in flat):
        return absorbing
    kept = sorted(flat, key=show)
    return neutral if not kept else kept[0] if len(kept) == 1 else Apply(name, tuple(kept))


def negation(e: Expr) -> Expr:
    """not e"""
    match truth(e):
        case Constant(value):
            return Constant(not value)
        case Apply("not", (inner,)):
            return inner
        case Apply("lt", (a, b)):
            return Apply("not", (Apply("lt", (a, b)),)) if floats(a, b) else Apply("le", (b, a))
        case Apply("le", (a, b)):
            return Apply("not", (Apply("le", (a, b)),)) if floats(a, b) else Apply("lt", (b, a))
        case known:
            return Apply("not", (known,))


def floats(*operands: Expr) -> bool:
    """May one of these be NaN, so that not (a < b) is not b <= a? Only indices and integers cannot."""
    return not all(map(is_index, operands))


def is_index(e: Expr) -> bool:
    """Is this made of indices and integers only?"""
    match e:
        case Axis():
            return True
        case Constant(value):
            return isinstance(value, int)
        case Apply("add" | "sub" | "mul", operands):
            return all(map(is_index, operands))
        case _:
            return False


def truth(e: Expr) -> Expr:
    """e is not zero (NaN is not zero)."""
    match e:
        case Constant(value):
            return Constant(bool(value))
        case Apply("where", (c, a, b)) if isinstance(a, Constant) and isinstance(b, Constant):
            return choice(c, truth(a), truth(b))
        case Apply("number", (inner,)):
            return truth(inner)
        case _:
            return e if is_boolean(e) else Apply("nz", (e,))


def as_number(e: Expr) -> Expr:
    """An integer or truth value as a number of another type: zero where it was zero."""
    return e if isinstance(e, Constant) or is_index(e) or is_constant_choice(e) else Apply("number", (e,))


def is_mask(e: Expr) -> bool:
    """Is this a mask: a truth value, perhaps as a number, or a choice between constants?"""
    return is_boolean(e) or is_constant_choice(e) or (isinstance(e, Apply) and e.name == "number")


def choice(c: Expr, a: Expr, b: Expr) -> Expr:
    """a where c, else b"""
    match truth(c):
        case Constant(value):
            return a if value else b
        case _ if a == b:
            return a
        case known if (a, b) == (TRUE, FALSE):
            return known
        case known if (a, b) == (FALSE, TRUE):
            return negation(known)
        case Apply("not", (inner,)):
            return Apply("where", (inner, b, a))
        case known:
            return Apply("where", (known, a, b))


def comparison(name: str, a: Expr, b: Expr) -> Expr:
    """a < b, a <= b, a == b or a != b"""
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(COMPARISONS[name](a.value, b.value))
    if (apart := difference(a, b)) is not None:
        return Constant(COMPARISONS[name](apart, 0))
    if name == "le" and isinstance(a, Constant) and a.value <= 0 and at_least_zero(b):
        return TRUE
    if name == "lt" and isinstance(b, Constant) and b.value <= 0 and at_least_zero(a):
        return FALSE
    if name in ("eq", "ne"):
        return equality(name, *((b, a) if isinstance(a, Constant) else (a, b)))
    return Apply(name, (a, b))


def difference(a: Expr, b: Expr) -> int | None:
    """a - b where that is one number, both being sums of indices: q + 2 - q is 2"""
    left, right = linear(a), linear(b)
    if left is None or right is None:
        return None
    left.subtract(right)
    apart = left.pop(None, 0)
    return None if any(left.values()) else apart


def linear(e: Expr) -> Counter[int | None] | None:
    """A sum of indices as how often each occurs, the number that is added under None; None for anything else."""
    match e:
        case Axis(number):
            return Counter({number: 1})
        case Constant(value) if isinstance(value, int):
            return Counter({None: int(value)})
        case Apply("add" | "sub" as name, (a, b)) if (left := linear(a)) is not None and (
            right := linear(b)
        ) is not None:
            (left.update if name == "add" else left.subtract)(right)
            return left
        case Apply("mul", (a, Constant(value))) if isinstance(value, int) and (inner := linear(a)) is not None:
            return Counter({atom: count * value for atom, count in inner.items()})
        case _:
            return None


def equality(name: str, a: Expr, b: Expr) -> Expr:
    """a == b or a != b; against 0 this is `nz`, and a truth value equals 1 where it holds"""
    if isinstance(b, Constant) and not is_index(a) and (b.value == 0 or (is_boolean(a) and b.value == 1)):
        differs_from_zero = (name == "ne") == (b.value == 0)
        return truth(a) if differs_from_zero else negation(a)
    return Apply(name, (a, b))


def at_least_zero(e: Expr) -> bool:
    """Indices are; so are sums and products of what is. (Infinity times an index is NaN at index 0.)"""
    match e:
        case Axis():
            return True
        case Constant(value):
            return 0 <= value < float("inf")
        case Apply("add" | "mul", operands):
            return all(map(at_least_zero, operands))
        case _:
            return False


def arithmetic(name: str, a: Expr, b: Expr) -> Expr:
    """a + b, a - b, a * b; a choice between constants is computed inside the choice"""
    if isinstance(a, Constant) and isinstance(b, Constant):
        return Constant(ARITHMETIC[name](a.value, b.value))
    if isinstance(b, Constant) and b.value == 0 and name in ("add", "sub") and not is_boolean(a):
        return a
    if isinstance(a, Constant) and a.value == 0 and name == "add" and not is_boolean(b):
        return b
    if name == "mul" and isinstance(a, Constant):
        a, b = b, a
    for chosen, constant, wrap in ((a, b, lambda x: arithmetic(name, x, b)), (b, a, lambda x: arithmetic(name, a, x))):
        if isinstance(chosen, Apply) and chosen.name == "number" and is_boolean(chosen.operands[0]):
            chosen = chosen.operands[0]
        if isinstance(constant, Constant) and (is_boolean(chosen) or is_constant_choice(chosen)):
            if is_boolean(chosen):
                return choice(chosen, wrap(Constant(1)), wrap(Constant(0)))
            assert isinstance(chosen, Apply)
            return choice(chosen.operands[0], wrap(chosen.operands[1]), wrap(chosen.operands[2]))
    return Apply(name, (a, b))


def is_constant_choice(e: Expr) -> bool:
    """where(c, number, number)?"""
    return isinstance(e, Apply) and e.name == "where" and all(isinstance(x, Constant) for x in e.operands[1:])


def substitute(e: Expr, axes: Callable[[int], Expr]) -> Expr:
    """`e` with every index replaced: the same tensor, read at other indices."""
    match e:
        case Axis(number):
            return axes(number)
        case Element(source, indices, boolean):
            return Element(source, tuple(substitute(i, axes) for i in indices), boolean)
        case Apply(name, operands):
            return apply(name, *(substitute(o, axes) for o in operands))
        case _:
            return e


def axes_of(e: Expr) -> frozenset[int]:
    """The indices that `e` depends on."""
    match e:
        case Axis(number):
            return frozenset((number,))
        case Element(_, parts, _) | Apply(_, parts):
            return frozenset().union(*map(axes_of, parts))
        case _:
            return frozenset()


def sources_of(e: Expr) -> frozenset[Hashable]:
    """The tensors that `e` reads."""
    match e:
        case Element(source, parts, _):
            return frozenset((source,)).union(*map(sources_of, parts))
        case Apply(_, parts):
            return frozenset().union(*map(sources_of, parts))
        case _:
            return frozenset()


def conjuncts(e: Expr) -> tuple[Expr, ...]:
    """The operands of a conjunction; nothing for what always holds."""
    if e == TRUE:
        return ()
    return e.operands if isinstance(e, Apply) and e.name == "and" else (e,)


SYMBOLS = {"lt": "<", "le": "<=", "eq": "==", "ne": "!=", "add": "+", "sub": "-", "mul": "*", "and": "and", "or": "or"}


def show(e: Expr, axis: Callable[[int], str] = "x{}".format, source: Callable[[Hashable], str] = str) -> str:
    """`e` as text; it is also the order of operands, so sources need texts that stay the same from run to run."""
    match e:
        case Axis(number):
            return axis(number)
        case Constant(value):
            return str(value)
        case Element(tensor, indices, _):
            return f"{source(tensor)}[{', '.join(show(i, axis, source) for i in indices)}]"
        case Apply(name, operands) if name in SYMBOLS:
            return "(" + f" {SYMBOLS[name]} ".join(show(o, axis, source) for o in operands) + ")"
        case Apply(name, operands):
            return f"{name}({', '.join(show(o, axis, source) for o in operands)})"
