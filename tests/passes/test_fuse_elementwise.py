"""Chains of elementwise ops become maps: the same bits, fewer bytes, and nothing that must stay apart is one."""

import re
from collections.abc import Callable

import pytest
import torch
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.exact import MapOp
from gossamer.passes.kernels.primitives import PRIMITIVES
from gossamer.runtime import reference
from gossamer.runtime.bits import same_bits
from gossamer.runtime.executor import Program, find
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import VerifyException

SHAPES = {"T": "tensor<7x5xf32>", "M": "tensor<7x5xi1>", "D": "tensor<7x5xf64>", "R": "tensor<5xf32>"}


def step(body: str, arguments: str = "%x: T, %y: T, %z: T") -> ModuleOp:
    """A step of one function. A line `f %a = mul.Tensor(..) : ..` is a call in the forward pass, `b ..` one in the
    backward pass."""
    lines = []
    for line in body.strip().splitlines():
        phase, _, rest = line.strip().partition(" ")
        if phase in ("f", "b"):
            name, _, call = rest.partition(" = ")
            effect, call = ("mutates ", call[2:]) if call.startswith("! ") else ("", call)
            target, _, others = call.partition("(")
            values, _, types = others.rpartition(" : ")
            word = "forward" if phase == "f" else "backward"
            attributes = f'attributes {{train.phase = "{word}", train.layer = 1 : i64, train.path = "h.1"}}'
            rest = f'{name} = aten.call {effect}"aten.{target}"({values} {attributes} : {types}'
        lines.append(rest if phase in ("f", "b") else line.strip())
    text = f"func.func @step({arguments}) {{\n" + "\n".join(lines) + "\n}"
    returned = text.rpartition(" : ")[2].split("\n")[0]
    text = text.replace(") {\n", f") -> ({returned}) {{\n", 1)
    for short, written in SHAPES.items():
        text = re.sub(rf"\b{short}\b", written, text)
    return parse_text(text)


def fused(module: ModuleOp, passes: str = "fuse-elementwise") -> ModuleOp:
    """The module after the pass, which still is what its text is."""
    after = module.clone()
    run_pipeline(after, passes)
    assert print_module(parse_text(print_module(after))) == print_module(after)
    return after


def maps(module: ModuleOp) -> list[str]:
    """What each map computes."""
    return [op.text() for op in find(module, "step").walk() if isinstance(op, MapOp)]


def check(module: ModuleOp) -> ModuleOp:
    """Before and after the pass, as kernels and as what they mean, the same bits."""
    after = fused(module)
    lowered = fused(module, "fuse-elementwise,lower-kernels")
    types = find(module, "step").function_type.inputs.data
    special = torch.tensor([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-45, -1e-40, 3e38, -3e38])
    for seed in range(3):
        torch.manual_seed(seed)
        given = [torch.rand(7, 5) < 0.5 if "i1" in str(kind) else torch.randn(7, 5) for kind in types]
        for tensor in given if seed else []:
            if tensor.dtype is torch.float32:
                tensor.view(-1)[torch.randperm(35)[:9]] = special
        expected = Program.build(module, {}, "step")(given)
        for other in (after, lowered):
            assert all(map(same_bits, Program.build(other, {}, "step")(given), expected))
        assert all(map(same_bits, reference.run(after, {}, given, "step"), expected))
    return after


def test_a_chain_is_one_loop():
    after = check(
        step("""
        f %a = mul.Tensor(%x, 0.5) : (T) -> T
        f %b = add.Tensor(%a, %y) : (T, T) -> T
        f %c = div.Tensor(%b, %z) : (T, T) -> T
        func.return %c : T""")
    )
    assert maps(after) == [
        "%0 = aten.mul.Tensor(%x0, 0.5); %1 = aten.add.Tensor(%0, %x1); %2 = aten.div.Tensor(%1, %x2); yield %2"
    ]
    (op,) = (op for op in find(after, "step").walk() if isinstance(op, MapOp))
    assert {name: str(value) for name, value in op.attributes.items()} == {
        "train.phase": '"forward"',
        "train.layer": "1 : i64",
        "train.path": '"h.1"',
    }


