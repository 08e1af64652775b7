"""Dense products become launches of one kernel, where sizes and dtypes let them; all else stays."""

import pytest
import torch
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.exact import ProductOp
from gossamer.runtime import reference
from gossamer.runtime.executor import Program, find
from xdsl.dialects.builtin import ModuleOp

A, B, C, V = "tensor<6x5xf32>", "tensor<5x8xf32>", "tensor<6x8xf32>", "tensor<8xf32>"
PLAIN = f'%c = aten.call "aten.mm.default"(%a, %b) : ({A}, {B}) -> {C}'
BIASED = f'%c = aten.call "aten.addmm.default"(%v, %a, %b) : ({V}, {A}, {B}) -> {C}'


def step(body: str, *, a: str = A, b: str = B, c: str = C, v: str = V) -> ModuleOp:
    return parse_text(f"func.func @step(%v: {v}, %a: {a}, %b: {b}) -> {c} {{\n{body}\nfunc.return %c : {c}\n}}")


def tiled(module: ModuleOp, passes: str = "tile-products{least=1}") -> ModuleOp:
    """The module after the pass."""
    after = module.clone()
    run_pipeline(after, passes)
    return after


@pytest.mark.parametrize("passes", ["tile-products{least=1}", "tile-products{least=1},lower-kernels"])
def test_the_module_is_what_its_text_is(passes: str):
    text = print_module(tiled(step(BIASED), passes))
    assert print_module(parse_text(text)) == text


def products(module: ModuleOp) -> list[str]:
    return [op.text() for op in find(module, "step").walk() if isinstance(op, ProductOp)]


@pytest.mark.parametrize("body", [PLAIN, BIASED], ids=["mm", "addmm"])
def test_a_product_is_a_launch_that_means_it(body: str):
    module = step(body)
    after = tiled(module)
    name, operands = ("addmm", "%x0, %x1, %x2") if body is BIASED else ("mm", "%x0, %x1")
    assert products(after) == [f"%0 = aten.{name}.default({operands}); yield %0"]
    lowered = tiled(module, "tile-products{least=1},lower-kernels")
    given = [torch.randn(8), torch.randn(6, 5), torch.randn(5, 8)]
    (expected,) = Program.build(module, {}, "step")(given)
    for other in (after, lowered):
        assert torch.equal(Program.build(other, {}, "step")(given)[0], expected)
    assert torch.equal(reference.run(after, {}, given, "step")[0], expected)


def test_all_share_a_kernel_and_keep_their_places():
    places = 'attributes {train.phase = "backward", train.layer = 1 : i64}'
    first = PLAIN.replace("%c", "%d").replace("(%a, %b)", f"(%a, %b) {places}")
    after = tiled(step(first + "\n" + BIASED))
    assert len(products(after)) == 2
    assert [op.sym_name.data for op in after.ops if isinstance(op, ModuleOp) and op.sym_name] == ["product"]
    op = find(after, "step").body.block.first_op
    assert op is not None
    assert {name: str(value) for name, value in op.attributes.items()} == {
        "train.phase": '"backward"',
        "train.layer": "1 : i64",
    }


D = {name: kind.replace("f32", "f64") for name, kind in (("a", A), ("b", B), ("c", C), ("v", V))}
APART = {
    "f64": (f'%c = aten.call "aten.mm.default"(%a, %b) : ({D["a"]}, {D["b"]}) -> {D["c"]}', D),
    "sizes known when it runs": (
        f'%c = aten.call "aten.mm.default"(%a, %b) : (tensor<?x5xf32>, {B}) -> tensor<?x8xf32>',
        {"a": "tensor<?x5xf32>", "c": "tensor<?x8xf32>"},
    ),
    "scales": (BIASED.replace("%b)", "%b, alpha = 2)"), {}),
    "a bias for each number": (BIASED.replace(V, C), {"v": C}),
    "one bias for all": (BIASED.replace(V, "tensor<1xf32>"), {"v": "tensor<1xf32>"}),
    "a matrix times itself": (
        '%c = aten.call "aten.mm.default"(%a, %a) : (tensor<6x6xf32>) -> tensor<6x6xf32>',
        {"a": "tensor<6x6xf32>", "c": "tensor<6x6xf32>"},
    ),
    "another op": (f'%c = aten.call "aten.matmul.default"(%a, %b) : ({A}, {B}) -> {C}', {}),
}


@pytest.mark.parametrize(("body", "kinds"), APART.values(), ids=APART)
def test_what_stays(body: str, kinds: dict[str, str]):
    module = step(body, **kinds)
    assert print_module(tiled(module)) == print_module(module)


def test_small_products_stay():
    assert not products(tiled(step(PLAIN), f"tile-products{{least={6 * 5 * 8 + 1}}}"))
    assert products(tiled(step(PLAIN), f"tile-products{{least={6 * 5 * 8}}}"))


def test_a_launch_is_of_a_product():
    text = print_module(tiled(step(PLAIN))).replace("aten.mm.default", "aten.matmul.default")
    with pytest.raises(UserError, match="is mm or addmm, got"):
        parse_text(text)
