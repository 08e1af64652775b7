"""A function of the IR as flat Python: one line an op, one name a value.

    func.func @forward(%x: .., %mask: ..) -> .. {            def forward(x, mask):
      %w = aten.parameter @fc.w : ..
      %d = sparse.domain %mask : ..                              d = sparse_domain(mask)
      %p = sparse.gather %x[%d] "i j a" : ..            ->       p = sparse_gather(x, d)
      %n = aten.call "aten.sym_size.int"(%p, 0) : ..             n = p.size(0)
      %y = aten.call "aten.linear.default"(%p, %w) : ..          y = aten_linear_default(p, fc_w); del p
      func.return %y, %n                                         return [y, n]
    }

What a line calls, the weights and torch's constants are globals, bound beforehand. A value is deleted after the last
line that reads it, as the model frees it. Functions given to higher-order ops stand above the function that has them.
"""

import keyword
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from xdsl.dialects import arith, func, scf
from xdsl.dialects.arith import CMPF_COMPARISON_OPERATIONS
from xdsl.dialects.builtin import StringAttr, SymbolRefAttr
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.irdl import OptOperandDef

from ..dialects.aten import AssignOp, CallOp, ParameterOp, UpdateOp, YieldOp
from ..dialects.diagnostics import UserError, did_you_mean, place_of
from ..dialects.exact import EXACT, ExactOp
from ..dialects.kernel import LaunchOp
from ..dialects.meanings import YieldOp as KernelYieldOp
from ..dialects.remat import FreeOp
from ..dialects.snn import RunOp
from ..dialects.template import Argument, Name, Ref, RegionRef, Template, show_float
from .calls import constant, number, resolve
from .expressions import COMPARISONS, EXPRESSIONS, LOGIC
from .kernels import bind
from .observer import Observer
from .source import Source
from .state import snapshot, store


@dataclass
class Writer(Source):
    """The text of one function. `devices` says which device stands for which, `kernels` for what type they are.

    With an `observer` every op is seen as it runs, and nothing is written: what would be is among the results.
    """

    weights: Mapping[str, torch.Tensor] = field(default_factory=dict)
    devices: Mapping[torch.device, torch.device] = field(default_factory=dict)
    kernels: str = "cpu"
    functions: dict[Region, str] = field(default_factory=dict)
    observer: Observer | None = None
    written: set[SymbolRefAttr] = field(default_factory=set)
    updates: list[str] = field(default_factory=list)
    assigns: list[str] = field(default_factory=list)

    def program(self, function: func.FuncOp) -> str:
        """Append a whole function of the IR; its arguments go by the model's own names. Returns its name."""
        self.written = {op.weight for op in function.walk() if isinstance(op, UpdateOp)}
        name = self.fresh(function.sym_name.data)
        for argument, attributes in zip(function.args, function.arg_attrs or (), strict=False):
            if isinstance(wish := attributes.data.get("aten.name"), StringAttr):
                self.names[argument] = self.fresh(wish.data)
        self.function(name, function.body.block)
        return name

    def function(self, name: str, block: Block) -> None:
        """Append a function, after those that it gives to higher-order ops."""
        calls = (op for op in block.walk() if isinstance(op, CallOp | LaunchOp | ExactOp))
        for call in calls:
            for index, region in enumerate(call.regions):
                if region not in self.functions:
                    owner = call.target.data if isinstance(call, CallOp) else call.kernel.string_value()
                    self.functions[region] = self.fresh(f"{owner}_{index}")
                    self.function(self.functions[region], region.block)
        self.line(0, f"def {name}({', '.join(map(self.name, block.args))}):")
        self.block(block, 1)
        self.lines += ["", ""]

    def block(self, block: Block, depth: int, results: Sequence[SSAValue] = ()) -> None:
        """Append the ops of `block`; what its `scf.yield` gives goes to `results`."""
        dying = last_reads(block)
        for op in block.ops:
            if isinstance(op, scf.IfOp):
                self.branches(op, depth)
            elif isinstance(op, scf.YieldOp):
                for result, value in zip(results, op.operands, strict=True):
                    self.line(depth, f"{self.name(result)} = {self.name(value)}")
            elif (text := statement(self, op)) is not None:
                self.line(depth, text if self.observer is None else observed(self, op, text), op)
            if dead := [self.names[value] for value in dying.get(op, ()) if value in self.names]:
                self.free(op, dead, depth)

    def free(self, op: Operation, dead: Sequence[str], depth: int) -> None:
        """Delete variables once `op` is done."""
        if isinstance(op, scf.IfOp | FreeOp):
            self.line(depth, f"del {', '.join(dead)}")
        else:
            self.lines[-1] += f"; del {', '.join(dead)}"

    def branches(self, op: scf.IfOp, depth: int) -> None:
        """Append `if` and `else`."""
        for head, region in ((f"if {self.name(op.cond)}:", op.true_region), ("else:", op.false_region)):
            if region.blocks:
                self.line(depth, head)
                before = len(self.lines)
                self.block(region.block, depth + 1, op.results)
                if len(self.lines) == before:
                    self.line(depth + 1, "pass")

    def weight(self, op: Operation, name: str) -> str:
        """The global that holds a weight of `op`. Raises UserError when there is no such weight."""
        if name not in self.weights:
            raise UserError(f"there is no weight '{name}'", place=place_of(op), hint=did_you_mean(name, self.weights))
        return self.bind(("weight", name), name, self.weights[name])

    def arguments(self, template: Template, op: Operation) -> Iterator[str]:
        """The arguments of a call, each as it is written."""
        for argument in template.args:
            yield self.argument(argument, op)
        for key, argument in template.kwargs:
            text = self.argument(argument, op)
            plain = key.isidentifier() and not keyword.iskeyword(key)
            yield f"{key}={text}" if plain else f"**{{{key!r}: {text}}}"

    def argument(self, argument: Argument, op: Operation) -> str:
        """One argument; lists are written as tuples, which torch takes as lists and Python makes only once."""
        match argument:
            case Ref(index):
                return self.name(op.operands[index])
            case RegionRef(index):
                return self.functions[op.regions[index]]
            case Name():
                return self.constant(argument)
            case (Name("dict"), *items):
                pairs = [[self.argument(part, op) for part in item] for item in items if isinstance(item, tuple)]
                return f"{{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"
            case (Name("slice"), *parts):
                return f"slice({', '.join(self.argument(part, op) for part in parts)})"
            case tuple():
                return sequence([self.argument(item, op) for item in argument])
            case float():
                return repr(argument) if math.isfinite(argument) else show_float(argument)
            case complex():
                return self.bind(("complex", repr(argument)), "complex_number", argument)
            case _:
                return repr(argument)

    def constant(self, name: Name) -> str:
        """The global that holds a constant of torch, its device replaced by the one to run on."""
        value = constant(name)
        if isinstance(value, torch.device):
            value = self.devices.get(value, value)
        return self.bind(name, name.text if name.argument is None else f"{name.text}_{name.argument}", value)


