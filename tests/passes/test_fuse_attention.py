"""Attention and its gradients become launches of one kernel each, and gradients are joined where they lie."""

import re
from collections.abc import Sequence

import pytest
import torch
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.exact import FlashAttentionBackwardOp, FlashAttentionOp
from gossamer.runtime import attention_trials, reference
from gossamer.runtime.executor import Program, find
from gossamer.runtime.kernels import flash_attention
from torch import Tensor
from xdsl.dialects.builtin import ModuleOp, StringAttr

NAME = "_scaled_dot_product_flash_attention_for_cpu"
KINDS = {
    "HEADS": "2x4x64x32xf32",
    "SUMS": "2x4x64xf32",
    "ROWS": "2x64x4x32xf32",
    "FLAT": "2x64x128xf32",
    "JOINED": "2x64x384xf32",
}
FORWARD = (
    f'%o, %l = aten.call "aten.{NAME}.default"(%q, %k, %v, 0.0, true) unpack : (HEADS, KEYS, KEYS) -> (HEADS, SUMS)'
)
BACKWARD = (
    f'%a, %b, %c = aten.call "aten.{NAME}_backward.default"(%g, %q, %k, %v, %y, %s, 0.0, true) unpack : '
    "(HEADS, HEADS, KEYS, KEYS, HEADS, SUMS) -> (HEADS, KEYS, KEYS)"
)
WHOLE = '%{0}1 = aten.call "aten.slice.Tensor"(%{0}, 2, 0, 9223372036854775807) : (HEADS) -> HEADS'
TRANSPOSE = '%{0}2 = aten.call "aten.transpose.int"(%{1}, 1, 2) : (HEADS) -> ROWS'
VIEW = '%{0}3 = aten.call "aten.view.default"(%{0}2, [2, 64, 128]) : (ROWS) -> FLAT'
CAT = '%d = aten.call "aten.cat.default"([{}], 2) : ({}) -> JOINED'
ORDERS = {"abc": [0, 1, 2], "acb": [0, 2, 1], "bca": [1, 2, 0]}


@pytest.fixture(autouse=True)
def kernels_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels run wherever they have the library's bits, however long they take."""
    monkeypatch.setattr(attention_trials, "fastest", lambda *_: [1.0, 0.0])
    monkeypatch.setattr(flash_attention, "found", attention_trials.tried)


def step(*body: str, results: str = "%d: JOINED", **kinds: str) -> ModuleOp:
    """A program of these lines; `kinds` are sizes of tensors by name, and keys and values have those of queries."""
    sizes = {**KINDS, **kinds}
    sizes.setdefault("KEYS", sizes["HEADS"])
    returned, types = zip(*(result.split(": ") for result in results.split(", ")), strict=True)
    text = f"""
        func.func @step(%g: HEADS, %q: HEADS, %k: KEYS, %v: KEYS, %y: HEADS, %s: SUMS) -> ({", ".join(types)}) {{
          {chr(10).join(body)}
          func.return {", ".join(returned)} : {", ".join(types)}
        }}"""
    return parse_text(re.sub("[A-Z]{4,}", lambda name: f"tensor<{sizes[name[0]]}>", text))


def joins(order: str, *, whole: bool = False) -> list[str]:
    """All three gradients as they lie side by side in one projection."""
    lines = [WHOLE.format(name) for name in "abc"] if whole else []
    for name in "abc":
        lines += [TRANSPOSE.format(name, f"{name}1" if whole else name), VIEW.format(name)]
    return [*lines, CAT.format(", ".join(f"%{name}3" for name in order), "FLAT, FLAT, FLAT")]


def own(module: ModuleOp) -> str:
    """The text of a program but for what is in its kernels."""
    empty = [ModuleOp([], sym_name=StringAttr(name)) for name in kernels(module)]
    return print_module(ModuleOp([find(module, "step").clone(), *empty]))


def fused(module: ModuleOp) -> ModuleOp:
    """The module after the pass; the step still is what its text is."""
    after = module.clone()
    run_pipeline(after, "fuse-attention")
    assert own(parse_text(own(after))) == own(after)
    return after


