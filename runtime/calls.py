"""From a target and a template to Python: what a call names, and the values it is given.

    "aten.add.Tensor"                               torch.ops.aten.add.Tensor
    "operator.mul", "math.floor", "torch.sym_max"   the function on sizes of that name
    "transformers.grouped_mm_fallback.default"      a custom op; the package that registers it is imported when need be
    "cond", "while_loop", "scan", ..                see `higher_order.py`
    "random.replay", "random.keyed", ..             see `random_calls.py`

    (operand<0>, [none, 1], dtype = torch.float32)  (x, (None, 1)), {"dtype": torch.float32}

Lists become tuples: torch takes them as lists, and Python makes constant ones only once.
"""

import contextlib
import importlib
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, i1

from ..dialects.aten import CallOp
from ..dialects.diagnostics import UserError, did_you_mean, place_of
from ..dialects.template import Argument, Name, Ref, RegionRef, Template, show
from .higher_order import HIGHER_ORDER, higher_order
from .random_calls import RANDOM_CALLS


def keeping(op: Callable[..., Any]) -> Callable[..., Any]:
    """`op` in grad mode, but without a graph: what it keeps for its derivative it gives back only there."""

    def call(*args: Any) -> Any:
        with torch.enable_grad():
            return op(*(arg.detach() if isinstance(arg, torch.Tensor) else arg for arg in args))

    return call


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"operator.{name}": function for name, function in vars(operator).items() if callable(function)},
    **{f"math.{name}": function for name, function in vars(math).items() if callable(function)},
    **{f"torch.{name}": getattr(torch, name) for name in dir(torch) if name.startswith(("sym_", "_sym_"))},
    **RANDOM_CALLS,
    "aten.mkldnn_rnn_layer.default": keeping(torch.ops.aten.mkldnn_rnn_layer.default),
    **{f"builtins.{function.__name__}": function for function in (abs, bool, float, int, max, min, pow, round)},
}
"""Functions on sizes, random calls, and ops that need more than a call, by name."""

PROVIDERS: dict[str, str] = {
    "gossamer": f"{__package__}.custom_ops",
    "transformers": "transformers.integrations.moe",
    "torchvision": "torchvision",
}
"""The module whose import registers the ops of a namespace."""


def resolve(op: CallOp) -> Callable[..., Any]:
    """What `op` calls. Raises UserError, at the op's place, when nothing has that name."""
    target = op.target.data
    found = higher_order(target) if "." not in target else FUNCTIONS.get(target) or direct(overload(target))
    if found is None:
        message = f"torch {torch.__version__} has no op '{target}'"
        raise UserError(message, place=place_of(op), hint=missing(target))
    return found


def direct(found: Any) -> Any:
    """What calling an overload comes down to, but for one frame: `OpOverload.__call__` is `return self._op(..)`."""
    return found._op if type(found) is torch._ops.OpOverload else found


def overload(target: str) -> Callable[..., Any] | None:
    """The overload called `namespace.op.overload`; None when nothing registers it."""
    namespace, _, rest = target.partition(".")
    name, _, variant = rest.rpartition(".")

    def registered() -> Callable[..., Any] | None:
        return getattr(getattr(getattr(torch.ops, namespace), name, None), variant, None)

    if (found := registered()) is None and namespace in PROVIDERS:
        with contextlib.suppress(ImportError):
            importlib.import_module(PROVIDERS[namespace])
            found = registered()
    return found


def missing(target: str) -> str:
    """A hint: the closest name there is, or where an op of an unknown namespace comes from."""
    namespace = target.partition(".")[0]
    ops = (op for op in torch._C._dispatch_get_all_op_names() if op.startswith(f"{namespace}::"))
    overloads = (op.replace("::", ".") if "." in op else f"{op.replace('::', '.')}.default" for op in ops)
    functions = (name for name in FUNCTIONS if name.startswith(f"{namespace}."))
    close = did_you_mean(target, [*overloads, *functions] if "." in target else HIGHER_ORDER)
    return close if close.startswith("did") else f"import the package that registers '{namespace}' ops first"


CONSTRUCTORS: dict[str, Callable[[str], Any]] = {"device": torch.device, "op": overload}
"""Constants that are made from a text."""


def constant(name: Name) -> Any:
    """torch's constant of that name: `torch.float32`, `ellipsis`, `device<"cpu">`, `op<"aten.add.Tensor">`.

    Raises UserError when torch has none.
    """
    if name.text == "ellipsis":
        return ...
    try:
        found = getattr(torch, name.text.removeprefix("torch."), None)
        value = found if name.argument is None else CONSTRUCTORS[name.text](name.argument)
    except (KeyError, RuntimeError):
        value = None
    if value is None:
        raise UserError(f"torch {torch.__version__} has no constant {show(name, str)}")
    return value


def python_value(argument: Argument, leaf: Callable[[Argument], Any]) -> Any:
    """An argument as Python has it, its leaves made by `leaf`."""
    match argument:
        case (Name("dict"), *items):
            return {leaf(item[0]): python_value(item[1], leaf) for item in items if isinstance(item, tuple)}
        case (Name("slice"), *parts):
            return slice(*(python_value(part, leaf) for part in parts))
        case tuple():
            return tuple(python_value(item, leaf) for item in argument)
        case _:
            return leaf(argument)


def arguments(
    template: Template, operands: Sequence[Any], regions: Sequence[Callable[..., Any]] = ()
) -> tuple[list[Any], dict[str, Any]]:
    """Positional and keyword arguments of a call."""

    def leaf(argument: Argument) -> Any:
        match argument:
            case Ref(index):
                return operands[index]
            case RegionRef(index):
                return regions[index]
            case Name():
                return constant(argument)
            case _:
                return argument

    positional = [python_value(argument, leaf) for argument in template.args]
    return positional, {key: python_value(argument, leaf) for key, argument in template.kwargs}


def number(op: arith.ConstantOp) -> bool | int | float:
    """The value of a constant. Raises UserError where it is no number."""
    match op.value:
        case IntegerAttr():
            return bool(op.value.value.data) if op.result.type == i1 else op.value.value.data
        case FloatAttr():
            return op.value.value.data
        case _:
            raise UserError(f"a constant of type {op.result.type} is not executed", place=place_of(op))