def last_reads(block: Block) -> dict[Operation, list[SSAValue]]:
    """For each op of `block` the values made in `block` that nothing reads after it; weights live on."""
    order = {op: index for index, op in enumerate(block.ops)}
    dying: dict[Operation, list[SSAValue]] = {}
    for op in order:
        for result in () if isinstance(op, ParameterOp) else op.results:
            readers = (block.find_ancestor_op_in_block(use.operation) for use in result.uses)
            last = max((reader for reader in readers if reader), key=order.__getitem__, default=op)
            if not isinstance(last, LEAVING):
                dying.setdefault(last, []).append(result)
    return dying


def sequence(items: Sequence[str]) -> str:
    """A tuple."""
    return f"({items[0]},)" if len(items) == 1 else f"({', '.join(items)})"


def grouped(text: str) -> str:
    """A negative number in parentheses, so that it can stand inside an expression."""
    return f"({text})" if text.startswith("-") else text


def statement(writer: Writer, op: Operation) -> str | None:
    """The line that executes `op`, None when it needs none. Raises UserError when nothing executes it."""
    if write := STATEMENTS.get(type(op)):
        return write(writer, op)
    if (form := LOGIC.get(type(op))) is not None:
        return assign(writer, op, form.format(*map(writer.name, op.operands)))
    if (run := bind(op, writer.kernels)) is None:
        raise UserError(f"nothing executes '{op.name}'", place=place_of(op))
    return assign(writer, op, f"{writer.bind(op, op.name, run)}({', '.join(operands(writer, op))})")


def operands(writer: Writer, op: Operation) -> Iterator[str]:
    """The operands of `op` for its kernel: required ones in order, as many as there are, optional ones by name."""
    for name, definition in type(op).get_irdl_definition().operands:  # pyright: ignore[reportAttributeAccessIssue]
        value = getattr(op, name)
        if isinstance(value, tuple):
            yield from map(writer.name, value)
        elif value is not None:
            yield f"{name}={writer.name(value)}" if isinstance(definition, OptOperandDef) else writer.name(value)


def assign(writer: Writer, op: Operation, expression: str, *, unpack: bool = False) -> str:
    """`result = expression`, or `a, b = expression` where it gives several."""
    unpack = unpack or len(op.results) > 1
    named = unpack or writer.observer is not None
    names = [writer.name(result) for result in op.results if named or result.first_use]
    return f"{', '.join(names)}{',' * (unpack and len(names) == 1)} = {expression}" if names else expression


