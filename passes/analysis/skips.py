"""Products that can skip along k or n, and the supports that they may skip by.

    %g = aten.relu(%a)                     0 unless nz(%g)
    %u = aten.linear(%x, %w)               axis n   demanded where nz(%g)     support of %g
    %h = aten.mul(%g, %u)                  0 unless nz(%g)
    %y = aten.linear(%h, %v, %b)           axis k   zero elsewhere            support of %g, or of %h itself
    %l = aten.linear(%y, %e)               axis n   read where %i lists       what %i lists
    %c = aten.index_select(%l, -1, %i)

k: the input is exactly 0 outside of the support, by its forward facts (`facts.py`); n: nobody reads the result outside
of it with effect, by its demand (`demand.py`). A predicate that is a conjunction may be widened to any of its parts,
and a part `nz(%g)[.., i]` along the last axis to the support of %g: the union over all rows. So is a part
`any(%i[.., j] == i)` to all that %i lists (`listed.py`), which a top-k gate and a gather of its columns are.

Legal where 0 * weight is 0, so where the weight is finite. That is checked once, when the program is made
(`sparse.finite` on `aten.weight`); a weight that becomes infinite later is not noticed. Activations that are skipped
are taken to be finite unless `strict`: where eager's relu(g) * u is 0 * inf = NaN the program gives 0. A NaN in what
the support is taken of is active, and reaches the result.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from xdsl.dialects.builtin import DictionaryAttr, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.traits import SymbolTable

from ...dialects.aten import CallOp, ParameterOp, UpdateOp, WeightOp
from ...dialects.sparse import Skip
from ..solvers.sizes import Size
from .calls import argument, rank, shape
from .demand import Demands, backward_demand
from .fact_scope import position
from .facts import forward_facts
from .indices import Var
from .listed import listings
from .predicates import ALWAYS, And, Exists, NonZero, Not, Predicate, axes
from .row_reductions import PRODUCTS
from .supports import Columns, Listed, Support

FINITE = "sparse.finite"
"""On `aten.weight`, and on arguments: every number is finite."""


@dataclass(frozen=True)
class Product:
    """x w^T + bias; `transposed` says that `weight` stands as [k, n]."""

    x: SSAValue
    weight: SSAValue
    bias: SSAValue | None
    transposed: bool


@dataclass(frozen=True)
class SkipSite:
    """A product, the axis it may skip along, and by what; `reason` says why not, or is empty."""

    op: CallOp
    axis: Skip
    predicate: str
    supports: tuple[Support, ...] = ()
    reason: str = ""


def read_product(op: CallOp) -> Product | None:
    """The parts of a product by a matrix; None where it is none, or its inner size stands there in two ways."""
    name = op.target.data
    carrier = PRODUCTS.get(name)
    if carrier is None or [argument(op, 3, scale, 1) for scale in ("beta", "alpha")] != [1, 1]:
        return None
    x, weight = argument(op, carrier, "input"), argument(op, carrier + 1, "weight")
    bias = argument(op, 2, "bias") if name == "aten.linear.default" else argument(op, 0, "self") if carrier else None
    if not isinstance(x, SSAValue) or not isinstance(weight, SSAValue) or rank(weight) != 2 or rank(x) < 1:
        return None
    if bias is not None and (not isinstance(bias, SSAValue) or rank(bias) != 1):
        return None
    transposed = name != "aten.linear.default"
    if shape(x)[-1] != shape(weight)[0 if transposed else 1]:
        return None
    return Product(x, weight, bias, transposed)


def skip_sites(function: FuncOp, *, strict: bool = False) -> list[SkipSite]:
    """Every product of `function` that reads zeros, or of which zeros are read, in program order."""
    return Finder.of(function, strict=strict).all()


def products(function: FuncOp) -> list[tuple[CallOp, Product]]:
    """Every product by a matrix, in program order."""
    calls = [op for op in function.body.block.ops if isinstance(op, CallOp)]
    return [(op, product) for op in calls if (product := read_product(op)) is not None]


@dataclass
class Finder:
    """Looks for sites in one function."""

    demands: Demands
    strict: bool

    @classmethod
    def of(cls, function: FuncOp, *, strict: bool = False) -> "Finder":
        """With facts and demands of `function`, which is what it costs."""
        return cls(backward_demand(function, forward_facts(function), strict=strict), strict)

    def all(self) -> list[SkipSite]:
        """Every site, in program order; by the weights that are marked as finite now."""
        return [site for op, product in products(self.demands.scope.function) for site in self.sites(op, product)]

    def sites(self, op: CallOp, product: Product) -> Iterator[SkipSite]:
        """At most one along each axis."""
        for site in (self.along_k(op, product), self.along_n(op, product)):
            if site is not None:
                yield site

    def along_k(self, op: CallOp, product: Product) -> SkipSite | None:
        """The input is zero outside of a support."""
        last = rank(product.x) - 1
        found = [
            part for part in self.demands.known.zeros(product.x)
            if part.exact and last in axes(part.predicate) and part.predicate != ALWAYS
        ]  # fmt: skip
        if not found:
            return None
        text = str(found[0].predicate)
        if not self.is_finite(product.weight):
            return SkipSite(op, Skip.K, text, reason="its weight was not found to be finite: 0 * inf is NaN")
        trusted = [part for part in found if self.is_trusted(part.needs)]
        predicates = [part.predicate for part in trusted]
        return SkipSite(op, Skip.K, text, (*self.supports(predicates, product.x), Columns(product.x)))

    def along_n(self, op: CallOp, product: Product) -> SkipSite | None:
        """The result is read inside of a support only."""
        result = op.results[0]
        demand = self.demands.of(result)
        if demand is None or rank(result) - 1 not in axes(demand.predicate):
            return None
        text = str(demand.predicate)
        if demand.needs_finite and not self.is_finite(product.weight):
            return SkipSite(op, Skip.N, text, reason="its weight was not found to be finite: 0 * inf is NaN")
        if not self.is_trusted(demand.needs_finite):
            return SkipSite(op, Skip.N, text, reason="a weight it is multiplied with was not found to be finite")
        supports = self.supports([demand.predicate], result)
        reason = "" if supports else "no tensor is zero just where nobody reads it, and no list says what is read"
        return SkipSite(op, Skip.N, text, supports, reason)

    # -- supports ---------------------------------------------------------------------------------------------------

    def supports(self, predicates: Sequence[Predicate], value: SSAValue) -> tuple[Support, ...]:
        """Those along the last axis of `value` that hold every position where a predicate does, for any row.

        Of lists the shortest.
        """
        columns = (support for predicate in predicates for support in self.columns(predicate, value))
        lists = [support for predicate in predicates for support in self.lists(predicate, value)]
        return (*dict.fromkeys(columns), *([min(lists, key=lambda found: found.length(known))] if lists else []))

    def lists(self, predicate: Predicate, value: SSAValue) -> Iterator[Listed]:
        """Integers that name every position where `predicate` holds."""
        size = shape(value)[-1]
        for found in listings(predicate, rank(value) - 1, size) if isinstance(size, int) else ():
            entries = tuple((var.value, offset) for var, offset in found.entries if isinstance(var.value, SSAValue))
            if all(self.demands.scope.is_stable(value) for value, _ in entries):
                yield Listed(entries, found.positions, int(size))

    def columns(self, predicate: Predicate, value: SSAValue) -> Iterator[Columns]:
        """Supports by the values of a tensor."""
        scope, last = self.demands.scope, position(rank(value) - 1)
        parts = list(dict.fromkeys(conjuncts(predicate)))
        yield from (Columns(tensor) for tensor in self.seen_through(parts, value))
        for part in parts:
            of = part.of if isinstance(part, Not) else part
            if isinstance(of, NonZero) and isinstance(tensor := of.var.value, SSAValue):
                fits = of.at and of.at[-1] == last and scope.sizes(tensor)[-1] == scope.sizes(value)[-1]
                if fits and not is_weight(tensor):
                    yield Columns(tensor, isinstance(part, Not))

    def seen_through(self, parts: list[Predicate], value: SSAValue) -> Iterator[SSAValue]:
        """Tensors that are made of others, and not zero only where some of `parts` hold: the narrowest first."""
        scope, to, found = self.demands.scope, self.demands.scope.sizes(value), list[tuple[int, SSAValue]]()
        for tensor, truth in self.truths:
            at = scope.broadcast(tensor, to) if shape(tensor)[-1:] == shape(value)[-1:] else None
            if at is not None:
                own = set(conjuncts(scope.read(truth, at, scope.ranges(value))))
                if own <= set(parts) and any(rank(value) - 1 in axes(part) for part in own):
                    found.append((-len(own), tensor))
        yield from (tensor for _, tensor in sorted(found, key=lambda pair: pair[0]))

    @cached_property
    def truths(self) -> list[tuple[SSAValue, Predicate]]:
        """Tensors whose zeros are told by something else, but for mere moves, with where they are not zero."""
        scope = self.demands.scope
        tensors = [value for value in scope.order if isinstance(value.type, TensorType) and scope.move(value) is None]
        known = ((value, scope.truth(value)) for value in tensors if rank(value))
        return [pair for pair in known if not (isinstance(pair[1], NonZero) and pair[1].var.value is pair[0])]

    # -- finiteness -------------------------------------------------------------------------------------------------

    def is_trusted(self, needs: frozenset[Var]) -> bool:
        """May these be taken to be finite? Weights that were checked; activations unless `strict`."""
        values = [var.value for var in needs if isinstance(var.value, SSAValue)]
        roots = [self.demands.scope.root(value)[0] for value in values]
        return all(self.is_finite(root) if is_weight(root) else not self.strict for root in roots)

    def is_finite(self, weight: SSAValue) -> bool:
        """Was this weight, or argument, checked to be finite? Not one that the program itself writes."""
        root, _ = self.demands.scope.root(weight)
        if isinstance(root.owner, Block):
            return has_finite_argument(self.demands.scope.function, root)
        if not isinstance(root.owner, ParameterOp):
            return False
        declared = SymbolTable.lookup_symbol(root.owner, root.owner.weight)
        return isinstance(declared, WeightOp) and FINITE in declared.attributes and not is_written(root.owner)


def conjuncts(predicate: Predicate) -> Iterator[Predicate]:
    """Predicates that each hold wherever `predicate` does, for some row: parts of `and`, what `any` runs over."""
    match predicate:
        case And(parts):
            for part in parts:
                yield from conjuncts(part)
        case Exists(body=body):
            yield from conjuncts(body)
        case _:
            yield predicate


def known(size: Size) -> float:
    """A size as a number; what is not known is more than any."""
    return size if isinstance(size, int) else math.inf


def is_weight(value: SSAValue) -> bool:
    return isinstance(value.owner, ParameterOp)


def is_written(parameter: ParameterOp) -> bool:
    """Does the function that reads a weight also write it?"""
    top: Operation | None = parameter.parent_op()
    return top is not None and any(isinstance(op, UpdateOp) and op.weight == parameter.weight for op in top.walk())


def has_finite_argument(function: FuncOp, value: SSAValue) -> bool:
    """Does an argument say that it is finite?"""
    given = zip(function.args, function.arg_attrs or (), strict=False)
    return any(arg is value and isinstance(attrs, DictionaryAttr) and FINITE in attrs.data for arg, attrs in given)
