"""Equal ops become one; results that are two tensors to the caller stay two."""

from collections import Counter
from collections.abc import Callable, Sequence

import gossamer
import pytest
import torch
from gossamer.compiler.pipeline import run_pipeline
from gossamer.dialects.aten import CallOp
from gossamer.tests.imports import Wrap
from gossamer.tests.passes.programs import check, check_stays, program
from xdsl.dialects.builtin import ModuleOp

X = torch.arange(4.0)


def swap_halves(y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return y[2:], y[:2]


RESULTS: dict[str, Callable[[torch.Tensor], Sequence[torch.Tensor]]] = {
    "two equal sums": lambda x: (x + 1, x + 1),
    "three equal sums, one of them read too": lambda x: ((x + 1) * 2, x + 1, x + 1, x + 1),
    "views of two equal sums": lambda x: ((x + 1)[:2], (x + 1)[2:]),
    "views of one sum": lambda x: swap_halves(x + 1),
    "two views of the argument": lambda x: (x.view(2, 2).t(), x.view(2, 2).t()),
    "a copy and what is copied": lambda x: ((x + 1).clone(), x + 1),
    "a copy of a complex number as two": lambda x: (torch.view_as_real(torch.complex(x, x).clone()), x),
    "the argument, a copy and an alias": lambda x: (x, x.clone(), x[:]),
    "parts of two equal sums": lambda x: ((x + 1).tensor_split(2)[0], (x + 1).tensor_split(2)[1]),
    "equal constants": lambda x: (torch.zeros(4), torch.zeros(4), torch.ones(4) + x),
    "equal sums below views that may copy": lambda x: ((x + 1).reshape(2, 2).t().reshape(4), (x + 1).flatten()),
}


def memory(tensors: Sequence[torch.Tensor]) -> list[list[bool]]:
    """Which of these tensors share memory?"""
    places = [t.untyped_storage().data_ptr() for t in tensors]
    return [[a == b for b in places] for a in places]


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("passes", ["simplify", "sink-scatters", None])
def test_results_share_memory_where_the_models_do_and_nowhere_else(name, passes):
    model = Wrap(RESULTS[name])
    ours = gossamer.compile(model, X, **({"pipeline": passes} if passes else {}))
    found, wanted = ours(X), model(X)
    assert memory([*found, X]) == memory([*wanted, X])
    assert all(map(torch.equal, found, wanted))
    for k in range(len(wanted)):
        found, wanted = ours(X.clone()), model(X.clone())
        for results in (found, wanted):
            results[k].mul_(3)
        assert all(map(torch.equal, found, wanted))


def test_results_are_tensors_of_their_own_even_if_they_share_memory():
    ours = gossamer.compile(Wrap(lambda x: (x[:], (x + 1).view(2, 2), x.view(4))), X)
    assert len({id(t) for t in (*ours(X), X)}) == 4


RANDOM: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "rand": lambda x: torch.rand(64) - torch.rand(64),
    "rand_like": lambda x: torch.rand_like(x) - torch.rand_like(x),
    "bernoulli": lambda x: torch.bernoulli(x) - torch.bernoulli(x),
    "dropout": lambda x: torch.nn.functional.dropout(x) - torch.nn.functional.dropout(x),
    "normal": lambda x: torch.normal(x, 1.0) - torch.normal(x, 1.0),
    "randperm": lambda x: torch.randperm(64) - torch.randperm(64),
    "multinomial": lambda x: torch.multinomial(x, 64) - torch.multinomial(x, 64),
    "dropout in attention": lambda x: (
        torch.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None], dropout_p=0.5)
        - torch.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None], dropout_p=0.5)
    ),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_numbers_are_drawn_as_often_as_the_model_draws_them(name):
    x = torch.full((64,), 0.5) if "attention" not in name else torch.full((64, 8), 0.5)
    model = Wrap(RANDOM[name])
    ours = gossamer.compile(model, x, pipeline="simplify,sink-scatters")
    torch.manual_seed(0)
    found, wanted = ours(x), (torch.manual_seed(0), model(x))[1]
    assert torch.equal(found, wanted)
    assert found.any()


@torch.library.custom_op("merging::draw", mutates_args=())
def draw(x: torch.Tensor) -> torch.Tensor:
    return torch.rand(x.shape)


@draw.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


def test_a_custom_op_may_do_what_it_does_not_say():
    ours = gossamer.compile(Wrap(lambda x: draw(x) - draw(x)), X, pipeline="simplify,sink-scatters")
    assert ours(X).any()


MERGED = """
func.func @forward(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
  %a = aten.call "aten.neg.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %b = aten.call "aten.neg.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %c = aten.call "aten.neg.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
  %s = aten.call "aten.abs.default"(%b) : (tensor<4xf32>) -> tensor<4xf32>
  func.return %a, %s : tensor<4xf32>, tensor<4xf32>
}"""


@pytest.mark.parametrize("passes", ["simplify", "sink-scatters"])
def test_what_leaves_by_one_way_only_is_one_with_what_is_read_inside(passes):
    check(
        passes,
        MERGED,
        """
        func.func @forward(%x: tensor<4xf32>) -> (tensor<4xf32>, tensor<4xf32>) {
          %a = aten.call "aten.neg.default"(%x) : (tensor<4xf32>) -> tensor<4xf32>
          %s = aten.call "aten.abs.default"(%a) : (tensor<4xf32>) -> tensor<4xf32>
          func.return %a, %s : tensor<4xf32>, tensor<4xf32>
        }""",
    )


def targets(module: ModuleOp) -> Counter[str]:
    return Counter(op.target.data for op in module.walk() if isinstance(op, CallOp))