def names(module: ModuleOp) -> list[str]:
    return [op.name for op in find(module, "step").body.block.ops]


def kernels(module: ModuleOp) -> list[str]:
    return [op.sym_name.data for op in module.ops if isinstance(op, ModuleOp) and op.sym_name]


def given() -> list[Tensor]:
    """The gradient, queries, keys, values, the output and its log-sums, heads behind rows."""
    gradient, *parts = (torch.randn(2, 64, 4, 32).transpose(1, 2) for _ in range(4))
    return [gradient, *parts, *getattr(torch.ops.aten, NAME)(*parts, 0.0, True)]


@pytest.fixture(scope="module")
def lowered() -> list[ModuleOp]:
    """Both kernels, lowered."""
    module = step(FORWARD, BACKWARD, results="%o: HEADS, %a: HEADS")
    run_pipeline(module, "fuse-attention,lower-kernels")
    return [op for op in module.ops if isinstance(op, ModuleOp)]


def check_results(module: ModuleOp, after: ModuleOp, lowered: Sequence[ModuleOp] = ()) -> None:
    """Both programs give the same numbers, whether kernels are lowered or not, and so does the reference."""
    values, others = given(), [after]
    if lowered:
        others.append(ModuleOp([find(after, "step").clone(), *(kernel.clone() for kernel in lowered)]))
    expected = Program.build(module, {}, "step")(values)
    for other in others:
        results = Program.build(other, {}, "step")(values)
        assert all(map(torch.equal, results, expected))
        assert [result.stride() for result in results] == [result.stride() for result in expected]
    assert all(map(torch.equal, reference.run(after, {}, values, "step"), expected))


def test_a_call_is_an_op_that_means_it(lowered: list[ModuleOp]):
    module = step(FORWARD, results="%o: HEADS, %l: SUMS")
    after = fused(module)
    assert names(after) == ["kernel.attention", "func.return"]
    op = find(after, "step").body.block.first_op
    assert isinstance(op, FlashAttentionOp)
    assert op.text() == f"%0 = aten.{NAME}.default(%x0, %x1, %x2, 0.0, true); yield %0#0, %0#1"
    check_results(module, after, lowered)


def test_gradients_are_an_op(lowered: list[ModuleOp]):
    module = step(BACKWARD, results="%a: HEADS, %b: KEYS, %c: KEYS")
    after = fused(module)
    assert names(after) == ["kernel.attention_backward", "func.return"]
    op = find(after, "step").body.block.first_op
    assert isinstance(op, FlashAttentionBackwardOp)
    assert op.joined is None
    called = f"%0 = aten.{NAME}_backward.default(%x0, %x1, %x2, %x3, %x4, %x5, 0.0, true)"
    assert op.text() == f"{called}; yield %0#0, %0#1, %0#2"
    check_results(module, after, lowered)


@pytest.mark.parametrize("whole", [False, True], ids=["views", "slices"])
@pytest.mark.parametrize("order", ORDERS)
def test_gradients_are_joined_as_they_lie(order: str, whole: bool, lowered: list[ModuleOp]):
    module = step(BACKWARD, *joins(order, whole=whole))
    after = fused(module)
    assert names(after) == ["kernel.attention_backward", "func.return"]
    assert f"joined {ORDERS[order]}" in own(after)
    op = find(after, "step").body.block.first_op
    assert isinstance(op, FlashAttentionBackwardOp)
    assert [call.target.data for call in op.calls()][:: len(op.calls()) - 1] == [
        f"aten.{NAME}_backward.default",
        "aten.cat.default",
    ]
    check_results(module, after, lowered)


def test_places_are_kept():
    places = 'attributes {train.phase = "backward", train.layer = %d : i64} :'
    first, last = BACKWARD.replace(":", places % 1, 1), joins("abc")[-1].replace(":", places % 2, 1)
    for body, layer in (([first], 1), ([first, *joins("abc")[:-1], last], 2)):
        after = fused(step(*body, results="%d: JOINED" if layer == 2 else "%a: HEADS, %b: KEYS, %c: KEYS"))
        op = find(after, "step").body.block.first_op
        assert op is not None
        assert {name: str(value) for name, value in op.attributes.items()} == {
            "train.phase": '"backward"',
            "train.layer": f"{layer} : i64",
        }


