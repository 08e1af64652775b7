"""Masks seen through: what an expression says of every element is what the program computes."""

from collections.abc import Callable

import gossamer
import pytest
import torch
from gossamer.compiler.context import parse_text
from gossamer.compiler.frontends.torch_export import import_model
from gossamer.dialects.aten import CallOp
from gossamer.passes.analysis.index_view import RULES, IndexView, Source
from gossamer.passes.solvers.index_expr import (
    Apply,
    Axis,
    Constant,
    Element,
    Expr,
    apply,
    is_boolean,
    show,
    sources_of,
)
from gossamer.runtime import reference
from gossamer.tests.imports import Wrap
from gossamer.tests.passes.analysis.index_programs import program
from gossamer.tests.passes.expressions import evaluate
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import OpResult, SSAValue

LOWEST = torch.finfo(torch.float32).min
BATCH, LENGTH = 3, 5


def causal(n: int) -> torch.Tensor:
    return torch.arange(n)[None, :] <= torch.arange(n)[:, None]


MASKS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "a mask of numbers": lambda m, x: m != 0,
    "its opposite": lambda m, x: ~(m == 0),
    "as truth values": lambda m, x: m.bool(),
    "as numbers of another type": lambda m, x: m.float(),
    "as small numbers": lambda m, x: (256 * m).to(torch.int8),
    "as truth values and back": lambda m, x: m.bool().to(torch.int32),
    "one minus the mask": lambda m, x: 1 - m.bool().float(),
    "additive": lambda m, x: (1.0 - m.bool().float()) * LOWEST,
    "additive by masked_fill": lambda m, x: torch.zeros(m.shape).masked_fill(m == 0, -torch.inf),
    "additive by where": lambda m, x: torch.where(m.bool(), 0.0, LOWEST),
    "put over heads and queries": lambda m, x: m[:, None, None, :].expand(-1, 1, LENGTH, -1).bool(),
    "causal": lambda m, x: causal(LENGTH),
    "causal and kept": lambda m, x: causal(LENGTH)[None, None] & m.bool()[:, None, None, :],
    "a window": lambda m, x: (torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)[None, :]) < 2,
    "every second position": lambda m, x: m[:, ::2] > 0,
    "a later part": lambda m, x: m[:, 1:4] >= 1,
    "one position": lambda m, x: m[:, 0] > 0,
    "transposed": lambda m, x: m.t().contiguous() != 0,
    "permuted": lambda m, x: m[:, None, :].permute(2, 0, 1) != 0,
    "reshaped by ones": lambda m, x: m.view(BATCH, 1, LENGTH, 1).squeeze(1).bool(),
    "reshaped and back": lambda m, x: m.view(-1).view(BATCH, LENGTH) > 0,
    "read by indices": lambda m, x: m[torch.arange(BATCH)[:, None, None], torch.arange(LENGTH)[None, None, :]].bool(),
    "numbers compared": lambda m, x: x[..., 0] < 0.5,
    "numbers that are not zero": lambda m, x: x.sum(-1) != 0,
    "two masks": lambda m, x: (m > 0) | (x[..., 0] > 0),
    "a choice": lambda m, x: torch.where(m > 0, torch.arange(LENGTH) > 1, torch.arange(LENGTH) < 2),
    "positions times two": lambda m, x: 2 * torch.arange(LENGTH) + 1 >= m,
    "from a start by a step": lambda m, x: torch.arange(3, 3 + 2 * LENGTH, 2) > m + 5,
    "constants": lambda m, x: torch.ones_like(m) - torch.zeros(LENGTH, dtype=torch.long),
    "subtracted the other way round": lambda m, x: torch.rsub(m, 1),
    "scaled": lambda m, x: torch.add(m, m, alpha=2),
}


