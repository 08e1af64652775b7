"""Size expressions, as the types of the IR hold them: `evaluate("2*s0 + 1", {"s0": 3}) == 7`."""

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
FUNCTIONS: dict[str, Callable[..., int]] = {
    "Max": max,
    "Min": min,
    "Mod": operator.mod,
    "FloorDiv": operator.floordiv,
    "CleanDiv": operator.floordiv,
}


def evaluate(expression: str, sizes: Mapping[str, int]) -> int | None:
    """The size, or None where a symbol is not in `sizes` or the text is no expression in whole numbers."""
    try:
        return value(parse(expression), sizes)
    except (KeyError, SyntaxError, ZeroDivisionError):
        return None


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