GELU = """
    f %a = mul.Tensor(%x, 0.5) : (T) -> T
    f %p = pow.Tensor_Scalar(%x, 3.0) : (T) -> T
    f %q = mul.Tensor(%p, 0.044715) : (T) -> T
    f %s = add.Tensor(%x, %q) : (T, T) -> T
    f %i = mul.Tensor(%s, 0.7978845608028654) : (T) -> T
    f %t = tanh.default(%i) : (T) -> T
    f %u = add.Tensor(%t, 1.0) : (T) -> T
    f %h = mul.Tensor(%a, %u) : (T, T) -> T
    b %ga = mul.Tensor(%y, %a) : (T, T) -> T
    b %gu = mul.Tensor(%y, %u) : (T, T) -> T
    b %gt = tanh_backward.default(%ga, %t) : (T, T) -> T
    b %g2 = pow.Tensor_Scalar(%x, 2.0) : (T) -> T
    b %g3 = mul.Tensor(%gt, %g2) : (T, T) -> T
    b %g = add.Tensor(%g3, %gu) : (T, T) -> T
    func.return %h, %g : T, T"""


@pytest.mark.usefixtures("library_tanh")
def test_the_backward_pass_computes_cheap_ops_again_from_what_they_read():
    after = check(step(GELU))
    first, second = maps(after)
    assert first.endswith("%7 = aten.mul.Tensor(%0, %6); yield %7")
    assert "%0 = aten.mul.Tensor(%x0, 0.5); %1 = aten.pow.Tensor_Scalar(%x0, 3.0)" in second
    assert [op.name for op in find(after, "step").body.block.ops] == ["kernel.map", "kernel.map", "func.return"]


def test_without_tanh_it_is_what_is_kept():
    others = ",".join(f'"{name}"' for name in PRIMITIVES if name != "aten.tanh.default")
    after = fused(step(GELU), f"fuse-elementwise{{primitives={others}}}")
    first, second, third = maps(after)
    assert "pow" in first
    assert second.endswith("%2 = aten.mul.Tensor(%0, %1); yield %2")
    assert "%0 = aten.mul.Tensor(%x0, 0.5); %1 = aten.add.Tensor(%x1, 1.0)" in third
    names = [op.name for op in find(after, "step").body.block.ops]
    assert names == ["kernel.map", "aten.call", "kernel.map", "kernel.map", "func.return"]


def test_only_what_is_guessed_is_a_map_alone():
    module = step("f %a = tanh.default(%x) : (T) -> T\nfunc.return %a : T")
    assert not maps(fused(module))
    after = fused(module, 'fuse-elementwise{guessed="aten.tanh.default"}')
    assert maps(after) == ["%0 = aten.tanh.default(%x0); yield %0"]


def test_equal_maps_share_a_kernel():
    lines = [f"f %a{n} = mul.Tensor(%x{n}, %y) : (T, T) -> T\nf %x{n + 1} = neg.default(%a{n}) : (T) -> T\n"
             f"f %t{n} = exp.default(%x{n + 1}) : (T) -> T" for n in range(3)]  # fmt: skip
    after = fused(step("\n".join(lines) + "\nfunc.return %t0, %t1, %t2 : T, T, T", "%x0: T, %y: T"))
    assert len(maps(after)) == 3
    assert [op.sym_name.data for op in after.ops if isinstance(op, ModuleOp) and op.sym_name] == ["elementwise_0"]


def test_masks_and_comparisons():
    after = check(
        step(
            """
        f %c = gt.Tensor(%x, %y) : (T, T) -> M
        f %w = where.self(%c, %x, %y) : (M, T, T) -> T
        f %r = relu.default(%w) : (T) -> T
        f %k = masked_fill.Scalar(%r, %m, -1.0) : (T, M) -> T
        f %t = threshold_backward.default(%k, %w, 0) : (T, T) -> T
        f %n = ne.Scalar(%t, 0.0) : (T) -> M
        func.return %t, %n : T, M""",
            "%x: T, %y: T, %m: M",
        )
    )
    assert [text.count(" = ") for text in maps(after)] == [5]