@pytest.mark.parametrize("name", MASKS)
def test_the_expression_of_a_mask_has_its_elements(name):
    inputs = {"m": torch.randint(0, 2, (BATCH, LENGTH)), "x": torch.randn(BATCH, LENGTH, 2)}
    inputs["x"][0, 1] = torch.nan
    program = import_model(Wrap(lambda m, x: MASKS[name](m, x) * 1), tuple(inputs.values()), {})
    values: dict[SSAValue, torch.Tensor] = dict(zip(program.function.args, inputs.values(), strict=True))
    reference.run(
        program.module,
        program.weights,
        list(inputs.values()),
        observe=lambda op, results: values.update(zip(op.results, results, strict=True)),
    )
    view, seen = IndexView(), 0
    for value, found in values.items():
        if isinstance(found, torch.Tensor):
            e = view.of(value)
            tensors = {source: values[source.value] for source in sources_of(e) if isinstance(source, Source)}
            held = evaluate(e, found.shape, tensors).to(torch.float64)
            seen += not (isinstance(e, Element) and isinstance(e.source, Source) and e.source.value is value)
            assert show(e)
            if has(e, "number"):
                assert torch.equal(held != 0, found != 0)
            else:
                torch.testing.assert_close(held, found.to(torch.float64), equal_nan=True, rtol=1e-6, atol=0)
    assert seen or name in ("as small numbers", "scaled", "numbers that are not zero")


def has(e: object, name: str) -> bool:
    """Does the function `name` occur in `e`?"""
    return isinstance(e, Apply) and (e.name == name or any(has(part, name) for part in e.operands))


def test_ways_to_write_one_key_mask_are_one_expression():
    ways = [
        lambda m: m.bool()[:, None, None, :],
        lambda m: (m != 0)[:, None, None, :],
        lambda m: ~(m == 0).view(BATCH, 1, 1, LENGTH),
        lambda m: m[:, None, None, :].to(torch.bool),
        lambda m: m[torch.arange(BATCH)[:, None, None, None], torch.arange(LENGTH)].bool(),
    ]
    found = set()
    for way in ways:
        function = import_model(Wrap(way), (torch.ones(BATCH, LENGTH, dtype=torch.long),), {}).function
        (returned,) = (op for op in function.body.block.ops if isinstance(op, ReturnOp))
        found.add(show(IndexView().of(returned.operands[0])))
    assert len(found) == 1


def test_a_value_that_nothing_is_known_of_is_an_element_of_itself():
    function = import_model(Wrap(lambda x: x.cumsum(0)), (torch.randn(3, 4),), {}).function
    (returned,) = (op for op in function.body.block.ops if isinstance(op, ReturnOp))
    e = IndexView().of(returned.operands[0])
    assert isinstance(e, Element)
    assert e.indices == (Axis(0), Axis(1))
    assert apply("nz", e) == Apply("nz", (e,))
    assert apply("nz", Constant(0.0)) == Constant(False)


def has_changed_numbers(e: object) -> bool:
    """Is there a number in it that was cast to a type that may not hold it?"""
    if not isinstance(e, Apply):
        return False
    changed = e.name == "number" and not is_boolean(e.operands[0])
    return changed or any(map(has_changed_numbers, e.operands))


def rounding(e: Expr, like: torch.Tensor, tensors: dict[Source, torch.Tensor]) -> torch.Tensor:
    """`e` by torch, every sum and product rounded as the tensor `like` would hold it."""
    match e:
        case Apply("add" | "sub" | "mul" as name, operands) if like.is_floating_point():
            a, b = (rounding(part, like, tensors).to(torch.float64) for part in operands)
            exact = a + b if name == "add" else a - b if name == "sub" else a * b
            single = exact.to(torch.float32) if like.dtype in (torch.float16, torch.bfloat16) else exact
            return single.to(like.dtype).to(torch.float64)
        case Apply("where", (c, a, b)):
            chosen = evaluate(c, like.shape, tensors) != 0
            a, b = (rounding(part, like, tensors).to(torch.float64) for part in (a, b))
            return torch.where(chosen, a, b)
        case _:
            return evaluate(e, like.shape, tensors).to(torch.float64)


PER_TEST = 60


@pytest.mark.parametrize("first", range(0, 4 * PER_TEST, PER_TEST))
def test_what_is_said_of_random_programs_is_what_torch_computes(first):
    for seed in range(first, first + PER_TEST):
        given = program(seed)
        view = IndexView()
        for value, found in given.values.items():
            e = view.of(value)
            tensors = {source: given.values[source.value] for source in sources_of(e) if isinstance(source, Source)}
            held, wanted = rounding(e, found, tensors), found.to(torch.float64)
            if has_changed_numbers(e):
                held, wanted = (held != 0).double(), (wanted != 0).double()
            same = torch.allclose(held, wanted, rtol=0, atol=0, equal_nan=True)
            assert same, f"program {seed}: {value.owner}\n{show(e)}\n{held}\n{wanted}"