def test_layers_share_kernels():
    second = FORWARD.replace("%o", "%o2").replace("%l", "%l2").replace("(%q", "(%o")
    after = fused(step(FORWARD, second, BACKWARD, *joins("abc"), results="%d: JOINED, %o2: HEADS"))
    assert names(after) == ["kernel.attention"] * 2 + ["kernel.attention_backward", "func.return"]
    assert kernels(after) == ["attention", "attention_backward"]


def test_what_is_joined_may_be_read_by_others():
    negative = '%n = aten.call "aten.neg.default"(%d) : (JOINED) -> JOINED'
    module = step(BACKWARD, *joins("abc"), negative, results="%d: JOINED, %n: JOINED")
    after = fused(module)
    assert names(after) == ["kernel.attention_backward", "aten.call", "func.return"]
    check_results(module, after)


DOUBLE = {"HEADS": "2x4x64x32xf64", "SUMS": "2x4x64xf64"}
STAYS = {
    "dropout": (FORWARD.replace("0.0", "0.1"), {}),
    "a mask": (
        FORWARD.replace("true)", "true, attn_mask = %g)").replace("KEYS)", "KEYS, HEADS)"), {},
    ),
    "f64": (FORWARD, DOUBLE),
    "sizes known when it runs": (FORWARD, {"HEADS": "?x4x64x32xf32", "SUMS": "?x4x64xf32"}),
    "keys that are no whole vectors": (FORWARD, {"HEADS": "2x4x24x32xf32", "SUMS": "2x4x24xf32"}),
    "heads that are no whole vectors": (FORWARD, {"HEADS": "2x4x64x24xf32"}),
    "more than a block of keys for fewer queries": (FORWARD, {"KEYS": "2x4x528x32xf32"}),
    "keys of other heads": (FORWARD, {"KEYS": "2x2x64x32xf32"}),
    "no heads": (FORWARD, {"HEADS": "2x0x64x32xf32", "SUMS": "2x0x64xf32"}),
    "a negative scale": (FORWARD.replace("true)", "true, scale = -0.125)"), {}),
    "a scale of more than one": (FORWARD.replace("true)", "true, scale = 1.5)"), {}),
    "queries that are keys": (FORWARD.replace("%k", "%q").replace("KEYS, KEYS", "KEYS"), {}),
    "gradients of dropout": (BACKWARD.replace("0.0", "0.1"), {}),
    "gradients of a negative scale": (BACKWARD.replace("true)", "true, scale = -0.125)"), {}),
    "gradients of f64": (BACKWARD, DOUBLE),
    "gradients of keys that are values": (BACKWARD.replace("%v", "%k").replace("KEYS, KEYS, HEADS", "KEYS, HEADS"), {}),
    "gradients of more than a block of keys": (BACKWARD, {"KEYS": "2x4x528x32xf32"}),
}  # fmt: skip


@pytest.mark.parametrize(("body", "kinds"), STAYS.values(), ids=STAYS)
def test_what_stays(body: str, kinds: dict[str, str]):
    results = "%o: HEADS, %l: SUMS" if body.startswith("%o") else "%a: HEADS, %b: KEYS, %c: KEYS"
    module = step(body, results=results, **kinds)
    assert print_module(fused(module)) == print_module(module)


TAKEN = {
    "no mask": (FORWARD.replace("true)", "true, attn_mask = none)"), {}),
    "a scale": (FORWARD.replace("true)", "true, scale = 1.0)"), {}),
    "every key": (FORWARD.replace("true", "false"), {}),
    "a block of keys": (FORWARD, {"KEYS": "2x4x512x32xf32"}),
    "blocks of keys for as many queries": (FORWARD, {"HEADS": "2x4x1040x32xf32", "SUMS": "2x4x1040xf32"}),
}


@pytest.mark.parametrize(("body", "kinds"), TAKEN.values(), ids=TAKEN)
def test_what_is_taken_as_well(body: str, kinds: dict[str, str]):
    after = fused(step(body, results="%o: HEADS, %l: SUMS", **kinds))
    assert names(after) == ["kernel.attention", "func.return"]


