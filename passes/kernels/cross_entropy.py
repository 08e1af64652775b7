"""The gradient of a cross entropy by its scores, in one pass: softmax less the target, times a number.

    g = -gradient / total, or -gradient where losses are summed
    for each row (divided among threads):
      s = g + 0, or 0 where the target is ignored           the sum of a row that is 0 but for g
      output[row, :] = -exp(scores[row, :]) s               scores: what log_softmax gave
      output[row, target] = g - exp(scores[row, target]) s  where it is not ignored; rounded once

It has the bits of `nll_loss_backward` and `_log_softmax_backward_data`, which make a matrix of zeros and add up its
rows before they come to the same.
"""

from collections.abc import Mapping

from xdsl.dialects import arith
from xdsl.dialects.builtin import DYNAMIC_INDEX, MemRefType, ModuleOp, f32, i64
from xdsl.ir import Attribute, SSAValue

from .exponential import exp
from .primitives import choice, negative, plus, quotient
from .signature import named_kernel
from .writing import INDEX, add, each, equal, fma, load, load_index, number, real, share, store, times, when

FUNCTION = "cross_entropy_backward"
"""The function's name."""
BUFFERS = {"gradient": f32, "total": f32, "scores": f32, "target": i64, "output": f32}
"""Arguments that are addresses."""
NUMBERS = ("rows", "columns", "ignored", "mean")
"""Arguments that are numbers; `mean` is 1 where losses are averaged over `total`."""


def cross_entropy_kernel(name: str) -> ModuleOp:
    """The kernel, for all sizes."""
    arguments: dict[str, Attribute] = {key: MemRefType(kind, (DYNAMIC_INDEX,)) for key, kind in BUFFERS.items()}
    arguments |= dict.fromkeys(NUMBERS, INDEX)
    return named_kernel(FUNCTION, arguments, write, name=name)


def write(given: Mapping[str, SSAValue]) -> None:
    """The loops."""
    zero, one = number(0), number(1)
    gradient = load(given["gradient"], zero)
    mean = quotient(gradient, load(given["total"], zero))
    scale = negative(choice(equal(given["mean"], zero), gradient, mean))

    def row(at: SSAValue) -> None:
        target, first = load_index(given["target"], at), times(at, given["columns"])
        ignored = equal(target, given["ignored"])
        factor = choice(ignored, real(0.0), plus(scale, real(0.0)))

        def gradient_at(place: SSAValue, own: SSAValue) -> None:
            store(fma(negative(exp(load(given["scores"], place))), factor, own), given["output"], place)

        each(zero, given["columns"], one, lambda column: gradient_at(add(first, column), real(0.0)))
        other = arith.XOrIOp(ignored, arith.ConstantOp.from_int_and_width(1, 1).result).result
        when(other, lambda: gradient_at(add(first, target), scale))

    begin, end = (share(given["rows"], part, given["parts"]) for part in (given["part"], add(given["part"], one)))
    each(begin, end, one, row)
