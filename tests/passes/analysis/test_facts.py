"""Forward facts: what holds of the analysis as a whole. The rules of single ops have files of their own."""

import random
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from gossamer.dialects.aten import Aten, dims
from gossamer.passes.analysis.fact_fills import Applied
from gossamer.passes.analysis.fact_layouts import placed
from gossamer.passes.analysis.fact_rules import MAX_FACTS, RULES, Known, Part
from gossamer.passes.analysis.fact_scope import MAX_LEAVES, Call
from gossamer.passes.analysis.facts import Inactive, forward_facts, register_rule, show_facts
from gossamer.passes.analysis.predicates import leaves
from gossamer.tests.passes.analysis.fact_checks import check, observe
from gossamer.tests.passes.analysis.fact_programs import (
    MANNERS,
    Program,
    arguments_of,
    below,
    mask,
    programs,
    real,
    row,
    weight,
)
from torch import Tensor
from torch.export import Dim
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin
from xdsl.dialects.func import Func, FuncOp
from xdsl.parser import Parser


def parsed(text: str) -> FuncOp:
    """The function of a program in text."""
    context = Context()
    for dialect in (Builtin, Func, Aten):
        context.load_dialect(dialect)
    module = Parser(context, text).parse_module()
    module.verify()
    return next(op for op in module.ops if isinstance(op, FuncOp))


def facts_by_name(function: FuncOp) -> dict[str, str]:
    """All facts as they read, by the name of the value."""
    return {value.name_hint or "": show_facts(own) for value, own in forward_facts(function).items()}


def only(program: Program) -> tuple[Inactive, ...]:
    return forward_facts(program.function).get(program.result, ())


# -- a story -------------------------------------------------------------------------------------------------------


def test_a_masked_block_stays_known_from_its_mask_to_its_end():
    function = parsed("""
        aten.weight parameter @w : tensor<8x8xf32> digest "00"
        aten.weight parameter @b : tensor<8xf32> digest "00"
        func.func @forward(
            %x: tensor<?x?x8xf32, #aten.dims<"s0", "s1", 8>>, %keep: tensor<?x?xi1, #aten.dims<"s0", "s1">>
        ) -> tensor<?x8xf32, #aten.dims<"s0*s1", 8>> {
          %w = aten.parameter @w : tensor<8x8xf32>
          %b = aten.parameter @b : tensor<8xf32>
          %u = aten.call "aten.unsqueeze.default"(%keep, 2)
              : (tensor<?x?xi1, #aten.dims<"s0", "s1">>) -> tensor<?x?x1xi1, #aten.dims<"s0", "s1", 1>>
          %h = aten.call "aten.mul.Tensor"(%x, %u)
              : (tensor<?x?x8xf32, #aten.dims<"s0", "s1", 8>>, tensor<?x?x1xi1, #aten.dims<"s0", "s1", 1>>)
              -> tensor<?x?x8xf32, #aten.dims<"s0", "s1", 8>>
          %y = aten.call "aten.linear.default"(%h, %w, %b)
              : (tensor<?x?x8xf32, #aten.dims<"s0", "s1", 8>>, tensor<8x8xf32>, tensor<8xf32>)
              -> tensor<?x?x8xf32, #aten.dims<"s0", "s1", 8>>
          %g = aten.call "aten.gelu.default"(%y)
              : (tensor<?x?x8xf32, #aten.dims<"s0", "s1", 8>>) -> tensor<?x?x8xf32, #aten.dims<"s0", "s1", 8>>
          %v = aten.call "aten.view.default"(%g, [-1, 8])
              : (tensor<?x?x8xf32, #aten.dims<"s0", "s1", 8>>) -> tensor<?x8xf32, #aten.dims<"s0*s1", 8>>
          %r = aten.call "aten.relu.default"(%v)
              : (tensor<?x8xf32, #aten.dims<"s0*s1", 8>>) -> tensor<?x8xf32, #aten.dims<"s0*s1", 8>>
          func.return %r : tensor<?x8xf32, #aten.dims<"s0*s1", 8>>
        }""")
    rows, flat = "on axes [0, 1] unless nz(%keep)", "on axes [0] unless nz(%keep)[i0 // s1, i0 % s1]"
    assert facts_by_name(function) == {
        "keep": f"0 {rows}; else 1",
        "u": f"0 {rows}; else 1",
        "h": f"0 {rows}; needs finite %x",
        "y": f"%b {rows}; needs finite %x, %w",
        "g": f"gelu(%b) {rows}; rounded; needs finite %x, %w",
        "v": f"gelu(%b) {flat}; rounded; needs finite %x, %w",
        "r": f"0 on axes [0, 1] unless nz(%r) | relu(gelu(%b)) {flat}; rounded; needs finite %x, %w",
    }


