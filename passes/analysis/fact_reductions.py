"""Rules of reductions, scans and orders.

| op                          | result is inactive                                  | fill        |
|-----------------------------|-----------------------------------------------------|-------------|
| sum, mean, norm, any, count | not any(active along the axis)                      | 0           |
| max, min, median            | the same                                            | the number  |
| logsumexp                   | the same, for -inf                                  | -inf        |
| prod, all                   | any(inactive along the axis)                        | 0           |
| var, std                    | as sum, for more than one entry                     | 0           |
| cumsum, cummax              | not any(active up to here)                          | 0, number   |
| cumprod                     | any(inactive up to here)                            | 0           |
| sort, topk                  | as max, at every place of the axis                  | the number  |
| any of these                | of rows along other axes                            | of that row |
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from xdsl.ir import SSAValue

from .calls import argument, shape
from .fact_elementwise import finite
from .fact_fills import Number, Sizes, applied
from .fact_products import widened
from .fact_rules import Known, Part, register_rule, whole
from .fact_scope import Call, is_small, position
from .fact_truth import quantified
from .indices import Axis, Index, product
from .predicates import ALWAYS, Predicate, at_least, axes, exists, reindex

OnNumber = Callable[[float], float | None]


def zero(number: float) -> float | None:
    """0 -> 0"""
    return 0.0 if number == 0 else None


def same(number: float) -> float | None:
    return number


def lowest(number: float) -> float | None:
    """-inf -> -inf"""
    return number if number == -math.inf else None


@dataclass(frozen=True)
class Reduction:
    """`on_number`: the result on one number all over. `one_is_enough`: 0 if one entry is, not all. `rounds`: a
    reduction of one row need not have the bits of the same row among many. `least` entries are needed."""

    on_number: OnNumber
    one_is_enough: bool = False
    rounds: bool = True
    least: int = 0


SUM, SELECT = Reduction(zero), Reduction(same, rounds=False, least=1)
REDUCTIONS: dict[str, Reduction] = {
    "sum": SUM, "nansum": SUM, "count_nonzero": Reduction(zero, rounds=False), "any": Reduction(zero, rounds=False),
    "linalg_vector_norm": SUM, "norm": SUM, "mean": Reduction(zero, least=1), "var": Reduction(zero, least=2),
    "std": Reduction(zero, least=2), "amax": SELECT, "amin": SELECT, "max": SELECT, "min": SELECT, "median": SELECT,
    "kthvalue": SELECT, "mode": SELECT, "logsumexp": Reduction(lowest),
    "prod": Reduction(zero, one_is_enough=True), "all": Reduction(zero, one_is_enough=True, rounds=False),
}  # fmt: skip


def name_of(call: Call) -> str:
    return call.target.split(".")[1]


def reduced_axes(call: Call) -> tuple[int, ...] | None:
    """The axes that a reduction runs over."""
    place = {"linalg_vector_norm": 2, "norm": 2, "kthvalue": 2}.get(name_of(call), 1)
    if call.target.endswith(".default") and name_of(call) in (
        "sum",
        "mean",
        "max",
        "min",
        "prod",
        "median",
        "var",
        "std",
    ):
        return tuple(range(len(shape(call.source()))))
    if name_of(call) in ("kthvalue", "mode") and argument(call.op, place, "dim") is None:
        return (len(shape(call.source())) - 1,)
    return call.axes(place, rank=len(shape(call.source())))


def reduce(call: Call, known: Known) -> Iterator[Part]:
    """Facts along the reduced axes become `exists`, those along others are kept."""
    rule, over, source = REDUCTIONS[name_of(call)], reduced_axes(call), call.source()
    if over is None or call.output or not enough(call, source, over, rule.least) or not is_plain(call):
        return
    for part in known.of(source):
        if not isinstance(part.fill, Number):
            yield from reduced_row(call, source, part, over, rule.rounds)
            continue
        number = rule.on_number(part.fill.value)
        if number is None:
            continue
        if rule.one_is_enough:
            predicate = ~quantified(call, ~part.predicate, source, over)
            part = finite(call, part, source) if name_of(call) == "prod" else part
        else:
            predicate = quantified(call, part.predicate, source, over)
        if is_small(predicate):
            yield replace(part, predicate=predicate, fill=Number(number), binary=False)


def enough(call: Call, source: SSAValue, over: tuple[int, ...], least: int) -> bool:
    """Are there provably at least so many entries to reduce?"""
    sizes = [call.scope.sizes(source)[axis] for axis in over]
    return not least or at_least(product(sizes) - least, call.ranges) == ALWAYS


def is_plain(call: Call) -> bool:
    """No negative norm, and the variance's usual correction."""
    if "norm" in name_of(call):
        order = argument(call.op, 1, "ord", 2)
        return isinstance(order, int | float) and 0 <= order < math.inf
    return argument(call.op, 9, "correction", None) in (None, 0, 1)


