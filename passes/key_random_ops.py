"""Random ops without a stream: each draws from a key, so that it gives the same numbers wherever and whenever it runs.

    func.func @step(%x, ..) {                            func.func @step(%x, .., %seed, %number) {
      %m = aten.call random                        ->      %m = aten.call "random.keyed"(%seed, %number, 0, 3,
        "gossamer.dropout.default"(%x, 0.1)                    device<"cpu">, op<"gossamer.dropout.default">, %x, 0.1)

The key is the seed, the number of the step, the layer (-1 outside of all) and the position among the random ops of that
layer. Ops become pure: they may be moved, cloned and dropped. The numbers are others than eager's. Linear in the number
of ops.
"""

from collections import Counter
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, FunctionType, ModuleOp, StringAttr, UnitAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from ..dialects.aten import CallOp, ScalarType
from ..dialects.random_calls import is_random, keyed
from ..dialects.remat import LAYER, number_of
from .split_random_ops import device_of

KEYS = ("seed", "number")


def add_keys(function: FuncOp) -> list[SSAValue]:
    """The two numbers of the key that all ops share, as new arguments."""
    added: list[SSAValue] = []
    attributes = list(function.arg_attrs or [DictionaryAttr({})] * len(function.args))
    for name in KEYS:
        kind = ScalarType(StringAttr("int"), StringAttr(name))
        argument = function.body.block.insert_arg(kind, len(function.args))
        argument.name_hint = name
        attributes.append(DictionaryAttr({"aten.name": StringAttr(name), "train.key": UnitAttr()}))
        added.append(argument)
    function.arg_attrs = ArrayAttr(attributes)
    inputs = [argument.type for argument in function.args]
    function.function_type = FunctionType.from_lists(inputs, list(function.function_type.outputs))
    return added


def key(function: FuncOp) -> None:
    """Key all random ops of `function`."""
    calls = [op for op in function.body.block.ops if isinstance(op, CallOp) and is_random(op)]
    if not calls:
        return
    seed, number = add_keys(function)
    places: Counter[int] = Counter()
    for call in calls:
        found = number_of(call, LAYER)
        layer = -1 if found is None else found
        op = keyed(call, seed, number, places[layer], layer, device_of(function))
        places[layer] += 1
        Rewriter.replace_op(call, op, op.results)


@dataclass(frozen=True)
class KeyRandomOps(ModulePass):
    """Each random op drawn from a key."""

    name = "key-random-ops"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for function in op.ops:
            if isinstance(function, FuncOp):
                key(function)