def test_whole_vectors_are_the_machines():
    module = step(FORWARD, results="%o: HEADS, %l: SUMS", HEADS="2x4x24x40xf32", SUMS="2x4x24xf32")
    assert names(fused(module)) == names(module)
    run_pipeline(module, "fuse-attention{lanes=8 registers=16}")
    assert names(module) == ["kernel.attention", "func.return"]


APART = {
    "a gradient is read twice": (joins("abc"), {"results": "%d: JOINED, %b: KEYS"}),
    "a view is read twice": (joins("abc"), {"results": "%d: JOINED, %b3: FLAT"}),
    "slices are not whole": (
        [line.replace("9223372036854775807", "32").replace("64, 128", "32, 128")
         .replace("-> HEADS", "-> HALVES").replace("(HEADS) -> ROWS", "(HALVES) -> ROWS")
         for line in joins("abc", whole=True)],
        {"HALVES": "2x4x32x32xf32", "ROWS": "2x32x4x32xf32", "FLAT": "2x32x128xf32", "JOINED": "2x32x384xf32"},
    ),
    "along another axis": (
        [line.replace("], 2) :", "], 1) :") for line in joins("abc")],
        {"JOINED": "2x192x128xf32"},
    ),
    "another tensor is joined, too": (
        [*joins("abc")[:-1], TRANSPOSE.format("g", "g"), VIEW.format("g").replace("view", "reshape"),
         CAT.format("%a3, %b3, %g3, %c3", "FLAT, FLAT, FLAT, FLAT")],
        {"JOINED": "2x64x512xf32"},
    ),
    "one is left out": (
        [*joins("abc")[:-1], CAT.format("%a3, %b3", "FLAT, FLAT")],
        {"JOINED": "2x64x256xf32", "results": "%d: JOINED, %c3: FLAT"},
    ),
    "one is changed before": (
        [*joins("abc")[:-1], '%n = aten.call "aten.neg.default"(%c3) : (FLAT) -> FLAT',
         CAT.format("%a3, %b3, %n", "FLAT, FLAT, FLAT")],
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "options"), APART.values(), ids=APART)
def test_what_is_not_joined(body: list[str], options: dict[str, str]):
    module = step(BACKWARD, *body, **options)
    after = fused(module)
    op = find(after, "step").body.block.first_op
    assert isinstance(op, FlashAttentionBackwardOp)
    assert op.joined is None
    assert names(after)[1:] == names(module)[1:]
    check_results(module, after)


@pytest.mark.parametrize("lines", [[FORWARD], [BACKWARD]], ids=["there", "back"])
def test_kernels_are_what_their_text_is(lines: list[str]):
    results = "%o: HEADS, %l: SUMS" if lines == [FORWARD] else "%a: HEADS, %b: KEYS, %c: KEYS"
    text = print_module(fused(step(*lines, results=results)))
    assert print_module(parse_text(text)) == text


def test_three_gradients_are_joined_into_one():
    text = own(fused(step(BACKWARD, *joins("abc"))))
    for wrong in ("[0, 1, 1]", "[0, 1]", "[1, 2, 3]"):
        with pytest.raises(UserError, match="three gradients are joined into one result, got"):
            parse_text(text.replace("joined [0, 1, 2]", f"joined {wrong}"))
    apart = own(fused(step(BACKWARD, results="%a: HEADS, %b: KEYS, %c: KEYS")))
    with pytest.raises(UserError, match="three gradients are joined into one result, got"):
        parse_text(apart.replace("%s) :", "%s) joined [0, 1, 2] :"))


def test_ops_are_of_these_calls():
    joined = own(fused(step(BACKWARD, *joins("abc"))))
    with pytest.raises(UserError, match=f"is {NAME}_backward, got"):
        parse_text(joined.replace("joined [0, 1, 2]", ""))
    forward = own(fused(step(FORWARD, results="%o: HEADS, %l: SUMS")))
    with pytest.raises(UserError, match=f"is {NAME}, got"):
        parse_text(forward.replace(NAME, "other"))