def observed(writer: Writer, op: Operation, text: str) -> str:
    """A line that tells the observer when it begins, and then what it read and gave."""
    if isinstance(op, ParameterOp | func.ReturnOp | YieldOp | KernelYieldOp):
        return text
    observer = writer.bind("observer", "observer", writer.observer)
    values, results = (sequence([writer.name(v) for v in vs]) if vs else "()" for vs in (op.operands, op.results))
    name = writer.bind(("observed", op), "op", op)
    return f"{observer}.begin({name}); {text}; {observer}.end({name}, {results}, {values})"


def write_call(writer: Writer, op: CallOp) -> str:
    """An expression where Python has one, else a call of the op's overload."""
    target, unpack = op.target.data, op.unpack is not None
    texts = list(writer.arguments(op.template.data, op))
    form = EXPRESSIONS.get(target, "")
    if form.count("{}") == len(texts) and form and not op.template.data.kwargs:
        return assign(writer, op, form.format(*map(grouped, texts)))
    return assign(writer, op, f"{writer.bind(target, target, resolve(op))}({', '.join(texts)})", unpack=unpack)


def write_parameter(writer: Writer, op: ParameterOp) -> str | None:
    """A weight is a global and goes by that name; one that is written has a name for its old value."""
    weight = writer.weight(op, op.weight.string_value())
    if op.weight in writer.written:
        return assign(writer, op, f"{writer.bind(snapshot, 'snapshot', snapshot)}({weight})")
    writer.names[op.value] = weight
    return None


def write_update(writer: Writer, op: UpdateOp) -> None:
    """Done at the return, with all others."""
    writer.updates.append(f"({writer.weight(op, op.weight.string_value())}, {writer.name(op.value)})")


def write_assign(writer: Writer, op: AssignOp) -> None:
    """Done at the return, with all others."""
    writer.assigns.append(f"({writer.name(op.target)}, {writer.name(op.value)})")


def write_return(writer: Writer, op: func.ReturnOp) -> str:
    """The results as a list; state is written last."""
    results = f"[{', '.join(map(writer.name, op.operands))}]"
    if writer.observer is not None:
        return f"return {results} + [{', '.join(writer.updates + writer.assigns)}]"
    if not writer.updates and not writer.assigns:
        return f"return {results}"
    writes = f"[{', '.join(writer.updates)}], [{', '.join(writer.assigns)}]"
    return f"return {writer.bind(store, 'store', store)}({writes}, {results})"


def write_yield(writer: Writer, op: YieldOp) -> str:
    """What a function gives back to a higher-order op: a tuple."""
    return f"return {sequence(list(writer.arguments(op.template.data, op)))}"


def write_launch(writer: Writer, op: LaunchOp | ExactOp) -> str:
    """What it means comes first, as a function."""
    run = writer.bind(op, op.name, bind(op, writer.kernels))
    return assign(writer, op, f"{run}({', '.join([writer.functions[op.meaning], *operands(writer, op)])})")


def write_run(writer: Writer, op: RunOp) -> str:
    """The weights of the network come first, by name."""
    run = writer.bind(op, op.name, bind(op, writer.kernels))
    network = op.find()
    names = network.weights() if network else ()
    weights = ", ".join(f"{name!r}: {writer.weight(op, name)}" for name in names)
    return assign(writer, op, f"{run}({', '.join([f'{{{weights}}}', *operands(writer, op)])})")


def write_kernel_yield(writer: Writer, op: KernelYieldOp) -> str:
    """What a launch means: one result as it is, several as a tuple."""
    names = [writer.name(value) for value in op.values]
    return f"return {names[0] if len(names) == 1 else sequence(names)}"


def write_constant(writer: Writer, op: arith.ConstantOp) -> str:
    """A number; `i1` is a truth value."""
    return assign(writer, op, writer.argument(number(op), op))


def write_comparison(writer: Writer, op: arith.CmpfOp) -> str:
    """A comparison of numbers."""
    predicate = CMPF_COMPARISON_OPERATIONS[op.predicate.value.data]
    if predicate not in COMPARISONS:
        raise UserError(
            f"arith.cmpf {predicate} is not executed", place=place_of(op), hint=f"known: {', '.join(COMPARISONS)}"
        )
    return assign(writer, op, COMPARISONS[predicate].format(*map(writer.name, op.operands)))


LEAVING = (UpdateOp, AssignOp, YieldOp, KernelYieldOp, func.ReturnOp)
"""Ops that are executed by the line that leaves the function: what they read need not be deleted."""

STATEMENTS: dict[type[Operation], Callable[[Writer, Any], str | None]] = {
    CallOp: write_call,
    ParameterOp: write_parameter,
    UpdateOp: write_update,
    AssignOp: write_assign,
    YieldOp: write_yield,
    LaunchOp: write_launch,
    **dict.fromkeys(EXACT, write_launch),
    RunOp: write_run,
    KernelYieldOp: write_kernel_yield,
    func.ReturnOp: write_return,
    FreeOp: lambda *_: None,
    arith.ConstantOp: write_constant,
    arith.CmpfOp: write_comparison,
}
"""How ops that have no kernel are written."""