APART = {
    "phases": """
        f %a = mul.Tensor(%x, %y) : (T, T) -> T
        b %b = mul.Tensor(%a, %z) : (T, T) -> T
        func.return %b : T""",
    "what is returned": """
        f %a = mul.Tensor(%x, %y) : (T, T) -> T
        f %b = mul.Tensor(%a, %z) : (T, T) -> T
        func.return %a, %b : T, T""",
    "functions of libraries": """
        f %a = exp.default(%x) : (T) -> T
        f %b = mul.Tensor(%a, %z) : (T, T) -> T
        func.return %b : T""",
    "writes in place": """
        f %a = mul.Tensor(%x, %y) : (T, T) -> T
        f %w = ! add_.Tensor(%x, 1.0) : (T) -> T
        f %b = mul.Tensor(%a, %z) : (T, T) -> T
        func.return %b : T""",
    "a scale": """
        f %a = add.Tensor(%x, %y, alpha = 2) : (T, T) -> T
        f %b = mul.Tensor(%a, %z) : (T, T) -> T
        func.return %b : T""",
    "other exponents": """
        f %a = pow.Tensor_Scalar(%x, 0.5) : (T) -> T
        f %b = mul.Tensor(%a, %z) : (T, T) -> T
        func.return %b : T""",
    "infinite numbers": """
        f %a = mul.Tensor(%x, inf) : (T) -> T
        f %b = mul.Tensor(%a, 1.0e300) : (T) -> T
        func.return %b : T""",
    "one op": """
        f %a = mul.Tensor(%x, %y) : (T, T) -> T
        func.return %a : T""",
}


@pytest.mark.parametrize("body", APART.values(), ids=APART)
def test_what_stays_apart(body: str):
    module = step(body)
    assert print_module(fused(module)) == print_module(module)


def test_other_shapes_types_and_strides_stay_apart():
    broadcast = """
        f %a = mul.Tensor(%x, %r) : (T, R) -> T
        f %b = mul.Tensor(%a, %x) : (T, T) -> T
        func.return %b : T"""
    double = """
        f %a = mul.Tensor(%d, %d) : (D) -> D
        f %b = mul.Tensor(%a, 2.0) : (D) -> D
        func.return %b : D"""
    turned = """
        f %t = transpose.int(%x, 0, 1) : (T) -> tensor<5x7xf32>
        f %a = mul.Tensor(%t, 2.0) : (tensor<5x7xf32>) -> tensor<5x7xf32>
        f %b = mul.Tensor(%a, 2.0) : (tensor<5x7xf32>) -> tensor<5x7xf32>
        func.return %b : tensor<5x7xf32>"""
    for body, arguments in ((broadcast, "%x: T, %r: R"), (double, "%d: D"), (turned, "%x: T")):
        assert not maps(fused(step(body, arguments)))


def test_only_primitives_that_are_allowed():
    module = step(GELU)
    assert not maps(fused(module, 'fuse-elementwise{primitives="aten.tanh_backward.default"}'))
    without = ",".join(f'"{name}"' for name in PRIMITIVES if name != "aten.tanh_backward.default")
    texts = maps(fused(module, f"fuse-elementwise{{primitives={without}}}"))
    assert texts
    assert not any("tanh_backward" in text for text in texts)


def test_a_group_holds_no_more_than_its_ops_did():
    held = """
        f %a = mul.Tensor(%x, %x) : (T) -> T
        f %e = exp.default(%a) : (T) -> T
        f %f = exp.default(%e) : (T) -> T
        f %s = mul.Tensor(%e, %f) : (T, T) -> T
        f %k = CALL
        f %b = mul.Tensor(%s, %k) : (T, T) -> T
        func.return %b : T"""
    dear = step(held.replace("CALL", "cos.default(%x) : (T) -> T"))
    assert not maps(fused(dear)), "both factors of %s would be held until %k is there"
    assert len(maps(fused(step(held.replace("CALL", "neg.default(%x) : (T) -> T"))))) == 1


def break_type(op: MapOp) -> None:
    op.results[0]._type = op.operands[0].type.__class__(op.operands[0].type.element_type, [3])  # pyright: ignore


def break_kernel(op: MapOp) -> None:
    op.properties["kernel"] = type(op.kernel)("nowhere")


@pytest.mark.parametrize(("harm", "message"), [(break_type, "yields"), (break_kernel, "there is no kernel @nowhere")])
def test_a_map_is_what_it_says(harm: Callable[[MapOp], None], message: str):
    after = fused(step(GELU))
    harm(next(op for op in after.walk() if isinstance(op, MapOp)))
    with pytest.raises(VerifyException, match=message):
        after.verify()
