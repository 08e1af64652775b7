"""Leave out what only the values show to be zero: products of few rows skip along k or n.

    %g = aten.relu(%a)                    %g = aten.relu(%a)
    %u = aten.linear(%x, %w)              %s = sparse.support %g
    %h = aten.mul(%g, %u)                 %p = arith.cmpf ole, (sparse.density %s), 0.19
    %y = aten.linear(%h, %v, %b)    ->    %d = scf.if %p { yield %s } else { yield sparse.everywhere %s }
                                          %u = sparse.matmul %x, %w[%d] n
                                          %h = aten.mul(%g, %u)
                                          %y = sparse.matmul %h, %v[%d] k bias %b

One support serves every product that may skip by it; where integers list what is read it is `sparse.listed %i`.
Legality and the treatment of NaN and Inf: `analysis/skips.py`.
Both axes are REASSOC, and `exact="bitwise"` forbids them; `strict-nan` keeps what eager makes of infinite activations.

Pays under a break-even density (`solvers/skipping.py`) that is checked when the program runs; above it the product is
the dense one. Where calibration found a density (`sparse.support` on the op that made the value) above it, nothing is
inserted, so that a program without zeros costs nothing. A list is at most as dense as it is long. Many rows have a full
union: without a known density, products of more than `rows` rows stay as they are, and so do those whose rows are
packed already. Linear in the number of ops, but for the search of masks.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IntegerType, ModuleOp, f32
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from ..dialects.aten import CallOp, dims, tensor_type
from ..dialects.sparse import DensityOp, ListedOp, MatmulOp, SupportOp
from .analysis.calls import shape
from .analysis.skips import read_product, skip_sites
from .analysis.supports import Listed, Support
from .insert_gathers import guarded, is_exact
from .packing import call
from .skip_plan import Decision, plan
from .solvers.skipping import Skipper

STRICT_NAN = "gossamer.strict_nan"
"""On a module: compiled with `strict_nan=True`."""


@dataclass
class Inserter:
    """Rewrites one function."""

    function: FuncOp
    densities: dict[Support, DensityOp] = field(default_factory=dict)
    domains: dict[tuple[Support, float], SSAValue] = field(default_factory=dict)

    def run(self, decisions: Iterable[Decision]) -> None:
        """Rewrite what was decided to skip."""
        for decision in decisions:
            if not decision.reason and decision.support is not None:
                self.skip(decision, decision.support)

    def skip(self, decision: Decision, support: Support) -> None:
        """The product as one that skips, before its first reader where the support is only known then."""
        op, product = decision.site.op, read_product(decision.site.op)
        assert product is not None
        domain = self.domain(support, decision)
        ops: list[Operation] = []
        weight = product.weight
        if product.transposed:
            weight = untransposed(weight, ops)
        new = MatmulOp(product.x, weight, domain, decision.site.axis, product.bias)
        ops.append(new)
        new.output.name_hint = op.results[0].name_hint
        for made in ops:
            made.location = op.location
        if is_before(domain, op):
            Rewriter.replace_op(op, ops, [new.output])
        else:
            reader = first_reader(op)
            assert reader is not None
            Rewriter.insert_op(ops, InsertPoint.before(reader))
            Rewriter.replace_op(op, [], [new.output])

    def domain(self, support: Support, decision: Decision) -> SSAValue:
        """The support, if it is under the decision's threshold; one guard for products that share both."""
        key = (support, decision.threshold)
        if key not in self.domains:
            density = self.density(support, decision.rows)
            limit = arith.ConstantOp(FloatAttr(decision.threshold, f32))
            pays = arith.CmpfOp(density.density, limit.result, "ole")
            choice = guarded(pays.result, density.domain)
            choice.results[0].name_hint = "columns"
            place([limit, pays, choice], after=density)
            self.domains[key] = choice.results[0]
        return self.domains[key]

    def density(self, support: Support, rows: int) -> DensityOp:
        """How much of the axis is active, found once, right after it is known."""
        if support not in self.densities:
            known = isinstance(support, Listed) or all(isinstance(s, int) for s in shape(support.value)[:-1])
            ops = active(support, 0 if known else rows)
            density = DensityOp(ops[-1].results[0])
            place([*ops, density], after=self.latest(support))
            self.densities[support] = density
        return self.densities[support]

    def latest(self, support: Support) -> Operation | Block:
        """What makes the last of the values that a support is found from; the block, where they are arguments."""
        latest: Operation | Block = self.function.body.block
        for owner in (value.owner for value in support.values):
            if isinstance(owner, Operation) and (isinstance(latest, Block) or latest.is_before_in_block(owner)):
                latest = owner
        return latest


