"""Size expressions, as the types of the IR hold them, and conditions on sizes.

evaluate("2*s0 + 1", {"s0": 3}) == 7            holds("Ne(Mod(s0, 2), 0)", {"s0": 3}) is True
"""

import ast
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache

OPERATORS: dict[type[ast.AST], Callable[..., int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.USub: lambda size: -size,
}
COMPARISONS: dict[type[ast.AST], Callable[[int, int], bool]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge,
    ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip
EQUALITIES: dict[str, Callable[[int, int], bool]] = {"Eq": operator.eq, "Ne": operator.ne}
CONNECTIVES: dict[type[ast.AST], Callable[[bool, bool], bool]] = {ast.BitAnd: operator.and_, ast.BitOr: operator.or_}
"""What sympy prints of conditions, as torch's guards on sizes are: `Eq(a, 3) & ~(a < b)`."""
FUNCTIONS: dict[str, Callable[..., int]] = {
    "Max": max,
    "Min": min,
    "Mod": operator.mod,
    "PythonMod": operator.mod,
    "FloorDiv": operator.floordiv,
    "CleanDiv": operator.floordiv,
}


def evaluate(expression: str, sizes: Mapping[str, int]) -> int | None:
    """The size, or None where a symbol is not in `sizes` or the text is no expression in whole numbers."""
    try:
        return value(parse(expression), sizes)
    except (KeyError, SyntaxError, ZeroDivisionError):
        return None


def holds(condition: str, sizes: Mapping[str, int]) -> bool | None:
    """Whether the condition holds; None where a symbol is not in `sizes` or the text is no condition on sizes."""
    try:
        return truth(parse(condition), sizes)
    except (KeyError, SyntaxError, ZeroDivisionError):
        return None


def truth(node: ast.expr, sizes: Mapping[str, int]) -> bool:
    """Whether a parsed condition holds. Raises KeyError where it is more than comparisons and what connects them."""
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            numbers = [value(part, sizes) for part in (left, *others)]
            return all(COMPARISONS[type(op)](a, b) for op, a, b in zip(ops, numbers, numbers[1:], strict=False))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return EQUALITIES[name](*(value(argument, sizes) for argument in args))
        case ast.BinOp(op=op, left=left, right=right):
            return CONNECTIVES[type(op)](truth(left, sizes), truth(right, sizes))
        case ast.UnaryOp(op=ast.Invert(), operand=operand):
            return not truth(operand, sizes)
    raise KeyError(ast.dump(node))


@lru_cache
def parse(expression: str) -> ast.expr:
    return ast.parse(expression, mode="eval").body


def value(node: ast.expr, sizes: Mapping[str, int]) -> int:
    """The value of a parsed expression. Raises KeyError where it is more than sums, products and `FUNCTIONS`."""
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.Name(id=name):
            return sizes[name]
        case ast.UnaryOp(op=op, operand=operand):
            return OPERATORS[type(op)](value(operand, sizes))
        case ast.BinOp(op=op, left=left, right=right):
            return OPERATORS[type(op)](value(left, sizes), value(right, sizes))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            return FUNCTIONS[name](*(value(argument, sizes) for argument in args))
    raise KeyError(ast.dump(node))
