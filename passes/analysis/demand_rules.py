"""Demand, op by op: what of the operands is read with effect, given what is of the result.

| op                             | operand                | demanded where                                             |
|--------------------------------|------------------------|------------------------------------------------------------|
| elementwise, products, sums,   | any                    | some element that reads it is; axes are known by label     |
| norms, attention, losses ..    |                        | (`permutable.py`): an axis that is not KEPT is read whole  |
| x * y, x & y, products         | x                      | also y is not 0 there, by its facts too (x is finite)      |
| addcmul(b, x, y)               | x                      | also y is not 0                                            |
| where, masked_fill, cat, pad, tril, slice_scatter .. | pieces | the piece is the one chosen                          |
| view, permute, slice, index, gather .. | the source     | some demanded element reads it from there                  |
| threshold_backward(g, x)       | g                      | x > threshold                                              |

Rules give a demand for each operand (`demand_forms.py`); one that they leave out is read whole.
"""

from collections.abc import Iterator
from dataclasses import replace

from xdsl.dialects.builtin import TensorType
from xdsl.ir import SSAValue

from .axis_rules import Labels
from .calls import argument
from .demand_forms import WHOLE, Asked, Demand, Given, Joint, joint, labelled, read_at, register_rule
from .fact_elementwise import zeros_of
from .fact_moves import RESHAPES, regrouped
from .fact_pieces import PIECES
from .fact_products import BIAS, PRODUCTS
from .fact_rules import Part
from .fact_scope import MOVES, is_small
from .fact_signs import is_finite
from .indices import Atom, Axis, Index, Var
from .predicates import Compare, reindex

# -- factors ------------------------------------------------------------------------------------------------------


def factors(given: Given) -> Asked | None:
    """x * y, and sums of such: x also only where y is not 0"""
    space, call = joint(given), given.call
    if space is None:
        return None
    bias = call.tensor(*BIAS[call.target]) if call.target in BIAS else None
    asked = dict(labelled(given))
    members = [operand for operand in call.op.operands if operand in asked and operand is not bias]
    if len(members) == 2 and all(isinstance(member.type, TensorType) for member in members):
        for x, y in (members, members[::-1]):
            asked[x] = factor(given, space, x, y)
    return asked


def factor(given: Given, space: Joint, x: SSAValue, y: SSAValue) -> Demand:
    """What is demanded of the factor `x` beside `y`."""
    call, operands = given.call, list(given.call.op.operands)
    own, other = (space.axes.operands[operands.index(value)] for value in (x, y))
    predicate = given.demand.predicate
    needs: set[Var] = set()
    for part in zeros(given, space, y, other):
        if given.strict and (part.needs or not is_finite(call.scope, x)):
            continue
        narrower = predicate & part.predicate
        if narrower != predicate and is_small(narrower):
            predicate = narrower
            needs |= part.needs if is_finite(call.scope, x) else part.needs | {call.scope.var(x)}
    return given.but(space.of_operand(predicate, own), needs)


def positions(space: Joint, labels: Labels) -> dict[Atom, Index]:
    """Positions of an operand as positions of the space."""
    return {Axis(axis): index for axis, index in enumerate(space.at(labels))}


def zeros(given: Given, space: Joint, y: SSAValue, labels: Labels) -> Iterator[Part]:
    """Where `y` is 0, over the space: by its facts, or, if there are any, because it is."""
    call = given.call
    if call.target in MULTIPLIES:
        found = list(zeros_of(call, given.known, y))
    else:
        by = positions(space, labels)
        found = [replace(p, predicate=reindex(p.predicate, by, space.ranges)) for p in given.known.zeros(y)]
    if found and (itself := call.scope.truth(y)):
        yield Part(reindex(itself, positions(space, labels), space.ranges))
    yield from (part for part in found if part.exact)


MULTIPLIES = frozenset(
    ("aten.mul.Tensor", "aten.logical_and.default", "aten.bitwise_and.Tensor", "aten.__and__.Tensor")
)
register_rule(factors, *MULTIPLIES, *(f"aten.{name}.default" for name in PRODUCTS.split()))


def sum_and_product(given: Given) -> Asked | None:
    """b + value * x * y: x only where y is not 0"""
    space = joint(given)
    members = [given.call.tensor(place) for place in (1, 2)]
    x, y = members
    if space is None or x is None or y is None or x is y or given.call.tensor(0) in members:
        return None
    return dict(labelled(given)) | {
        x: factor(given, space, x, y),
        y: factor(given, space, y, x),
    }


register_rule(sum_and_product, "aten.addcmul.default")


# -- pieces and moves -----------------------------------------------------------------------------------------------


def pieces(given: Given) -> Asked | None:
    """What is chosen, where it is; the condition wherever the result is demanded."""
    call = given.call
    found = PIECES[call.target.removeprefix("aten.")](call)
    if found is None:
        return None
    asked: dict[SSAValue, Demand] = {}
    sources = {piece.source for piece in found if isinstance(piece.source, SSAValue)}
    for operand, demand in labelled(given).items():
        if operand not in sources:
            asked[operand] = demand
    for piece in found:
        if isinstance(piece.source, SSAValue):
            read = given.but(read_at(call, given.demand.predicate & piece.when, piece.source, piece.at))
            asked[piece.source] = asked[piece.source] | read if piece.source in asked else read
    conditions = [value for value in (argument(call.op, k, "") for k in (0, 1)) if isinstance(value, SSAValue)]
    for value in conditions:
        if value in sources and list(call.op.template.data.refs()).count(list(call.op.operands).index(value)) > 1:
            asked[value] = WHOLE
    return asked


register_rule(pieces, *(f"aten.{name}" for name in PIECES))


def moves(given: Given) -> Asked | None:
    """The source where a demanded element reads it; what says where is read whole."""
    call = given.call
    if call.tensor(0) is None or (reading := MOVES[call.target](call)) is None:
        return None
    source, at = reading
    if list(call.op.template.data.refs()).count(list(call.op.operands).index(source)) > 1:
        return None
    return {source: given.but(read_at(call, given.demand.predicate, source, at))}


def reshapes(given: Given) -> Asked | None:
    """A reshape is undone: the element of the result that holds it."""
    call, source = given.call, given.call.source()
    at = regrouped(call.sizes, call.scope.sizes(source), call.scope.ranges(source))
    if at is None:
        return None
    return {source: given.but(call.scope.read(given.demand.predicate, at, call.scope.ranges(source)))}


register_rule(moves, *MOVES)
register_rule(reshapes, *(f"aten.{name}" for name in RESHAPES.split()))


# -- gradients ------------------------------------------------------------------------------------------------------


def threshold_backward(given: Given) -> Asked | None:
    """The gradient where the input was above the threshold; NaN lets it through."""
    call, gradient, x = given.call, given.call.source(), given.call.tensor(1, "self")
    threshold = call.literal(2, "threshold")
    if x is None or x is gradient or threshold is None or (at := call.aligned(x)) is None:
        return None
    cut = ~Compare(call.scope.var(x), "le", float(threshold), at)
    return dict(labelled(given)) | {gradient: given.but(given.demand.predicate & cut)}


register_rule(threshold_backward, "aten.threshold_backward.default")