def active(support: Support, rows: int = 0) -> list[Operation]:
    """Ops that find the positions where `support` is active; the last one gives the domain."""
    ops: list[Operation] = []
    if isinstance(support, Listed):
        lists = [moved(value, offset, ops) for value, offset in support.entries]
        found = ListedOp(lists, support.positions, support.size)
        found.domain.name_hint = "listed"
        return [*ops, found]
    value = support.value
    if support.negated:
        ops.append(call("aten.logical_not.default", (value,), tensor_type(IntegerType(1), dims(value.type))))
        value = ops[-1].results[0]
    found = SupportOp(value, rows)
    found.domain.name_hint = "support"
    return [*ops, found]


def moved(value: SSAValue, offset: int, ops: list[Operation]) -> SSAValue:
    """Every entry of `value` plus `offset`."""
    if not offset:
        return value
    ops.append(call("aten.add.Scalar", (value, offset), value.type))
    return ops[-1].results[0]


def place(ops: list[Operation], after: Operation | Block) -> None:
    """Insert `ops` behind the op, or at the start of the block; they keep its location."""
    point = InsertPoint.after(after) if isinstance(after, Operation) else InsertPoint.at_start(after)
    Rewriter.insert_op(ops, point)
    if isinstance(after, Operation):
        for op in ops:
            op.location = after.location


def untransposed(weight: SSAValue, ops: list[Operation]) -> SSAValue:
    """[k, n] as [n, k]: what it is a transpose of, or its transpose."""
    owner = weight.owner
    if isinstance(owner, CallOp) and owner.target.data == "aten.t.default":
        return owner.operands[0]
    columns, rows = shape(weight)
    assert isinstance(weight.type, type(tensor_type(IntegerType(1), [])))
    turned = call("aten.t.default", (weight,), tensor_type(weight.type.element_type, [rows, columns]))
    ops.append(turned)
    return turned.results[0]


def is_before(value: SSAValue, op: Operation) -> bool:
    """Is `value` known where `op` stands? Both are in the function's block."""
    owner = value.owner
    return isinstance(owner, Block) or owner.is_before_in_block(op)


def first_reader(op: Operation) -> Operation | None:
    """The first op of the block that reads a result of `op`, itself or inside of it."""
    block = op.parent_block()
    assert block is not None
    readers = {block.find_ancestor_op_in_block(use.operation) for result in op.results for use in result.uses}
    return next((other for other in block.ops if other in readers), None)


@dataclass(frozen=True)
class InsertSkips(ModulePass):
    """Skip along k and n by supports. `rows` is the most rows that are looked at without a measured density."""

    name = "insert-skips"
    rows: int = 8
    strict_nan: bool = False
    flops: float | None = None
    weights: float | None = None
    start_k: float | None = None
    copy_k: float | None = None
    start_n: float | None = None
    copy_n: float | None = None
    call: float | None = None
    calls: int | None = None
    bandwidth: float | None = None
    kernel: float | None = None

    @property
    def machine(self) -> Skipper:
        """The options, and the defaults for those not given."""
        names = [f.name for f in fields(Skipper)]
        given = {name: getattr(self, name) for name in names}
        return Skipper(**{name: value for name, value in given.items() if value is not None})

    def decisions(self, function: FuncOp, module: ModuleOp) -> list[Decision]:
        """What is to be done about each site of `function`, of a module that was compiled to be so exact."""
        sites = skip_sites(function, strict=self.strict_nan or STRICT_NAN in module.attributes)
        return plan(function, sites, self.machine, rows=self.rows, exact=is_exact(module))

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.body.block.ops:
            if isinstance(function, FuncOp):
                Inserter(function).run(self.decisions(function, op))
