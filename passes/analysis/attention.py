"""What the mask of an attention says: which keys it hides for good, and what is left among the others.

    and(nz(mask[b, k]), k <= q)                    keys nz(mask[i, j])    left: causal
    where(nz(mask[b, k]), bias[0, h, q, k], -inf)  keys nz(mask[i, j])    left: explicit, bias
    no mask                                        every key              left: none

A key that the mask hides has probability exactly 0: exp of -inf, or of finfo.min less the maximum. The latter only
where the query sees some key, whose score is then the maximum; over hidden keys alone, softmax is uniform. So a finite
mask is legal on a condition:

| mask                 | a hidden key counts for nothing where                                             |
|----------------------|-----------------------------------------------------------------------------------|
| truth values, -inf   | always: a query that sees no key gives 0 or NaN, whatever the keys hold           |
| finfo.min, of keys   | the sequence has a key that is seen                                               |
| finfo.min, and more  | the query sees its own key: both are one position, and what is left allows k == q |
"""

import math
from dataclasses import dataclass
from enum import Enum, auto

from xdsl.ir import SSAValue

from ...dialects.aten import CallOp, tensor_of
from ...dialects.layout import Layout
from ...dialects.sparse import Mask
from ..solvers.index_expr import TRUE, Apply, Axis, Constant, Expr, apply, axes_of, conjuncts, substitute
from ..solvers.sizes import Size
from .calls import argument, rank, shape
from .element_types import lowest_of
from .index_view import IndexView, is_bool

ATTENTION = "aten.scaled_dot_product_attention.default"


class Condition(Enum):
    """On what a key that the mask hides counts for nothing: see the table above."""

    NONE = auto()
    SOME_KEY = auto()
    OWN_KEY = auto()


@dataclass(frozen=True)
class Attention:
    """One attention call, its layout, and what its mask says.

    `keys`: over the domain's axes, holds for every key that any query may see. `kind`: the mask left among those.
    `bias`: the tensor that is left, where it is not the whole mask. Biases are taken to be finite.
    """

    op: CallOp
    layout: Layout
    keys: Expr
    kind: Mask
    mask: SSAValue | None
    bias: SSAValue | None
    scale: float | None
    condition: Condition = Condition.NONE


def read_attention(view: IndexView, op: CallOp, layout: Layout) -> Attention | None:
    """The attention whose result has `layout` (sequence, heads, position, width); None if it cannot be packed."""
    plain = layout.axes[-2] == ("j",) and layout.domain_axes == ("i", "j") and layout.axes[0] == ("i",)
    if not plain or any(rank(v) != 4 for v in op.operands[:3]) or argument(op, 4, "dropout_p", 0.0) != 0.0:
        return None
    if len({shape(operand)[0] for operand in (*op.operands[:3], op.results[0])}) > 1:
        return None  # sequences share keys: what one hides another may see
    if [argument(op, k, "") for k in range(3)] != list(op.operands[:3]):
        return None
    mask, scale = argument(op, 3, "attn_mask"), argument(op, 6, "scale")
    causal = argument(op, 5, "is_causal", False)
    if not isinstance(causal, bool) or not isinstance(scale, float | None):
        return None
    if not isinstance(mask, SSAValue):
        return Attention(op, layout, TRUE, Mask.CAUSAL if causal else Mask.NONE, None, None, scale)
    allowed, bias, finite = split(view, mask)
    parts = conjuncts(substitute(allowed, scores_axes(op, shape(mask)).__getitem__))
    keys = [part for part in parts if axes_of(part) <= {0, 3} and 3 in axes_of(part)]
    left = [part for part in parts if part not in keys]
    kind = Mask.NONE if not left else Mask.CAUSAL if left == [CAUSAL] else Mask.EXPLICIT
    if bias is not None:
        if left:
            return None
        kind = Mask.EXPLICIT
    condition = Condition.NONE
    if finite:
        condition = Condition.OWN_KEY if left else Condition.SOME_KEY
        if not allows_own_key(left):
            return None
    seen = substitute(apply("and", *keys), {0: Axis(0), 3: Axis(1)}.__getitem__)
    return Attention(op, layout, seen, kind, mask, bias, scale, condition)


def allows_own_key(left: list[Expr]) -> bool:
    """Does what is left of a mask, over [sequence, head, query, key], hold wherever key == query?"""
    own = [Axis(0), Axis(1), Axis(2), Axis(2)]
    return all(substitute(part, own.__getitem__) == TRUE for part in left)


def scores_axes(op: CallOp, mask: tuple[Size, ...]) -> list[Expr]:
    """Each axis of a mask of that shape as an index of the scores [sequence, head, query, key] it broadcasts to."""
    query, key = shape(op.operands[0]), shape(op.operands[1])
    scores, start = (*query[:3], key[2]), 4 - len(mask)
    return [Constant(0) if n == 1 != scores[start + k] else Axis(start + k) for k, n in enumerate(mask)]


CAUSAL = Apply("le", (Axis(3), Axis(2)))
"""key position <= query position, over [sequence, head, query, key]"""


def split(view: IndexView, mask: SSAValue) -> tuple[Expr, SSAValue | None, bool]:
    """A mask as (which keys are seen; what is added to their scores, None for nothing; is a hidden score finite)."""
    expression = view.of(mask)
    if is_bool(mask.type):
        return expression, None, False
    lowest = lowest_of(tensor_of(mask).element_type)
    hidden: set[float] = set()
    allowed, bias = additive(expression, lowest, hidden)
    if bias == Constant(0):
        return allowed, None, hidden != {-math.inf}
    return chosen(view, mask, lowest)


WHERE = ("aten.where.self", "aten.where.ScalarOther")
COPIES = ("aten.clone.default", "aten.contiguous.default", "aten.alias.default")


def chosen(view: IndexView, mask: SSAValue, lowest: float) -> tuple[Expr, SSAValue | None, bool]:
    """where(seen, bias, lowest): the bias as it stands in the program; the whole mask where there is none."""
    op = mask.owner
    while isinstance(op, CallOp) and op.target.data in COPIES:
        op = op.operands[0].owner
    if not isinstance(op, CallOp) or op.target.data not in WHERE:
        return TRUE, mask, False
    hidden, bias = view.broadcast(argument(op, 2, "other"), shape(mask)), argument(op, 1, "self")
    seen = view.broadcast(op.operands[0], shape(mask))
    if not isinstance(hidden, Constant) or hidden.value > lowest or seen is None or not isinstance(bias, SSAValue):
        return TRUE, mask, False
    return seen, bias, hidden.value != -math.inf


def additive(e: Expr, lowest: float, hidden: set[float]) -> tuple[Expr, Expr]:
    """An additive mask as (seen, added to what is seen); what is added to the others, `lowest` or less, to `hidden`."""

    def hides(e: Expr) -> bool:
        return isinstance(e, Constant) and e.value <= lowest

    match e:
        case Apply("where", (c, a, Constant(value) as b)) if hides(b):
            hidden.add(value)
            allowed, bias = additive(a, lowest, hidden)
            return apply("and", c, allowed), bias
        case Apply("where", (c, Constant(value) as a, b)) if hides(a):
            hidden.add(value)
            allowed, bias = additive(b, lowest, hidden)
            return apply("and", apply("not", c), allowed), bias
        case Apply("add", (a, b)):
            (seen_a, bias_a), (seen_b, bias_b) = additive(a, lowest, hidden), additive(b, lowest, hidden)
            return apply("and", seen_a, seen_b), apply("add", bias_a, bias_b)
        case _:
            return TRUE, e
