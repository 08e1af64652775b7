"""Random programs of the ops that an index view sees through, run by torch as they are written.

program(7)      a function of tensors of every element type; each call, and what torch makes of it

Numbers are chosen where types differ: halves in integers, 257 in bfloat16, 2^24 + 1 in float32, -1 in uint8, NaN,
infinities, both zeros. A call that torch refuses is left out.
"""

import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from gossamer.compiler.frontends.types import type_of
from gossamer.dialects.aten import CallOp
from gossamer.dialects.template import Argument, Name, Ref, Template
from gossamer.runtime.dtypes import ELEMENT_TYPES
from xdsl.dialects.builtin import TensorType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Block, SSAValue

DTYPES = [torch.bool, torch.int8, torch.uint8, torch.int32, torch.int64,
          torch.float16, torch.bfloat16, torch.float32, torch.float64]  # fmt: skip
SHAPES = [(), (3,), (1,), (2, 3), (2, 1), (1, 3), (3, 2)]
SMALL = [0, 1, -1, 2, 3, True, False, 0.0, -0.0, 0.5, 1.0, -1.5]
ODD = [127, 200, 255, 257, 2**24 + 1, 2**31, 2**40, 0.1, 1e-9, 7e4, 3e38, -3.4028234663852886e38, 1e300,
       float("inf"), float("-inf"), float("nan")]  # fmt: skip
NUMBERS: list[bool | int | float] = SMALL * 3 + ODD


@dataclass
class Random:
    """The program as it grows: what there is to choose from, and the choices."""

    draw: random.Random
    block: Block = field(default_factory=Block)
    values: dict[SSAValue, torch.Tensor] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)

    def number(self) -> bool | int | float:
        return self.draw.choice(NUMBERS)

    def dtype(self) -> torch.dtype:
        return self.draw.choice(DTYPES)

    def shape(self) -> list[int]:
        return list(self.draw.choice(SHAPES))

    def tensor(self, fit: Callable[[torch.Tensor], bool] = lambda t: True) -> SSAValue:
        """A value, one of the latest more often than others."""
        found = [value for value, t in self.values.items() if fit(t)]
        return self.draw.choice(found[-4:] if self.draw.random() < 0.5 else found)

    def axis(self, value: SSAValue) -> int:
        return self.draw.randrange(-self.values[value].dim(), self.values[value].dim())

    def argument(self, shape: Sequence[int], dtype: torch.dtype) -> None:
        """One more argument of the function."""
        pool = [n for n in NUMBERS if dtype.is_floating_point or abs(n) < 2**41]
        flat = [self.draw.choice(pool) for _ in range(torch.Size(shape).numel())]
        tensor = torch.tensor(flat, dtype=torch.float64).to(dtype).view(tuple(shape))
        self.values[self.block.insert_arg(type_of(tensor), len(self.block.args))] = tensor

    def call(self, target: str, *args: Any, **kwargs: Any) -> None:
        """One more call; nothing where torch refuses it."""
        _, name, overload = target.split(".")
        operands: list[SSAValue] = []

        def written(argument: Any) -> Argument:
            if isinstance(argument, SSAValue):
                if argument not in operands:
                    operands.append(argument)
                return Ref(operands.index(argument))
            if isinstance(argument, torch.dtype):
                return Name(str(argument))
            return tuple(map(written, argument)) if isinstance(argument, list | tuple) else argument

        def given(argument: Any) -> Any:
            if isinstance(argument, list | tuple):
                return [given(item) for item in argument]
            return self.values[argument] if isinstance(argument, SSAValue) else argument

        template = Template(tuple(map(written, args)), tuple((k, written(v)) for k, v in kwargs.items()))
        try:
            function = getattr(getattr(torch.ops.aten, name), overload)
            found = function(*map(given, args), **{k: given(v) for k, v in kwargs.items()})
        except (RuntimeError, IndexError, TypeError, ValueError, OverflowError):
            return
        type = type_of(found)
        if isinstance(type, TensorType) and found.dtype in ELEMENT_TYPES and 0 < found.numel() <= 64:
            op = CallOp(target, template, operands, [type])
            self.block.add_op(op)
            self.values[op.results[0]] = found.clone()
            self.targets.append(target)


def literal_or_tensor(r: Random) -> SSAValue | bool | int | float:
    return r.number() if r.draw.random() < 0.5 else r.tensor()


def is_truth(t: torch.Tensor) -> bool:
    return t.dtype is torch.bool


def has_axes(t: torch.Tensor) -> bool:
    return t.dim() > 0


def filled(r: Random) -> None:
    name, options = r.draw.choice(["zeros", "ones", "full"]), {}
    if r.draw.random() < 0.7:
        options["dtype"] = r.dtype()
    value = [r.number()] if name == "full" else []
    kind = r.draw.randrange(4)
    if kind == 0:
        r.call(f"aten.{name}.default", r.shape(), *value, **options)
    elif kind == 1:
        r.call(f"aten.{name}_like.default", r.tensor(), *value, **options)
    elif kind == 2:
        r.call(f"aten.new_{name}.default", r.tensor(), r.shape(), *value, **options)
    else:
        r.call("aten.scalar_tensor.default", r.number(), **options)


def counted(r: Random) -> None:
    options = {"dtype": r.dtype()} if r.draw.random() < 0.5 else {}
    start, step, count = r.draw.choice([0, 1, -2, 100, 126, 254, 2048, 2**24]), r.draw.choice([1, 2, -1, 3]), 3
    if r.draw.random() < 0.2:
        start, step = float(start), r.draw.choice([0.5, 1.0])
    match r.draw.randrange(3):
        case 0:
            r.call("aten.arange.default", r.draw.choice([2, 3, 2.5]), **options)
        case 1:
            r.call("aten.arange.start", start, start + count, **options)
        case _:
            r.call("aten.arange.start_step", start, start + count * step, step, **options)


