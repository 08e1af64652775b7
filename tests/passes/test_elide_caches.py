"""Keys and values joined with an empty cache are read where they are, where nothing tells the difference and memory
is not held for it."""

import re

import pytest
import torch
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.pipeline import run_pipeline
from gossamer.runtime.executor import Program
from xdsl.dialects.builtin import ModuleOp

KINDS = {
    "P": "tensor<16x96xf32>", "X": "tensor<16x24xf32>", "W": "tensor<24x96xf32>", "J": "tensor<2x8x96xf32>",
    "S": "tensor<2x8x32xf32>", "H": "tensor<2x8x2x16xf32>", "T": "tensor<2x2x8x16xf32>", "L": "tensor<2x2x8xf32>",
    "E": "tensor<0xf32>", "F": "tensor<2x2x8x8xf32>",
}  # fmt: skip
PROJECTION = """
    %p = aten.call "aten.mm.default"(%x, %w) : (X, W) -> P
    %j = aten.call "aten.view.default"(%p, [2, 8, 96]) : (P) -> J
    %s0, %s1, %s2 = aten.call "aten.split.Tensor"(%j, 32, 2) unpack : (J) -> (S, S, S)"""
HEADS = """
    %h{0} = aten.call "aten.view.default"(%s{0}, [2, 8, 2, 16]) : (S) -> H
    %t{0} = aten.call "aten.transpose.int"(%h{0}, 1, 2) : (H) -> T"""
JOINS = """
    %e = aten.call "aten.lift_fresh_copy.default"(%empty) : (E) -> E
    %k = aten.call "aten.cat.default"([%e, %t1], -2) : (E, T) -> T
    %v = aten.call "aten.cat.default"([%e, %t2], -2) : (E, T) -> T"""
ATTENTION = """
    %y, %l = aten.call "aten._scaled_dot_product_flash_attention_for_cpu.default"(%t0, %k, %v, 0.0, true) unpack
      : (T, T, T) -> (T, L)"""
WHOLE = PROJECTION + "".join(map(HEADS.format, range(3))) + JOINS + ATTENTION

ROTATED = "".join((
    PROJECTION, *map(HEADS.format, range(3)),
    """
    %c = aten.call "aten.cos.default"(%t0) : (T) -> T
    %f1 = aten.call "aten.slice.Tensor"(%t1, -1, 0, 8) : (T) -> F
    %f2 = aten.call "aten.slice.Tensor"(%t1, -1, 8, 16) : (T) -> F
    %n2 = aten.call "aten.neg.default"(%f2) : (F) -> F
    %half = aten.call "aten.cat.default"([%n2, %f1], -1) : (F, F) -> T
    %one = aten.call "aten.mul.Tensor"(%t1, %c) : (T, T) -> T
    %two = aten.call "aten.mul.Tensor"(%half, %c) : (T, T) -> T
    %r1 = aten.call "aten.add.Tensor"(%one, %two) : (T, T) -> T""",
    JOINS.replace("%t1]", "%r1]"), ATTENTION,
))  # fmt: skip


def step(body: str, results: str = "%y", kinds: dict[str, str] = KINDS) -> ModuleOp:
    returned = ", ".join("T" for _ in results.split(","))
    text = f"func.func @step(%x: X, %w: W, %empty: E) -> ({returned}) {{{body}\nfunc.return {results} : {returned}\n}}"
    return parse_text(re.sub(r"\b[A-Z]\b", lambda found: kinds[found[0]], text))


def elided(module: ModuleOp) -> ModuleOp:
    after = module.clone()
    run_pipeline(after, "elide-caches")
    assert print_module(parse_text(print_module(after))) == print_module(after)
    return after


def joins(module: ModuleOp) -> int:
    return print_module(module).count("aten.cat.default")


def test_parts_of_one_projection_are_read_where_they_are():
    module = step(WHOLE)
    after = elided(module)
    assert joins(after) == 0
    assert "lift_fresh_copy" not in print_module(after)
    given = [torch.randn(16, 24), torch.randn(24, 96), torch.empty(0)]
    (found,), (expected,) = (Program.build(each, {}, "step")(given) for each in (after, module))
    assert torch.equal(found, expected)


def test_what_was_rotated_is_read_where_it_is():
    module = step(ROTATED)
    after = elided(module)
    assert joins(after) == joins(module) - 1, "values are parts of a projection that would be held for them"
    given = [torch.randn(16, 24), torch.randn(24, 96), torch.empty(0)]
    (found,), (expected,) = (Program.build(each, {}, "step")(given) for each in (after, module))
    assert torch.equal(found, expected)


APART = {
    "the copy is returned": (WHOLE, {"results": "%y, %k, %v"}),
    "others read it": (
        WHOLE + '\n%z = aten.call "aten.neg.default"(%k) : (T) -> T\n%u = aten.call "aten.neg.default"(%v) : (T) -> T',
        {"results": "%y, %z, %u"},
    ),
    "a larger tensor would be held": (
        WHOLE.replace("(%t0, %k, %v", "(%n, %k, %v").replace(
            "%e = ", '%n = aten.call "aten.neg.default"(%t0) : (T) -> T\n%e = '
        ),
        {},
    ),
    "its memory is written": (
        WHOLE + '\n%z = aten.call mutates "aten.neg_.default"(%p) : (P) -> P',
        {},
    ),
    "neighbours are apart": (
        PROJECTION
        + "".join(map(HEADS.format, range(3)))
        + JOINS.replace("%t1]", "%q1]").replace("%t2]", "%q2]").replace(
            "%k = ",
            "".join(
                f'%r{n} = aten.call "aten.view.default"(%t{n}, [2, 2, 16, 8]) : (T) -> tensor<2x2x16x8xf32>\n'
                f'%q{n} = aten.call "aten.transpose.int"(%r{n}, 2, 3) : (tensor<2x2x16x8xf32>) -> T\n'
                for n in (1, 2)
            )
            + "%k = ",
        )
        + ATTENTION,
        {},
    ),
    "what is joined is no product": (WHOLE.replace("(%p, [2, 8, 96]) : (P)", "(%o, [2, 8, 96]) : (P)").replace(
        "%j = ", '%o = aten.call "aten.cumsum.default"(%p, 0) : (P) -> P\n%j = '), {}),
    "another tensor says how it lies": (ROTATED.replace("(%t1, %c)", "(%c, %t1)"), {}),
    "every second is taken": (
        ROTATED.replace("-1, 0, 8)", "-1, 0, 16, 2)").replace("(%one, %two)", "(%two, %one)"),
        {},
    ),
    "rows begin anywhere": (
        WHOLE,
        {"kinds": {**KINDS, "H": "tensor<2x8x2x17xf32>", "T": "tensor<2x2x8x17xf32>", "S": "tensor<2x8x34xf32>",
                   "J": "tensor<2x8x102xf32>", "P": "tensor<16x102xf32>", "W": "tensor<24x102xf32>"}},
    ),
    "a cache that is not empty": (WHOLE, {"kinds": {**KINDS, "E": "tensor<2x2x1x16xf32>"}}),
}  # fmt: skip


@pytest.mark.parametrize(("body", "options"), APART.values(), ids=APART)
def test_what_is_copied_still(body: str, options: dict):
    module = step(body, **options)
    assert print_module(elided(module)) == print_module(module)


def test_a_projection_is_not_held_for_two_of_its_parts():
    after = elided(step(WHOLE + '\n%z = aten.call "aten.neg.default"(%k) : (T) -> T', "%y, %z"))
    assert joins(after) == 2