# -- sizes that are known when the program runs ----------------------------------------------------------------------


def masked_layer(x: Tensor, m: Tensor, w: Tensor, b: Tensor) -> Tensor:
    return F.gelu(F.linear(x * m[..., None], w, b))


SEQUENCE = {"x": real(2, 3, 6), "m": mask(2, 3), "w": weight(4, 6), "b": weight(4)}
FILL = "gelu(%b) on axes {} unless nz(%m){}; rounded; needs finite %x, %w"
DYNAMIC = {
    "as it is": row(lambda x, m, w, b: masked_layer(x, m, w, b), FILL.format([0, 1], ""), **SEQUENCE),
    "merged": row(
        lambda x, m, w, b: masked_layer(x, m, w, b).view(-1, 4), FILL.format([0], "[i0 // s1, i0 % s1]"), **SEQUENCE
    ),
    "merged and split again": row(
        lambda x, m, w, b: masked_layer(x, m, w, b).view(-1, 4).neg().view(x.shape[0], -1, 4),
        FILL.format([0, 1], "").replace("gelu(%b)", "neg(gelu(%b))"), **SEQUENCE,
    ),
    "in heads": row(
        lambda x, m, w, b: masked_layer(x, m, w, b).view(*x.shape[:2], 2, 2).transpose(1, 2),
        FILL.format([0, 2], ""), **SEQUENCE,
    ),
    "length first": row(
        lambda x, m, w, b: masked_layer(x, m, w, b).transpose(0, 1), FILL.format([1, 0], ""), **SEQUENCE
    ),
    "batch and heads merged: the row differs by head": row(
        lambda x, m, w, b: masked_layer(x, m, w, b).view(*x.shape[:2], 2, 2).transpose(1, 2).reshape(-1, x.shape[1], 2),
        **SEQUENCE,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def dynamic() -> dict[str, Program]:
    shapes = [
        {0: Dim(f"batch{number}"), 1: Dim(f"length{number}")}
        for number, each in enumerate(DYNAMIC.values())
        for _ in arguments_of(each)
    ]
    return dict(zip(DYNAMIC, programs(list(DYNAMIC.values()), ((*shapes,),)), strict=True))


@pytest.mark.parametrize("name", DYNAMIC)
def test_facts_are_exact_about_sizes_that_are_not_known(dynamic: dict[str, Program], name: str):
    program = dynamic[name]
    symbols = dims(program.function.body.block.args[1].type)
    named = [str(fact).replace(str(symbols[1]), "s1").replace(str(symbols[0]), "s0") for fact in only(program)]
    assert tuple(named) == DYNAMIC[name].facts
    facts = forward_facts(program.function)
    for sizes in ((2, 2), (5, 3), (3, 7), (2, 11)):
        x, m = torch.randn(*sizes, 6), torch.rand(sizes) > 0.5
        check(program, facts, [x, m])


def test_tensors_that_are_masked_alike_share_one_domain(dynamic: dict[str, Program]):
    layouts: dict[str, str] = {}
    predicates = set()
    for name in ("as it is", "merged", "merged and split again", "in heads", "length first"):
        program = dynamic[name]
        (fact,) = only(program)
        place = placed(fact, dims(program.result.type))
        assert place is not None
        layouts[name] = str(place.layout)
        predicates.add(str(place.predicate))
    assert predicates == {"nz(%m)"}
    assert layouts == {
        "as it is": "i j a",
        "merged": "(i j) a",
        "merged and split again": "i j a",
        "in heads": "i a j b",
        "length first": "j i a",
    }


# -- masks -----------------------------------------------------------------------------------------------------------


def test_padding_and_causality_are_seen_through_index_arithmetic():
    def scores(x: Tensor, k: Tensor) -> Tensor:
        keys, queries = torch.arange(5)[None, None, None], torch.arange(5)[None, None, :, None]
        batches = torch.arange(2)[:, None, None, None]
        mask = (keys <= queries) & k.bool()[batches, keys]
        return x.masked_fill(~mask, -torch.inf)

    (program,) = programs([row(scores, x=real(2, 3, 5, 5), k=below(2, 2, 5))])
    assert [str(fact) for fact in only(program)] == ["-inf on axes [0, 3, 2] unless nz(%k) and i2 >= i1"]


# -- conditions -------------------------------------------------------------------------------------------------------


def test_a_condition_is_recorded_because_it_is_needed():
    (program,) = programs([row(lambda x, m: x * m[:, None])])
    (fact,) = only(program)
    assert [var.value for var in fact.needs_finite] == [program.function.body.block.args[0]]
    x, m = torch.full((4, 6), torch.inf), torch.zeros(4, dtype=torch.bool)
    values = observe(program, [x, m])
    assert values[program.result].isnan().all()
    assert not check(program, {program.result: [fact]}, [x, m])


def test_choosing_needs_no_condition():
    (program,) = programs([row(lambda x, m: x.masked_fill(~m[:, None], 0.0))])
    (fact,) = only(program)
    assert not fact.needs_finite
    assert check(program, {program.result: [fact]}, [torch.full((4, 6), torch.nan), torch.zeros(4, dtype=torch.bool)])


@pytest.mark.parametrize("name", ["neg", "abs", "square", "sqrt", "relu", "floor", "sign"])
def test_what_is_called_exact_has_the_same_bits_wherever_it_stands(name: str):
    values = torch.randn(37).abs()
    op = getattr(torch, name)
    row_of_one, strided = op(values[None]), torch.stack([values.expand(9, 37), torch.zeros(9, 37)], -1)[..., 0]
    assert torch.equal(op(values.expand(9, 37).contiguous()), row_of_one.expand(9, 37))
    assert torch.equal(op(strided), row_of_one.expand(9, 37))


# -- what is not known ------------------------------------------------------------------------------------------------


def test_an_unknown_op_gives_no_facts_until_a_rule_speaks_for_it():
    (program,) = programs([row(lambda x, m: torch.special.bessel_j0(x * m[:, None]))])
    assert not only(program)

    def one_at_zero(call: Call, known: Known):
        for part in known.zeros(call.source()):
            yield Part(part.predicate, part.fill, exact=False, needs=part.needs)

    register_rule(one_at_zero, "aten.special_bessel_j0.default")
    try:
        assert [str(fact) for fact in only(program)] == ["0 on axes [0] unless nz(%m); rounded; needs finite %x"]
    finally:
        del RULES["aten.special_bessel_j0.default"]


def test_what_is_written_in_place_has_no_facts_and_neither_have_its_views():
    function = parsed("""
        func.func @forward(%x: tensor<4x6xf32>) {
          %z = aten.call "aten.zeros.default"([4, 6]) : () -> tensor<4x6xf32>
          %v = aten.call "aten.view.default"(%z, [24]) : (tensor<4x6xf32>) -> tensor<24xf32>
          aten.call mutates "custom.fill.default"(%v, %x) : (tensor<24xf32>, tensor<4x6xf32>) -> ()
          %y = aten.call "aten.relu.default"(%z) : (tensor<4x6xf32>) -> tensor<4x6xf32>
          func.return
        }""")
    assert facts_by_name(function) == {"y": "0 on axes [0, 1] unless nz(%y)"}


def test_functions_of_higher_order_ops_are_not_entered():
    function = parsed("""
        func.func @forward(%p: tensor<i1>, %x: tensor<4xf32>) -> tensor<4xf32> {
          %c = aten.call "cond"(%p, region<0>, [%x]) {
          ^bb0(%a: tensor<4xf32>):
            %r = aten.call "aten.relu.default"(%a) : (tensor<4xf32>) -> tensor<4xf32>
            aten.yield(%r) : tensor<4xf32>
          } : (tensor<i1>, tensor<4xf32>) -> tensor<4xf32>
          func.return %c : tensor<4xf32>
        }""")
    assert facts_by_name(function) == {"p": "0 unless nz(%p); else 1"}


def test_a_size_of_which_nothing_is_known_proves_nothing():
    function = parsed("""
        func.func @forward(%x: tensor<?x?xf32>) -> tensor<?xf32> {
          %r = aten.call "aten.relu.default"(%x) : (tensor<?x?xf32>) -> tensor<?x?xf32>
          %v = aten.call "aten.view.default"(%r, [-1]) : (tensor<?x?xf32>) -> tensor<?xf32>
          func.return %v : tensor<?xf32>
        }""")
    assert facts_by_name(function) == {"r": "0 on axes [0, 1] unless nz(%r)"}


# -- cost -------------------------------------------------------------------------------------------------------------


def test_facts_stay_few_and_small_in_a_long_program():
    lines = ['%x0 = aten.call "aten.relu.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>']
    for k in range(1, 200):
        lines.append(f'%r{k} = aten.call "aten.relu.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>')
        lines.append(
            f'%x{k} = aten.call "aten.add.Tensor"(%x{k - 1}, %r{k}) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>'
        )
    function = parsed(f"func.func @forward(%x: tensor<4xf32>) {{ {' '.join(lines)} func.return }}")
    facts = forward_facts(function)
    assert max(map(len, facts.values())) <= MAX_FACTS
    assert max(len(list(leaves(fact.predicate))) for own in facts.values() for fact in own) <= MAX_LEAVES


def test_the_same_program_has_the_same_facts():
    rows = [row(lambda x, y, m, n: (x * m[:, None]).relu() * (y * n[:, None]).relu())]
    one, other = (programs(rows)[0] for _ in range(2))
    assert show_facts(only(one)) == show_facts(only(other)) != ""


def test_the_analysis_needs_neither_torch_nor_numpy():
    code = (
        "import sys, gossamer.passes.analysis.facts, gossamer.passes.analysis.permutable\n"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "rank", "kind"),
    [((0, 1), 2, "element"), ((1, 0), 3, "rows"), ((2,), 3, "columns"), ((1,), 3, "slices"), ((), 3, "whole")],
)
def test_a_fact_is_of_a_kind(axes: tuple[int, ...], rank: int, kind: str):
    (program,) = programs([row(lambda x: x.relu())])
    (fact,) = only(program)
    assert Inactive(fact.predicate, axes).kind(rank) == kind


def test_a_fill_names_the_calls_that_make_it():
    (program,) = programs([row(masked_layer, **SEQUENCE)])
    (fact,) = only(program)
    gelu = fact.fill
    assert isinstance(gelu, Applied)
    assert (gelu.target, gelu.sizes) == ("aten.gelu.default", (1, 1, 4))
    (bias,) = gelu.operands
    assert isinstance(bias, Applied)
    assert (bias.target, bias.sizes, str(bias)) == ("aten.view.default", (1, 1, 4), "%b")


# -- anything ---------------------------------------------------------------------------------------------------------

STEPS: list[Callable[..., Tensor]] = [
    lambda a, b, m, i, w: a.relu(), lambda a, b, m, i, w: F.gelu(a), lambda a, b, m, i, w: a.exp(),
    lambda a, b, m, i, w: a.sigmoid(), lambda a, b, m, i, w: a.abs().sqrt(), lambda a, b, m, i, w: a.clamp(0.1, 2),
    lambda a, b, m, i, w: a * m[:, None], lambda a, b, m, i, w: torch.where(m[:, None], a, b),
    lambda a, b, m, i, w: a.masked_fill(m[:, None], -torch.inf), lambda a, b, m, i, w: a + b,
    lambda a, b, m, i, w: a * b, lambda a, b, m, i, w: torch.maximum(a, b), lambda a, b, m, i, w: a + w[0],
    lambda a, b, m, i, w: F.linear(a, w, w[1]), lambda a, b, m, i, w: a @ w, lambda a, b, m, i, w: a.softmax(1),
    lambda a, b, m, i, w: F.layer_norm(a, (6,), w[0], w[1]), lambda a, b, m, i, w: a.cumsum(1),
    lambda a, b, m, i, w: a.amax(0, keepdim=True).expand(4, 6), lambda a, b, m, i, w: a.mean(1, keepdim=True) + a,
    lambda a, b, m, i, w: a[i], lambda a, b, m, i, w: a.reshape(8, 3).view(4, 6), lambda a, b, m, i, w: a.flip(1),
    lambda a, b, m, i, w: a.reshape(2, 2, 6).transpose(0, 1).reshape(4, 6), lambda a, b, m, i, w: a.roll(1, 0),
    lambda a, b, m, i, w: torch.cat([a[:, :2], b[:, 3:], a[:, 5:]], 1), lambda a, b, m, i, w: a.tril(),
    lambda a, b, m, i, w: F.pad(a[1:, :5], (0, 1, 1, 0)), lambda a, b, m, i, w: (a > 0.5).float(),
    lambda a, b, m, i, w: 1 - (b > 0).float(), lambda a, b, m, i, w: a.index_add(0, i, b),
    lambda a, b, m, i, w: torch.zeros(4, 6).index_copy(0, i, b), lambda a, b, m, i, w: a.sort(1)[0],
    lambda a, b, m, i, w: F.max_pool1d(a, 3, 1, 1), lambda a, b, m, i, w: F.one_hot(i, 4).float() @ b,
    lambda a, b, m, i, w: a / (b.abs() + 1e-3), lambda a, b, m, i, w: a.prod(1, keepdim=True) + b,
]  # fmt: skip


def random_program(seed: int) -> Callable[..., Tensor]:
    """Four to nine random steps on matrices of 4 rows and 6 columns."""

    def function(x: Tensor, y: Tensor, m: Tensor, i: Tensor, w: Tensor) -> Tensor:
        choice, made = random.Random(seed), [x, y]
        for _ in range(choice.randint(4, 9)):
            made.append(choice.choice(STEPS)(choice.choice(made), choice.choice(made), m, i, w))
        return made[-1]

    return function


def test_the_facts_of_random_programs_are_true():
    seeds = [random.randrange(2**32) for _ in range(40)]
    rows = [row(random_program(seed), i=below(4, 4), w=weight(6, 6)) for seed in seeds]
    for each, program in zip(rows, programs(rows), strict=True):
        facts = forward_facts(program.function)
        for manner in MANNERS:
            check(program, facts, [source.draw(manner) for _, source in arguments_of(each)])