def compared(r: Random) -> None:
    other = literal_or_tensor(r)
    kind = "Tensor" if isinstance(other, SSAValue) else "Scalar"
    r.call(f"aten.{r.draw.choice('lt le gt ge eq ne'.split())}.{kind}", r.tensor(), other)


def computed(r: Random) -> None:
    name, other, alpha = r.draw.choice("add sub mul rsub".split()), literal_or_tensor(r), r.draw.choice([1, 1, 1, 2, 0])
    if name == "rsub":
        r.call("aten.rsub.Scalar", r.tensor(), r.number(), *([alpha] if r.draw.random() < 0.5 else []))
    elif isinstance(other, SSAValue):
        r.call(f"aten.{name}.Tensor", r.tensor(), other, **({"alpha": alpha} if name != "mul" and alpha != 1 else {}))
    elif r.draw.random() < 0.5:
        r.call(f"aten.{name}.Tensor", r.tensor(), other)
    else:
        r.call(f"aten.{name}.Scalar", r.tensor(), other, *([alpha] if name != "mul" and alpha != 1 else []))


def combined(r: Random) -> None:
    name = r.draw.choice(["bitwise_and.Tensor", "bitwise_or.Tensor", "__and__.Tensor", "__or__.Tensor",
                          "logical_and.default", "logical_or.default"])  # fmt: skip
    fit = is_truth if r.draw.random() < 0.7 else has_axes
    r.call(f"aten.{name}", r.tensor(fit), r.tensor(fit))


def denied(r: Random) -> None:
    name = r.draw.choice(["logical_not", "bitwise_not"])
    r.call(f"aten.{name}.default", r.tensor(is_truth if r.draw.random() < 0.5 else has_axes))


def chosen(r: Random) -> None:
    condition = r.tensor(is_truth)
    match r.draw.randrange(5):
        case 0:
            r.call("aten.where.self", condition, r.tensor(), r.tensor())
        case 1:
            r.call("aten.where.Scalar", condition, r.number(), r.number())
        case 2:
            r.call("aten.where.ScalarOther", condition, r.tensor(), r.number())
        case 3:
            r.call("aten.where.ScalarSelf", condition, r.number(), r.tensor())
        case _:
            r.call("aten.masked_fill.Scalar", r.tensor(), condition, r.number())


def cast(r: Random) -> None:
    match r.draw.randrange(4):
        case 0:
            r.call("aten.to.dtype", r.tensor(), r.dtype())
        case 1:
            r.call("aten.type_as.default", r.tensor(), r.tensor())
        case _:
            r.call("aten._to_copy.default", r.tensor(), dtype=r.dtype())


def same(r: Random) -> None:
    r.call(f"aten.{r.draw.choice('alias clone contiguous detach lift_fresh_copy'.split())}.default", r.tensor())


def moved(r: Random) -> None:
    x = r.tensor(has_axes)
    shape = list(r.values[x].shape)
    order = r.draw.sample(range(len(shape)), len(shape))
    match r.draw.randrange(8):
        case 0:
            r.call("aten.transpose.int", x, r.axis(x), r.axis(x))
        case 1:
            r.call("aten.permute.default", x, [k - r.draw.choice([0, len(shape)]) for k in order])
        case 2:
            r.call("aten.expand.default", x, r.draw.choice([[2, *shape], [-1 if n != 1 else 3 for n in shape]]))
        case 3:
            r.call("aten.unsqueeze.default", x, r.draw.randrange(-len(shape) - 1, len(shape) + 1))
        case 4:
            r.call("aten.squeeze.default", x)
        case 5:
            r.call("aten.squeeze.dim", x, r.axis(x))
        case 6:
            r.call("aten.squeeze.dims", x, [r.axis(x)])
        case _:
            target = r.draw.choice(["view", "reshape", "_unsafe_view"])
            r.call(f"aten.{target}.default", x, r.draw.choice([[-1], [*shape, 1], [1, *shape], shape[::-1], [3, -1]]))


def read(r: Random) -> None:
    x = r.tensor(has_axes)
    axis = r.axis(x)
    match r.draw.randrange(3):
        case 0:
            r.call("aten.select.int", x, axis, r.draw.choice([0, 1, -1, -2]))
        case 1:
            start, end = r.draw.choice([None, 0, 1, -2]), r.draw.choice([None, 2, -1, 2**63 - 1])
            r.call("aten.slice.Tensor", x, axis, start, end, r.draw.choice([1, 2]))
        case _:
            one = r.draw.random() < 0.3
            indices = [r.tensor(lambda t: not t.is_floating_point()) for _ in range(1 if one else r.values[x].dim())]
            r.call("aten.index.Tensor", x, [None if r.draw.random() < 0.1 else index for index in indices])


STEPS = [filled, counted, compared, compared, computed, computed, combined, denied, chosen, chosen, cast, cast, same,
         moved, moved, moved, read, read]  # fmt: skip


@dataclass
class Program:
    """A function, what torch gives for each of its values, and the calls that there are."""

    function: FuncOp
    values: dict[SSAValue, torch.Tensor]
    targets: list[str]


def program(seed: int, steps: int = 24) -> Program:
    """The program number `seed`."""
    r = Random(random.Random(seed))
    for dtype in DTYPES:
        r.argument(r.shape(), dtype)
    r.argument((2, 3), torch.bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(steps):
            r.draw.choice(STEPS)(r)
    r.block.add_op(ReturnOp())
    function = FuncOp("forward", (r.block.arg_types, []))
    function.body.detach_block(function.body.block)
    function.body.add_block(r.block)
    return Program(function, r.values, r.targets)
