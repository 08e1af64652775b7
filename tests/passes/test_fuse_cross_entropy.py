"""The gradient of a cross entropy is one op where nothing else reads what is between its two, and has their bits."""

import pytest
import torch
from gossamer.compiler.context import parse_text, print_module
from gossamer.compiler.exact_cross_entropy import exact_cross_entropy
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.exact import CrossEntropyBackwardOp
from gossamer.runtime import reference
from gossamer.runtime.executor import Program, find
from xdsl.dialects.builtin import ModuleOp

LOSS = (
    '%g = aten.call "aten.nll_loss_backward.default"(%d, %s, %t, none, 1, -100, %n) '
    ": (tensor<f32>, S, T, tensor<f32>) -> S"
)
SCORES = '%h = aten.call "aten._log_softmax_backward_data.default"(%g, %s, 1, torch.float32) : (S, S) -> S'


def step(*body: str, scores: str = "tensor<6x5xf32>", results: str = "%h") -> ModuleOp:
    kinds = ", ".join(["S"] * len(results.split(",")))
    text = f"""
        func.func @step(%d: tensor<f32>, %s: S, %t: T, %n: tensor<f32>) -> ({kinds}) {{
          {chr(10).join(body)}
          func.return {results} : {kinds}
        }}"""
    rows = scores.removeprefix("tensor<").split("x")[0]
    return parse_text(text.replace("S", scores).replace("T", f"tensor<{rows}xi64>"))


def fused(module: ModuleOp, passes: str = "fuse-cross-entropy") -> ModuleOp:
    """The module after the pass, which still is what its text is."""
    after = module.clone()
    run_pipeline(after, passes)
    assert print_module(parse_text(print_module(after))) == print_module(after)
    return after


def names(module: ModuleOp) -> list[str]:
    return [op.name for op in find(module, "step").body.block.ops]


def test_two_calls_are_one_op():
    module = step(LOSS, SCORES)
    after = fused(module)
    assert names(after) == ["kernel.cross_entropy_backward", "func.return"]
    lowered = fused(module, "fuse-cross-entropy,lower-kernels")
    scores, target = torch.log_softmax(torch.randn(6, 5), 1), torch.tensor([0, 4, -100, 2, 2, 1])
    given = [torch.tensor(0.3), scores, target, torch.tensor(5.0)]
    (expected,) = Program.build(module, {}, "step")(given)
    assert torch.equal(reference.run(after, {}, given, "step")[0], expected)
    assert torch.equal(Program.build(after, {}, "step")(given)[0], expected)
    if exact_cross_entropy():
        assert torch.equal(Program.build(lowered, {}, "step")(given)[0], expected)


def test_places_are_kept():
    places = 'attributes {train.phase = "backward", train.layer = 3 : i64} :'
    after = fused(step(LOSS, SCORES.replace(":", places, 1)))
    op = find(after, "step").body.block.first_op
    assert isinstance(op, CrossEntropyBackwardOp)
    assert {key: str(value) for key, value in op.attributes.items()} == {
        "train.phase": '"backward"',
        "train.layer": "3 : i64",
    }


def test_several_losses_share_a_kernel():
    second = [line.replace("%g", "%g2").replace("%h", "%h2") for line in (LOSS, SCORES)]
    after = fused(step(LOSS, SCORES, *second, results="%h, %h2"))
    assert names(after).count("kernel.cross_entropy_backward") == 2
    assert sum(isinstance(op, ModuleOp) for op in after.ops) == 1


APART = {
    "what is between is returned": ((LOSS, SCORES), {"results": "%h, %g"}),
    "no reduction": ((LOSS.replace("none, 1", "none, 0"), SCORES), {}),
    "along columns": ((LOSS, SCORES.replace("%s, 1,", "%s, 0,")), {}),
    "another dtype": ((LOSS, SCORES.replace("torch.float32", "torch.float64")), {}),
    "one class": ((LOSS, SCORES), {"scores": "tensor<6x1xf32>"}),
    "f64": ((LOSS.replace("f32>", "f64>"), SCORES), {"scores": "tensor<6x5xf64>"}),
    "sizes known when it runs": ((LOSS, SCORES), {"scores": "tensor<?x5xf32>"}),
    "of other scores": (("%o = aten.call \"aten.neg.default\"(%s) : (S) -> S", LOSS, SCORES.replace("%s", "%o")), {}),
    "weights of classes": (
        (
            '%w = aten.call "aten.select.int"(%s, 0, 0) : (S) -> tensor<5xf32>',
            LOSS.replace("none", "%w").replace("(tensor<f32>, S, T", "(tensor<f32>, S, T, tensor<5xf32>"),
            SCORES,
        ),
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "options"), APART.values(), ids=APART)
def test_what_stays_apart(body: tuple[str, ...], options: dict[str, str]):
    if "f64" in options.get("scores", ""):
        body = tuple(line.replace("tensor<f64>", "tensor<f32>") for line in body)
    module = step(*body, **options)
    assert print_module(fused(module)) == print_module(module)


def test_an_op_is_of_these_two_calls():
    text = print_module(fused(step(LOSS, SCORES))).replace("aten._log_softmax_backward_data", "aten.other")
    with pytest.raises(UserError, match="is nll_loss_backward and _log_softmax_backward_data, got"):
        parse_text(text)
