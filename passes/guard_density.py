"""Pack only while it pays: a domain above its break-even density becomes everywhere.

    %d = sparse.domain %mask              %a = sparse.domain %mask
                                          %x = sparse.density %a
                                          %c = arith.constant 8.850000e-01 : f32
                                   ->     %p = arith.cmpf ole, %x, %c : f32
                                          %d = scf.if %p { yield %a } else { yield sparse.everywhere %a }

Over everywhere the packed program is the dense one: gathers and scatters are views, attention is the model's own.
So the dense form needs no second copy of the code. The break-even comes from the work that stands under the domain
(`solvers/break_even.py`) and from this machine's rates, which come in as options. Always legal; bitwise equal to
eager when it takes the dense side.
"""

import math
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith, scf
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FixedBitwidthType, FloatAttr, IntegerAttr, ModuleOp, f32
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ..dialects.aten import CallOp, dims, tensor_of
from ..dialects.sparse import AttentionOp, CoversOp, DensityOp, GatherOp, ScatterOp, domain_of
from .analysis.calls import shape
from .analysis.row_reductions import PRODUCTS
from .insert_gathers import guarded
from .solvers.break_even import AttentionWork, Elementwise, Machine, Move, Product, Region, break_even
from .solvers.sizes import Monomial, Size

MOVES = (GatherOp, ScatterOp)


def hints(function: FuncOp) -> dict[str, int]:
    """Sizes of the symbols in the example inputs, as far as they are known."""
    symbols = function.attributes.get("aten.symbols")
    found: dict[str, int] = {}
    if isinstance(symbols, DictionaryAttr):
        for name, limits in symbols.data.items():
            match limits:
                case ArrayAttr(data=(_, _, IntegerAttr(value=hint))) if hint.data >= 0:
                    found[name] = hint.data
    return found


def expected(size: Size, hint: dict[str, int]) -> int:
    """A size as a number: its symbols as in the example inputs; 1 where nothing is known."""
    monomial = Monomial.of(size)
    return monomial.coefficient * math.prod(max(hint.get(s, 1), 1) for s in monomial.symbols)


def compact_elements(value: SSAValue, hint: dict[str, int]) -> int:
    """Elements of one row of a compact value."""
    return math.prod(expected(size, hint) for size in dims(value.type)[1:])


def element_bytes(value: SSAValue) -> int:
    """Bytes of an element."""
    element = tensor_of(value).element_type
    return max(element.bitwidth // 8, 1) if isinstance(element, FixedBitwidthType) else 4


def region_of(domain: SSAValue, function: FuncOp) -> Region:
    """The work that is done once for each active position of `domain`: what follows its gathers."""
    hint = hints(function)
    space = [expected(size, hint) for size in domain_of(domain).sizes]
    compact: set[SSAValue] = set()
    products: list[Product] = []
    attentions: list[AttentionWork] = []
    others: list[Elementwise] = []
    moves: list[Move] = []
    widths: list[int] = []
    for op in function.body.block.ops:
        if isinstance(op, MOVES) and op.domain is domain:
            moves.append(Move(compact_elements(op.compact, hint), isinstance(op, ScatterOp)))
            if isinstance(op, GatherOp):
                compact.add(op.compact)
        elif isinstance(op, AttentionOp) and op.domain is domain:
            attentions.append(AttentionWork(compact_elements(op.query, hint)))
            compact.add(op.output)
        elif isinstance(op, CallOp) and any(operand in compact for operand in op.operands):
            compact.update(op.results)
            if op.target.data in PRODUCTS:
                weight = op.operands[PRODUCTS[op.target.data] + 1]
                inputs, outputs = (expected(size, hint) for size in shape(weight))
                products.append(Product(inputs, outputs))
                widths.append(element_bytes(op.results[0]))
            else:
                others.append(Elementwise(2 * sum(compact_elements(r, hint) for r in op.results)))
    return Region(math.prod(space), space[-1], min(widths, default=4), products, attentions, others, moves)


def is_guarded(domain: SSAValue) -> bool:
    """Has this domain a density guard already?"""
    return threshold(domain) is not None


def threshold(domain: SSAValue) -> float | None:
    """The density up to which `domain` is active alone; None without a guard."""
    op = domain.owner
    condition = op.cond.owner if isinstance(op, scf.IfOp) else None
    constant = condition.rhs.owner if isinstance(condition, arith.CmpfOp) else None
    value = constant.value if isinstance(constant, arith.ConstantOp) else None
    return value.value.data if isinstance(value, FloatAttr) else None


def roots(function: FuncOp) -> list[SSAValue]:
    """Domains that moves and attentions use, in program order."""
    used: dict[SSAValue, None] = {}
    for op in function.body.block.ops:
        if isinstance(op, (*MOVES, AttentionOp)):
            used[op.domain] = None
    return list(used)


def guard(domain: SSAValue, threshold: float) -> None:
    """Readers of `domain` see it only up to density `threshold`, else everywhere."""
    source = domain.owner
    if not isinstance(source, Operation):
        return
    readers = [use for use in domain.uses if not isinstance(use.operation, DensityOp | CoversOp)]
    density = DensityOp(domain)
    limit = arith.ConstantOp(FloatAttr(threshold, f32))
    pays = arith.CmpfOp(density.density, limit.result, "ole")
    choice = guarded(pays.result, domain)
    Rewriter.insert_op([density, limit, pays, choice], InsertPoint.after(source))
    for op in (density, limit, pays, choice):
        op.location = source.location
    choice.results[0].name_hint = "rows"
    for use in readers:
        use.operation.operands[use.index] = choice.results[0]


@dataclass(frozen=True)
class GuardDensity(ModulePass):
    """Fall back to the dense form above the break-even density."""

    name = "guard-density"
    flops: float | None = None
    bandwidth: float | None = None
    call: float | None = None
    sequence: float | None = None

    @property
    def machine(self) -> Machine:
        """The options, and the defaults for those not given."""
        given = {k: getattr(self, k) for k in ("flops", "bandwidth", "call", "sequence")}
        return Machine(**{k: v for k, v in given.items() if v is not None})

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.body.block.ops:
            if isinstance(function, FuncOp):
                for domain in roots(function):
                    if not is_guarded(domain):
                        guard(domain, break_even(region_of(domain, function), self.machine))
