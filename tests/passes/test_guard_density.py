"""Above its break-even a domain is everywhere."""

from collections import Counter

import pytest
import torch
from gossamer.compiler.pipeline import run_pipeline
from gossamer.passes.guard_density import expected, region_of
from gossamer.passes.solvers.break_even import AttentionWork, Elementwise, Move, Product, Region
from gossamer.runtime.executor import Program
from gossamer.tests.passes.programs import check_stays, program
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, ModuleOp
from xdsl.dialects.func import FuncOp

PACKED = """
func.func @forward(%x: FULL {aten.name = "x"}, %k: KEEP {aten.name = "keep"}, %w: WEIGHT {aten.name = "w"}) -> FULL {
  %d = sparse.domain %k : KEEP -> DOMAIN
  %g = sparse.gather %x[%d] "i j a" : FULL, DOMAIN -> ROWS
  %c = aten.call "aten.linear.default"(%g, %w) attributes {sparse.layout = #sparse<layout "i j a">}
    : (ROWS, WEIGHT) -> ROWS
  %y = sparse.scatter %c[%d] "i j a" : ROWS, DOMAIN -> FULL
  func.return %y : FULL
}"""


def guarded(options: str = "") -> ModuleOp:
    module = program(PACKED)
    run_pipeline(module, f"guard-density{options}")
    return module


def limit(module: ModuleOp) -> float:
    """The break-even that stands in the program."""
    (constant,) = (op for op in module.walk() if isinstance(op, arith.ConstantOp))
    assert isinstance(constant.value, FloatAttr)
    return constant.value.value.data


def test_every_reader_of_the_domain_reads_the_guarded_one():
    module = guarded()
    ops = {op.name: op for op in module.walk()}
    choice = ops["scf.if"].results[0]
    assert ops["sparse.gather"].operands[1] is choice
    assert ops["sparse.scatter"].operands[1] is choice
    assert ops["sparse.density"].operands[0] is ops["sparse.domain"].results[0]


def test_a_second_guard_is_not_put_on():
    module = guarded()
    before = module.clone()
    run_pipeline(module, "guard-density")
    assert module.is_structurally_equivalent(before)


def test_a_program_without_domains_stays_as_it_is():
    check_stays(
        "guard-density",
        """
        func.func @forward(%x: FULL) -> FULL {
          %y = aten.call "aten.relu.default"(%x) : (FULL) -> FULL
          func.return %y : FULL
        }""",
    )


def test_a_slower_machine_packs_up_to_a_higher_density():
    slow, fast = guarded("{flops=1.0e3 call=0.0}"), guarded("{flops=1.0e15 bandwidth=1.0e6}")
    assert 0.0 <= limit(fast) < limit(slow) < 1.0


@pytest.mark.parametrize("active", [0, 3, 11, 12])
def test_the_result_is_the_same_on_both_sides_of_the_guard(active):
    module = guarded("{flops=1.0e3 call=0.0}")
    keep = (torch.randperm(12) < active).view(3, 4)
    x, w = torch.randn(3, 4, 8), torch.randn(8, 8)
    (found,) = Program.build(module, {})([x, keep, w])
    torch.testing.assert_close(found[keep], (x @ w.T)[keep])
    if active == 12:
        assert torch.equal(found, torch.nn.functional.linear(x, w))


def test_one_guard_serves_a_domain_however_many_read_it():
    text = PACKED.replace("func.return", '%z = sparse.gather %x[%d] "i j a" : FULL, DOMAIN -> ROWS\n  func.return')
    module = program(text)
    run_pipeline(module, "guard-density")
    ops = Counter(op.name for op in module.walk())
    assert ops["scf.if"] == ops["sparse.density"] == 1


def test_a_domain_that_comes_from_outside_gets_no_guard():
    check_stays(
        "guard-density",
        """
        func.func @forward(%x: FULL, %d: DOMAIN) -> ROWS {
          %g = sparse.gather %x[%d] "i j a" : FULL, DOMAIN -> ROWS
          func.return %g : ROWS
        }""",
    )


WORK = """
func.func @forward(%x: FULL, %k: KEEP, %l: KEEP, %w: tensor<16x8xHALF>, %v: tensor<?x16xHALF, #aten.dims<"2*t", 16>>)
    -> (FULL, ROWS, OUT) attributes {aten.symbols = {b = [2, -1, 4], s = [2, -1, 10], t = [0, -1, -1]}} {
  %d = sparse.domain %k : KEEP -> DOMAIN
  %e = sparse.domain %l : KEEP -> DOMAIN
  %other = sparse.gather %x[%e] "i j a" : FULL, DOMAIN -> ROWS
  %dense = aten.call "aten.relu.default"(%x) : (FULL) -> FULL
  %g = sparse.gather %x[%d] "i j a" : FULL, DOMAIN -> ROWS
  %n = sparse.size %d : DOMAIN -> ACTIVE
  %h = aten.call "aten.reshape.default"(%g, [%n, 2, 4]) : (ROWS, ACTIVE) -> ROWS_2
  %a = sparse.attention %h, %h, %h[%d] none : ROWS_2, ROWS_2, ROWS_2, DOMAIN -> ROWS_2
  %f = aten.call "aten.reshape.default"(%a, [%n, 8]) : (ROWS_2, ACTIVE) -> ROWS
  %p = aten.call "aten.linear.default"(%f, %w) : (ROWS, tensor<16x8xHALF>) -> tensor<?x16xHALF>
  %q = aten.call "aten.linear.default"(%p, %v) : (tensor<?x16xHALF>, tensor<?x16xHALF, #aten.dims<"2*t", 16>>) -> TURN
  %y = sparse.scatter %q[%d] "i j a" : TURN, DOMAIN -> OUT
  func.return %dense, %f, %y : FULL, ROWS, OUT
}"""
"""A region of everything that costs, and what is no part of it: another domain's rows, and full rows."""


@pytest.mark.parametrize(("half", "width"), [("bf16", 2), ("f32", 4), ("f64", 8), ("i1", 1)])
def test_the_work_of_a_region_is_what_follows_its_gathers(half, width):
    text = WORK.replace("HALF", half).replace("TURN", f'tensor<?x?x{half}, #aten.dims<"?", "2*t">>')
    module = program(text.replace("OUT", f'tensor<?x?x?x{half}, #aten.dims<"b", "s", "2*t">>'))
    (function,) = (op for op in module.ops if isinstance(op, FuncOp))
    domain = next(op for op in module.walk() if op.name == "sparse.domain").results[0]
    assert region_of(domain, function) == Region(
        rows=40,
        length=10,
        width=width,
        products=[Product(16, 8), Product(2, 16)],
        attentions=[AttentionWork(8)],
        others=[Elementwise(16), Elementwise(16)],
        moves=[Move(8, scatters=False), Move(2, scatters=True)],
    )


def test_sizes_that_the_example_does_not_tell_count_once():
    assert expected("3*b*b*t*u", {"b": 5, "t": -1}) == 3 * 5 * 5
