"""Programs before and after a pass, with short names for the types that they have in common.

FULL    [b, s, 8] of f32        ROWS   its compact form       DOMAIN  positions of [b, s]
WORDS   [b, s] of i64           KEEP   [b, s] of i1           POOLED  [b, 8] of f32
"""

from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.pipeline import run_pipeline
from xdsl.dialects.builtin import ModuleOp

TYPES = {
    "FULL": 'tensor<?x?x8xf32, #aten.dims<"b", "s", 8>>',
    "HEADS": 'tensor<?x2x?x4xf32, #aten.dims<"b", 2, "s", 4>>',
    "SPLIT": 'tensor<?x?x2x4xf32, #aten.dims<"b", "s", 2, 4>>',
    "TURNED": 'tensor<?x?x8xf32, #aten.dims<"s", "b", 8>>',
    "ROWS_2": "tensor<?x2x4xf32>",
    "ROWS": "tensor<?x8xf32>",
    "FILL": "tensor<1x8xf32>",
    "DOMAIN": '!sparse.domain<"b", "s">',
    "WORDS": 'tensor<?x?xi64, #aten.dims<"b", "s">>',
    "KEEP_1": 'tensor<?x?x1xi1, #aten.dims<"b", "s", 1>>',
    "KEEP": 'tensor<?x?xi1, #aten.dims<"b", "s">>',
    "POOLED": 'tensor<?x8xf32, #aten.dims<"b", 8>>',
    "ACTIVE": '!aten.scalar<int, "active">',
    "WEIGHT": "tensor<8x8xf32>",
    "BIAS": "tensor<8xf32>",
}


def program(text: str) -> ModuleOp:
    """The module that `text` is, its short names written out."""
    for name, written in TYPES.items():
        text = text.replace(name, written)
    return parse_text(text)


def check(passes: str, before: str, after: str) -> None:
    """`passes` make `after` of `before`, and nothing else."""
    module, expected = program(before), program(after)
    run_pipeline(module, passes)
    same = module.is_structurally_equivalent(expected)
    assert same, f"\n{print_module(module)}\n\nexpected\n{print_module(expected)}"


def check_stays(passes: str, text: str) -> None:
    """`passes` leave `text` as it is."""
    check(passes, text, text)