STORED = {
    "returned packed, where everywhere is a view": """
      func.func @forward(%x: FULL, %d: DOMAIN) -> (ROWS, ROWS) {
        %a = aten.call "aten.cumsum.default"(%x, 1) : (FULL) -> FULL
        %b = aten.call "aten.cumsum.default"(%x, 1) : (FULL) -> FULL
        %g = sparse.gather %a[%d] "i j a" : FULL, DOMAIN -> ROWS
        %h = sparse.gather %b[%d] "i j a" : FULL, DOMAIN -> ROWS
        func.return %g, %h : ROWS, ROWS
      }""",
    "assigned to arguments": """
      func.func @forward(%x: FULL, %y: FULL) {
        %a = aten.call "aten.neg.default"(%x) : (FULL) -> FULL
        %b = aten.call "aten.neg.default"(%x) : (FULL) -> FULL
        aten.assign %x, %a : FULL, FULL
        aten.assign %y, %b : FULL, FULL
        func.return
      }""",
    "passed to functions": """
      func.func @forward(%x: BIAS, %p: KEEP) -> (BIAS, BIAS) {
        %a = aten.call "aten.neg.default"(%x) : (BIAS) -> BIAS
        %b = aten.call "aten.neg.default"(%x) : (BIAS) -> BIAS
        %c = aten.call "map"(region<0>, [%a]) {
        ^bb0(%i: BIAS):
          aten.yield(%i) : BIAS
        } : (BIAS) -> BIAS
        func.return %b, %c : BIAS, BIAS
      }""",
    "given to a custom op": """
      func.func @forward(%x: BIAS) -> (BIAS, BIAS) {
        %a = aten.call "aten.neg.default"(%x) : (BIAS) -> BIAS
        %b = aten.call "aten.neg.default"(%x) : (BIAS) -> BIAS
        %c = aten.call "my.op.default"(%a) : (BIAS) -> BIAS
        func.return %b, %c : BIAS, BIAS
      }""",
    "given back by a function": """
      func.func @forward(%x: BIAS) -> (BIAS, BIAS) {
        %c, %d = aten.call "map"(region<0>, [%x]) unpack {
        ^bb0(%i: BIAS):
          %a = aten.call "aten.neg.default"(%i) : (BIAS) -> BIAS
          %b = aten.call "aten.neg.default"(%i) : (BIAS) -> BIAS
          aten.yield(%a, %b) : BIAS, BIAS
        } : (BIAS) -> (BIAS, BIAS)
        func.return %c, %d : BIAS, BIAS
      }""",
    "written in place": """
      func.func @forward(%x: BIAS) -> BIAS {
        %a = aten.call "aten.neg.default"(%x) : (BIAS) -> BIAS
        %b = aten.call "aten.neg.default"(%x) : (BIAS) -> BIAS
        %c = aten.call mutates "aten.add_.Tensor"(%a, 1) : (BIAS) -> BIAS
        %d = aten.call "aten.sub.Tensor"(%a, %b) : (BIAS, BIAS) -> BIAS
        func.return %d : BIAS
      }""",
}


@pytest.mark.parametrize("how", STORED)
@pytest.mark.parametrize("passes", ["simplify", "sink-scatters"])
def test_equal_values_stay_two_where_both_leave(how, passes):
    check_stays(passes, STORED[how])


def test_equal_masks_and_domains_are_one():
    module = program("""
        func.func @forward(%x: FULL, %k: KEEP) -> (FULL, FULL) {
          %m = aten.call "aten.logical_not.default"(%k) : (KEEP) -> KEEP
          %n = aten.call "aten.logical_not.default"(%k) : (KEEP) -> KEEP
          %d = sparse.domain %m : KEEP -> DOMAIN
          %e = sparse.domain %n : KEEP -> DOMAIN
          %g = sparse.gather %x[%d] "i j a" : FULL, DOMAIN -> ROWS
          %h = sparse.gather %x[%e] "i j a" : FULL, DOMAIN -> ROWS
          %a = aten.call "aten.neg.default"(%g) : (ROWS) -> ROWS
          %b = aten.call "aten.abs.default"(%h) : (ROWS) -> ROWS
          %s = sparse.scatter %a[%d] "i j a" : ROWS, DOMAIN -> FULL
          %t = sparse.scatter %b[%e] "i j a" : ROWS, DOMAIN -> FULL
          func.return %s, %t : FULL, FULL
        }""")
    run_pipeline(module, "sink-scatters")
    assert targets(module)["aten.logical_not.default"] == 1
    assert Counter(op.name for op in module.walk())["sparse.domain"] == 1
    assert Counter(op.name for op in module.walk())["sparse.gather"] == 1


def test_equal_conditionals_are_one_unless_they_draw_or_call_custom_ops():
    def twice(call: str) -> int:
        region = f"""{{
        ^bb0(%i: BIAS):
          %n = {call}(%i) : (BIAS) -> BIAS
          aten.yield(%n) : BIAS
        }} : (BIAS) -> BIAS"""
        module = program(f"""
            func.func @forward(%x: BIAS) -> BIAS {{
              %a = aten.call "map"(region<0>, [%x]) {region}
              %b = aten.call "map"(region<0>, [%x]) {region}
              %c = aten.call "aten.sub.Tensor"(%a, %b) : (BIAS, BIAS) -> BIAS
              func.return %c : BIAS
            }}""")
        run_pipeline(module, "simplify")
        return targets(module)["map"]

    assert twice('aten.call "aten.neg.default"') == 1
    assert twice('aten.call random "aten.rand_like.default"') == 2
    assert twice('aten.call "my.op.default"') == 2
