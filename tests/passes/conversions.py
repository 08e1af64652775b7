"""Functions before and after a conversion; names of values do not matter."""

from gossamer.compiler.context import parse_text
from gossamer.compiler.pipeline import parse_passes
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp


def converted(name: str, text: str) -> ModuleOp:
    """The module of `text` after the pass `name`, which may leave types that do not fit yet."""
    module = parse_text(text)
    for step in parse_passes(name):
        step.apply(Context(), module)
    return module


def ops(module: ModuleOp) -> list[str]:
    """Names of the ops inside the module's functions, in order."""
    return [op.name for op in module.walk() if op.name not in ("builtin.module", "func.func", "llvm.func")]


def check(name: str, before: str, after: str) -> None:
    """The pass makes `after` of `before`."""
    found, expected = converted(name, before), parse_text(after)
    for module in (found, expected):
        for op in module.walk():
            for value in (*op.results, *(a for region in op.regions for block in region.blocks for a in block.args)):
                value.name_hint = None
    assert str(found) == str(expected)
