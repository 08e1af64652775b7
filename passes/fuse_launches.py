"""An activation, the search for what it left and the product that skips by it become one launch.

    %h, %s = kernel.launch @support_.. support x(%x) {..}           %y = kernel.launch @support_skip_k_.. support_skip_k
    %p = arith.cmpf ole, (sparse.density %s), 0.88                        x(%x) weight(%w) upto 2703 {
    %d = scf.if %p { %s } else { sparse.everywhere %s }       ->      all of the left
    %y = kernel.launch @skip_k_.. skip_k                              kernel.yield %y
          x(%h) weight(%w) active(%d) {..}                          }

Legal where nothing else reads what is between: no activated row is written, the product activates what it reads. Above
the guard's density, given as a number of positions, the program is what it was. The same sums in the same order:
BITWISE. Pays always: a launch costs more than the activation of a few rows, most of all where other work has
pushed Python out of the caches. Where all is active the search is done twice. Linear in the number of ops.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.arith import CMPF_COMPARISON_OPERATIONS
from xdsl.dialects.builtin import FloatAttr, ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.dialects.scf import IfOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass

from ..dialects.aten import dims
from ..dialects.kernel import Form, LaunchOp
from ..dialects.sparse import DensityOp, EverywhereOp, SupportOp
from .kernels.shapes import Shape, shape_of
from .kernels.signature import MACHINE, Machine
from .lower_products import activation_of, launch


@dataclass(frozen=True)
class Chain:
    """A launch of a support, the guard of what it found, and the launch of the product; `most` positions at most."""

    support: LaunchOp
    guard: Sequence[Operation]
    product: LaunchOp
    most: int

    @property
    def ops(self) -> list[Operation]:
        """All of it, in order."""
        return [self.support, *self.guard, self.product]

    def is_closed(self) -> bool:
        """Does nothing else read what is made before the product?"""
        inside = {id(op) for op in self.ops}
        block = self.product.parent_block()
        assert block is not None
        made = [result for op in self.ops[:-1] if not isinstance(op, arith.ConstantOp) for result in op.results]
        readers = [block.find_ancestor_op_in_block(use.operation) for value in made for use in value.uses]
        return all(id(reader) in inside for reader in readers)


def chain_of(product: Operation) -> Chain | None:
    """What ends with this product; None where it is something else."""
    if not isinstance(product, LaunchOp) or product.form.data is not Form.SKIP_K or product.active is None:
        return None
    found = guard_of(product.active)
    if found is None:
        return None
    source, ops, limit = found
    support = source.owner
    if not isinstance(support, LaunchOp) or support.form.data is not Form.SUPPORT:
        return None
    activated = support.results[0] if len(support.results) > 1 else support.x
    if activated is not product.x or support.parent_block() is not product.parent_block():
        return None
    width = dims(product.x.type)[-1]
    assert isinstance(width, int)
    chain = Chain(support, ops, product, sum(size / width <= limit for size in range(1, width + 1)))
    return chain if chain.is_closed() else None


def guard_of(domain: SSAValue) -> tuple[SSAValue, list[Operation], float] | None:
    """What was found, and the ops and the density of the guard above which it is everywhere; None for another one."""
    choice = domain.owner
    if not isinstance(choice, IfOp):
        return domain, [], 1.0
    plain, other = ([*region.block.ops] for region in (choice.true_region, choice.false_region))
    pays = choice.cond.owner
    if len(choice.results) != 1 or len(plain) != 1 or len(other) != 2 or not isinstance(pays, arith.CmpfOp):
        return None
    (found,), everywhere = plain[0].operands, other[0]
    density, limit = pays.lhs.owner, pays.rhs.owner
    if not isinstance(density, DensityOp) or not isinstance(limit, arith.ConstantOp):
        return None
    if not isinstance(everywhere, EverywhereOp) or not isinstance(limit.value, FloatAttr):
        return None
    is_most = CMPF_COMPARISON_OPERATIONS[pays.predicate.value.data] == "ole"
    if not is_most or density.domain is not found or everywhere.operands[0] is not found:
        return None
    return found, [density, limit, pays, choice], limit.value.value.data


def shape_of_chain(chain: Chain) -> Shape | None:
    """What the kernel is written for."""
    (support,) = (op for op in chain.support.meaning.block.ops if isinstance(op, SupportOp))
    weight, bias = chain.product.weight, chain.product.bias
    assert weight is not None
    outputs, inputs = dims(weight.type)
    numbers = [chain.support.x, weight, *([] if bias is None else [bias])]
    shape = shape_of(inputs, outputs, chain.support.x, numbers)
    flags = (activation_of(support)[1], *([] if bias is None else ["bias"]))
    return None if shape is None else shape.with_flags(flags)


def fuse(module: ModuleOp, chain: Chain, shape: Shape, machine: Machine) -> None:
    """Put one launch in the place of the product."""
    product = chain.product
    given = {"x": chain.support.x, "weight": product.weight, "bias": product.bias}
    present = {name: value for name, value in given.items() if value is not None}
    launch(module, shape, Form.SUPPORT_SKIP_K, present, chain.ops, product.results, machine, upto=chain.most)


@dataclass(frozen=True)
class FuseLaunches(ModulePass):
    """See the head of this file. `lanes` and `registers` are the machine's: f32 in a vector, and vectors."""

    name = "fuse-launches"
    lanes: int = MACHINE.lanes
    registers: int = MACHINE.registers

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        machine = Machine(self.lanes, self.registers)
        functions = [function for function in op.ops if isinstance(function, FuncOp)]
        found = [o for f in functions for o in f.walk() if not isinstance(o.parent_op(), LaunchOp)]
        for target in found:
            chain = chain_of(target)
            shape = None if chain is None else shape_of_chain(chain)
            if chain is not None and shape is not None:
                fuse(op, chain, shape, machine)