def reduced_row(call: Call, source: SSAValue, part: Part, over: tuple[int, ...], rounds: bool) -> Iterator[Part]:
    """A row along axes that stay: the reduction of that row."""
    used = axes(part.predicate)
    if set(used) & set(over) or argument(call.op, 1, "dim") is None:
        return
    sizes: Sizes = tuple(1 if axis in used else size for axis, size in enumerate(shape(source)))
    row = widened(part.fill, sizes, source)
    predicate = quantified(call, part.predicate, source, over)
    if row is not None:
        out = tuple(1 if axis in axes(predicate) else size for axis, size in enumerate(shape(call.result)))
        fills = {k: row if k == 0 else whole(call, operand) for k, operand in enumerate(call.op.operands)}
        yield replace(part, predicate=predicate, fill=applied(call.op, fills, out), exact=part.exact and not rounds)


# -- scans and orders -----------------------------------------------------------------------------------------------

SCANS: dict[str, Reduction] = {
    "cumsum": SUM, "cumprod": Reduction(zero, one_is_enough=True), "cummax": SELECT, "cummin": SELECT,
    "logcumsumexp": Reduction(lowest),
}  # fmt: skip


def scan(call: Call, known: Known) -> Iterator[Part]:
    """Up to a position of the axis; along others as it is."""
    rule, axis = SCANS[name_of(call)], call.axis(1)
    if axis is None or call.output:
        return
    for part in known.of(call.source()):
        number = rule.on_number(part.fill.value) if isinstance(part.fill, Number) else None
        if number is None:
            continue
        if axis in axes(part.predicate) and rule.one_is_enough:
            part = finite(call, replace(part, predicate=~up_to(call, ~part.predicate, axis)), call.source())
        elif axis in axes(part.predicate):
            part = replace(part, predicate=up_to(call, part.predicate, axis))
        if is_small(part.predicate):
            yield replace(part, fill=Number(number), binary=False)


def up_to(call: Call, predicate: Predicate, axis: int) -> Predicate:
    """Does `predicate` hold at a position of `axis` that is not after this one?"""
    earlier = Axis(call.rank)
    ranges = call.ranges.with_size(earlier, call.sizes[axis])
    before = reindex(predicate, {Axis(axis): Index.of(earlier)}, ranges)
    return exists(before & at_least(position(axis) - Index.of(earlier), ranges), earlier, call.sizes[axis], ranges)


def order(call: Call, known: Known) -> Iterator[Part]:
    """A row of one number is sorted already."""
    axis = call.axis(2 if name_of(call) == "topk" else 1, default=-1)
    if axis is None or call.output:
        return
    for part in known.of(call.source()):
        if isinstance(part.fill, Number):
            yield replace(part, predicate=quantified(call, part.predicate, call.source(), (axis,)), binary=False)


FORMS: dict[str, str] = {
    "sum": "default dim_IntList", "nansum": "default", "count_nonzero": "default dim_IntList",
    "any": "default dim dims", "linalg_vector_norm": "default", "norm": "Scalar ScalarOpt_dim", "mean": "default dim",
    "var": "default dim correction", "std": "default dim correction", "amax": "default", "amin": "default",
    "max": "default dim", "min": "default dim", "median": "default dim", "kthvalue": "default", "mode": "default",
    "logsumexp": "default", "prod": "default dim_int", "all": "default dim dims",
}  # fmt: skip
register_rule(reduce, *(f"aten.{name}.{form}" for name, forms in FORMS.items() for form in forms.split()))
register_rule(scan, *(f"aten.{name}.default" for name in SCANS))
register_rule(order, "aten.sort.default", "aten.topk.default")