def test_every_rule_sees_through_something():
    seen: set[str] = set()
    for seed in range(PER_TEST):
        given = program(seed)
        view = IndexView()
        for value in given.values:
            if isinstance(value, OpResult) and isinstance(value.owner, CallOp):
                e = view.of(value)
                if not (isinstance(e, Element) and isinstance(e.source, Source) and e.source.value is value):
                    seen.add(value.owner.target.data)
    assert set(RULES) - seen <= {"aten.to.dtype_layout", "aten.to.device"}


def of_result(function: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> Expr:
    """The expression of what `function` gives."""
    found = import_model(Wrap(function), inputs, {}).function
    (returned,) = (op for op in found.body.block.ops if isinstance(op, ReturnOp))
    return IndexView().of(returned.operands[0])


@pytest.mark.parametrize(("kind", "seen"), [("i1", False), ("ui8", False), ("i64", True), ("i32", True)])
def test_an_index_of_truth_values_picks_elements_and_is_no_position(kind, seen):
    module = parse_text(f"""
        func.func @forward(%x: tensor<4xi64>) -> tensor<4xi64> {{
          %i = aten.call "aten.ones.default"([4]) : () -> tensor<4x{kind}>
          %r = aten.call "aten.index.Tensor"(%x, [%i]) : (tensor<4xi64>, tensor<4x{kind}>) -> tensor<4xi64>
          func.return %r : tensor<4xi64>
        }}""")
    (returned,) = (op for op in module.walk() if isinstance(op, ReturnOp))
    e = IndexView().of(returned.operands[0])
    assert isinstance(e, Element)
    assert e.indices == ((Constant(1),) if seen else (Axis(0),))


def test_an_index_that_may_be_negative_counts_from_the_end():
    backwards = of_result(lambda x: x[torch.arange(3) - 3], torch.arange(6))
    assert isinstance(backwards, Element)
    assert backwards.indices == (Axis(0),)
    assert backwards != of_result(lambda x: x[torch.arange(3)], torch.arange(6))


TRAPS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "half a truth is none in integers": lambda k: k & (torch.full((3, 5), 0.5, dtype=torch.int64) != 0),
    "nor in a tensor like one of integers": lambda k: k & (torch.full_like(k, 0.5, dtype=torch.int32) != 0),
    "nor in a new one": lambda k: k & (k.to(torch.int64).new_full((3, 5), -0.9) == 0),
    "nor in one without axes": lambda k: k & (torch.scalar_tensor(0.5, dtype=torch.int64) != 0),
    "a tenth is rounded": lambda k: k & (torch.full((3, 5), 0.1) == torch.full((3, 5), 0.1, dtype=torch.float64)),
    "2049 is no half": lambda k: k & (torch.full((3, 5), 2049.0, dtype=torch.float16) == 2048),
    "257 is no bfloat16": lambda k: k & ((torch.arange(256, 261)).to(torch.bfloat16) == 256),
    "two truths are one": lambda k: (k + k) == 1,
    "small integers overflow": lambda k: torch.where(k, 100, 0).to(torch.int8) * 2 > 0,
    "a tiny product is zero": lambda k: (k.float() * 1e-30) * 1e-30 != 0,
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_packed_model_falls_into_no_trap_of_an_element_type(name):
    linear = torch.nn.Linear(4, 4)
    model = Wrap(lambda x, k: linear(x.masked_fill(~TRAPS[name](k)[..., None], 0.0)))
    inputs = torch.randn(3, 5, 4), torch.rand(3, 5) < 0.5
    inputs[1][0, :2] = torch.tensor([True, False])
    found = gossamer.compile(model, inputs, pipeline="simplify,insert-gathers,sink-scatters")(*inputs)
    torch.testing.assert_close(found, model(*inputs))


def test_nothing_is_said_of_what_is_written_in_place():
    module = parse_text("""
        func.func @forward(%x: tensor<4xi64>) -> tensor<4xi1> {
          %z = aten.call "aten.zeros.default"([4]) : () -> tensor<4xi64>
          %w = aten.call mutates "aten.add_.Tensor"(%z, %x) : (tensor<4xi64>, tensor<4xi64>) -> tensor<4xi64>
          %m = aten.call "aten.ne.Scalar"(%z, 0) : (tensor<4xi64>) -> tensor<4xi1>
          func.return %m : tensor<4xi1>
        }""")
    (returned,) = (op for op in module.walk() if isinstance(op, ReturnOp))
    assert isinstance(IndexView().of(returned.operands[0]), Element)


OPAQUE = {
    "a single that bfloat16 rounds, without axes, in a product of bfloat16": """
      %c = aten.call "aten.scalar_tensor.default"(0.1) : () -> tensor<f32>
      %r = aten.call "aten.mul.Tensor"(%b, %c) : (tensor<3xbf16>, tensor<f32>) -> tensor<3xbf16>""",
    "a sum with integers that single precision rounds": """
      %r = aten.call "aten.add.Tensor"(%i, %f) : (tensor<3xi64>, tensor<3xf32>) -> tensor<3xf32>""",
    "integers against a number past which they are rounded": """
      %r = aten.call "aten.lt.Scalar"(%i, 16777218.0) : (tensor<3xi64>) -> tensor<3xi1>""",
    "the last of nobody knows how many": """
      %r = aten.call "aten.select.int"(%u, 0, -1) : (tensor<?x?xf32>) -> tensor<?xf32>""",
    "other sizes that nobody knows": """
      %r = aten.call "aten.reshape.default"(%u, [-1, 2]) : (tensor<?x?xf32>) -> tensor<?x?xf32>""",
    "a sum that may overflow": """
      %r = aten.call "aten.add.Tensor"(%i, 1) : (tensor<3xi64>) -> tensor<3xi64>""",
}
SEEN = {
    "integers against a small number": (
        """%r = aten.call "aten.lt.Scalar"(%i, 5.5) : (tensor<3xi64>) -> tensor<3xi1>""",
        "(%i[x0] < 5.5)",
    ),
    "integers as singles: zero where they are": (
        """%r = aten.call "aten._to_copy.default"(%i, dtype = torch.float32) : (tensor<3xi64>) -> tensor<3xf32>""",
        "number(%i[x0])",
    ),
    "what was rounded, compared": (
        """%n = aten.call "aten._to_copy.default"(%i, dtype = torch.float32) : (tensor<3xi64>) -> tensor<3xf32>
           %r = aten.call "aten.eq.Tensor"(%n, %f) : (tensor<3xf32>, tensor<3xf32>) -> tensor<3xi1>""",
        "(%n[x0] == %f[x0])",
    ),
    "the last of three": (
        """%r = aten.call "aten.select.int"(%i, 0, -1) : (tensor<3xi64>) -> tensor<i64>""",
        "%i[2]",
    ),
}
FUNCTION = """
    func.func @forward(%i: tensor<3xi64>, %f: tensor<3xf32>, %b: tensor<3xbf16>, %u: tensor<?x?xf32>) {{
      {body}
      func.return
    }}"""


def of_last(body: str) -> tuple[Expr, SSAValue]:
    """The expression of `%r`, and `%r`."""
    block = parse_text(FUNCTION.format(body=body)).body.block.first_op
    assert isinstance(block, FuncOp)
    (*_, last, _returned) = block.body.block.ops
    return IndexView().of(last.results[0]), last.results[0]


@pytest.mark.parametrize("name", OPAQUE)
def test_what_a_type_may_round_or_nobody_knows_is_not_seen_through(name):
    e, value = of_last(OPAQUE[name])
    assert isinstance(e, Element)
    assert isinstance(e.source, Source)
    assert e.source.value is value


@pytest.mark.parametrize("name", SEEN)
def test_what_no_type_changes_is_seen_through(name):
    body, text = SEEN[name]
    assert show(of_last(body)[0]) == text


def test_a_sum_of_floats_read_at_one_index_is_rounded():
    def choice(a: float) -> torch.Tensor:
        return torch.where(torch.arange(3) < 1, a, 0.0)

    assert of_result(lambda: (choice(2.0**24) + choice(1.0))[0]) == Constant(2.0**24)
