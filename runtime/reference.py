"""What every op means, as plainly as it can be said: the oracle that the executor is held against.

    reference.run(module, weights, [x, mask])                 -> [result, ..]
    reference.run(module, weights, args, observe=print)       print(op, results) after each op

Runs on xDSL's interpreter. It shares with the executor what a torch call is, and nothing of its generated code or
kernels: a gather is one indexing by row-major addresses, attention is matrix products and a softmax per sequence. A
domain that is everywhere is no special case, but for attention, whose mask is then the model's own.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp, SymbolRefAttr
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    ReturnedValues,
    TerminatorValue,
    impl,
    impl_terminator,
    register_impls,
)
from xdsl.interpreters.arith import ArithFunctions
from xdsl.interpreters.func import FuncFunctions
from xdsl.interpreters.scf import ScfFunctions
from xdsl.ir import Operation

from ..dialects.aten import AssignOp, CallOp, ParameterOp, UpdateOp, YieldOp
from ..dialects.diagnostics import UserError
from ..dialects.exact import (
    CrossEntropyBackwardOp,
    ExactOp,
    FlashAttentionBackwardOp,
    FlashAttentionOp,
    MapOp,
    ProductOp,
)
from ..dialects.kernel import LaunchOp
from ..dialects.meanings import YieldOp as KernelYieldOp
from ..dialects.sparse import (
    AttentionOp,
    CoversOp,
    DensityOp,
    DomainOp,
    EverywhereOp,
    FitsOp,
    GatherOp,
    ListedOp,
    Mask,
    MatmulOp,
    ScatterOp,
    SizeOp,
    Skip,
    SupportOp,
)
from ..dialects.tiles import TileOp, TilesType, probe_step
from .calls import arguments, number, resolve
from .domain import Domain
from .executor import find
from .faults import fault
from .semantics import addresses, masked_attention, unpacked_shape
from .spiking.interpreted import SpikingFunctions
from .state import store
from .tiles import Tiles

Observer = Callable[[Operation, tuple[Any, ...]], None]


def run(
    module: ModuleOp,
    weights: Mapping[str, Tensor],
    args: Sequence[Any],
    function: str = "forward",
    observe: Observer | None = None,
) -> list[Any]:
    """Results of `function` for `args`; `observe(op, results)` is called after each op.

    Buffers and arguments are written as the program writes them. Raises UserError naming the op that fails.
    """
    entry = find(module, function)
    if len(args) != len(entry.args):
        raise UserError(f"the program takes {len(entry.args)} inputs, got {len(args)}")
    calls = AtenFunctions(weights, {op.weight for op in entry.walk() if isinstance(op, UpdateOp)})
    interpreter = Interpreter(module, listeners=(Watcher(observe),) if observe else ())
    own = (NumberFunctions(), SparseFunctions(), KernelFunctions(), SpikingFunctions(weights), calls)
    for functions in (FuncFunctions(), ScfFunctions(), *own):
        interpreter.register_implementations(functions)
    results = interpreter.call_op(entry, tuple(args))
    return store(calls.updates, calls.assigns, list(results))


@dataclass
class Watcher(Interpreter.Listener):
    """Hands every op's results on."""

    observe: Observer

    def did_interpret_op(self, op: Operation, results: PythonValues) -> None:
        self.observe(op, results)


@register_impls
@dataclass
class AtenFunctions(InterpreterFunctions):
    """Torch calls; writes are kept until the function has returned."""

    weights: Mapping[str, Tensor]
    written: set[SymbolRefAttr]
    updates: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    assigns: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @impl(CallOp)
    def call(self, interpreter: Interpreter, op: CallOp, args: PythonValues) -> PythonValues:
        def function(index: int) -> Callable[..., tuple[Any, ...]]:
            return lambda *inner: interpreter.run_ssacfg_region(op.regions[index], inner, op.target.data)

        regions = [function(index) for index in range(len(op.regions))]
        positional, keywords = arguments(op.template.data, args, regions)
        try:
            result = resolve(op)(*positional, **keywords)
        except UserError:
            raise
        except Exception as error:
            names = [operand.name_hint or str(index) for index, operand in enumerate(op.operands)]
            raise fault(op, dict(zip(names, args, strict=True)), error) from error
        return tuple(result) if op.unpack else (result,) if op.results else ()

    @impl_terminator(YieldOp)
    def give_back(self, _: Interpreter, op: YieldOp, args: PythonValues) -> tuple[TerminatorValue, PythonValues]:
        return ReturnedValues(tuple(arguments(op.template.data, args)[0])), ()

    @impl(ParameterOp)
    def parameter(self, _: Interpreter, op: ParameterOp, args: PythonValues) -> PythonValues:
        weight = self.weights[op.weight.string_value()]
        return (weight.clone() if op.weight in self.written else weight,)

    @impl(UpdateOp)
    def update(self, _: Interpreter, op: UpdateOp, args: PythonValues) -> PythonValues:
        self.updates.append((self.weights[op.weight.string_value()], args[0]))
        return ()

    @impl(AssignOp)
    def assign(self, _: Interpreter, op: AssignOp, args: PythonValues) -> PythonValues:
        self.assigns.append((args[0], args[1]))
        return ()


@register_impls
class NumberFunctions(ArithFunctions):
    """xDSL's arithmetic, but that an `i1` is a truth value of Python, not 0 or -1."""

    @impl(arith.ConstantOp)
    def constant(self, _: Interpreter, op: arith.ConstantOp, args: PythonValues) -> PythonValues:
        return (number(op),)

    @impl(arith.AndIOp)
    def both(self, _: Interpreter, op: arith.AndIOp, args: PythonValues) -> PythonValues:
        return (args[0] & args[1],)

    @impl(arith.OrIOp)
    def either(self, _: Interpreter, op: arith.OrIOp, args: PythonValues) -> PythonValues:
        return (args[0] | args[1],)

    @impl(arith.XOrIOp)
    def one_of(self, _: Interpreter, op: arith.XOrIOp, args: PythonValues) -> PythonValues:
        return (args[0] ^ args[1],)


@register_impls
class SparseFunctions(InterpreterFunctions):
    """Domains, moves and attention."""

    @impl(DomainOp)
    def domain(self, _: Interpreter, op: DomainOp, args: PythonValues) -> PythonValues:
        (mask,) = args
        active = [index for index, flag in enumerate(mask.flatten().tolist()) if flag != 0]
        if op.multiple is not None and active:
            active += active[-1:] * (-len(active) % op.multiple.value.data)
        everywhere = op.multiple is not None and len(active) >= mask.numel()
        rows = torch.tensor(range(mask.numel()) if everywhere else active, dtype=torch.int64, device=mask.device)
        return (Domain(tuple(mask.shape), rows, everywhere),)

    @impl(EverywhereOp)
    def everywhere(self, _: Interpreter, op: EverywhereOp, args: PythonValues) -> PythonValues:
        return (args[0].whole(),)

    @impl(SizeOp)
    def size(self, _: Interpreter, op: SizeOp, args: PythonValues) -> PythonValues:
        return (len(args[0].rows),)

    @impl(DensityOp)
    def density(self, _: Interpreter, op: DensityOp, args: PythonValues) -> PythonValues:
        if isinstance(args[0], Tiles):
            return (args[0].density,)
        total = math.prod(args[0].space)
        return (len(args[0].rows) / total if total else 1.0,)

    @impl(CoversOp)
    def covers(self, _: Interpreter, op: CoversOp, args: PythonValues) -> PythonValues:
        mask, domain = args
        if list(mask.shape) != list(domain.space):
            return (False,)
        flags = mask.flatten().tolist()
        return (all(flags[row] != 0 for row in domain.rows.tolist()),)

    @impl(FitsOp)
    def fits(self, _: Interpreter, op: FitsOp, args: PythonValues) -> PythonValues:
        try:
            addresses(op.layout.data, args[0].shape, args[1])
        except ValueError:
            return (False,)
        return (True,)

    @impl(GatherOp)
    def gather(self, _: Interpreter, op: GatherOp, args: PythonValues) -> PythonValues:
        full, domain = args
        return (full.flatten()[addresses(op.layout.data, full.shape, domain)],)

    @impl(ScatterOp)
    def scatter(self, _: Interpreter, op: ScatterOp, args: PythonValues) -> PythonValues:
        compact, domain, *fill = args
        layout = op.layout.data
        shape = unpacked_shape(layout, compact.shape[1:], domain.space)
        every = addresses(layout, shape, Domain.all(domain.space, domain.rows.device))
        dead = fill[0] if fill else compact.new_zeros(())
        full = compact.new_zeros(math.prod(shape))
        full = full.index_put((every,), dead.expand(every.shape).clone())
        return (full.index_put((addresses(layout, shape, domain),), compact).reshape(shape),)

    @impl(AttentionOp)
    def attention(self, _: Interpreter, op: AttentionOp, args: PythonValues) -> PythonValues:
        query, key, value, domain, *rest = args
        mask = rest.pop(0) if op.mask is not None else None
        bias = rest.pop(0) if op.bias is not None else None
        kind, scale = op.kind.data, op.scale and op.scale.value.data
        if domain.everywhere:
            table, causal = bias if mask is None else mask, kind is Mask.CAUSAL and mask is None
        else:
            table, causal = mask if bias is None else bias, kind is Mask.CAUSAL
            table = table if kind is Mask.EXPLICIT else None
        return (masked_attention(query, key, value, domain, table=table, causal=causal, scale=scale),)

    @impl(SupportOp)
    def support(self, _: Interpreter, op: SupportOp, args: PythonValues) -> PythonValues:
        rows = args[0].reshape(-1, args[0].shape[-1])
        if op.rows is not None and len(rows) > op.rows.value.data:
            return (Domain.all(rows.shape[1:], rows.device),)
        columns = rows.unbind(1)
        active = [index for index, column in enumerate(columns) if any(entry != 0 for entry in column.tolist())]
        rows = torch.tensor(active, dtype=torch.int64, device=args[0].device)
        return (Domain((len(columns),), rows),)

    @impl(TileOp)
    def tile(self, _: Interpreter, op: TileOp, args: PythonValues) -> PythonValues:
        assert isinstance(op.tiles.type, TilesType)
        probes = args[0].flatten().tolist()[:: probe_step(args[0].numel())]
        dense = op.upto is not None and sum(probe != 0 for probe in probes) > op.upto.value.data * len(probes)
        many = op.rows is not None and args[0].numel() > op.rows.value.data * args[0].shape[-1]
        if dense or many:
            return (Tiles.all(args[0].shape, args[0].device),)
        return (Tiles.of(args[0], op.tiles.type.height.data, clustered=op.clustered is not None),)

    @impl(ListedOp)
    def listed(self, _: Interpreter, op: ListedOp, args: PythonValues) -> PythonValues:
        entries = [*op.single, *(entry for tensor in args for entry in tensor.flatten().tolist())]
        active = [p for p in range(op.size) if any((entry - p) % op.size == 0 for entry in entries)]
        device = args[0].device if args else None
        return (Domain((op.size,), torch.tensor(active, dtype=torch.int64, device=device)),)

    @impl(MatmulOp)
    def matmul(self, _: Interpreter, op: MatmulOp, args: PythonValues) -> PythonValues:
        x, weight, domain, *bias = args
        if isinstance(domain, Tiles):
            whole = domain.everywhere
            return (torch.nn.functional.linear(x, weight, *bias) if whole else by_rows(x, weight, domain, bias),)
        active = torch.zeros(domain.space, dtype=torch.bool, device=x.device).index_fill(0, domain.rows, True)
        if op.axis.data is Skip.K:
            x, weight = x[..., active], weight[:, active]
        full = torch.nn.functional.linear(x, weight, *bias)
        return (full if op.axis.data is Skip.K else torch.where(active, full, full.new_zeros(())),)


def by_rows(x: Tensor, weight: Tensor, tiles: Tiles, bias: Sequence[Tensor]) -> Tensor:
    """Each row summed where its tile is active."""
    rows, place = x.reshape(-1, x.shape[-1]), {row: at // tiles.height for at, row in enumerate(tiles.order.tolist())}
    columns = [tiles.columns(place[row]) for row in range(len(rows))]
    sums = [torch.nn.functional.linear(row[at], weight[:, at], *bias) for row, at in zip(rows, columns, strict=True)]
    return torch.stack(sums).reshape(*x.shape[:-1], -1) if sums else x.new_empty(*x.shape[:-1], len(weight))


def run_meaning(
    _: InterpreterFunctions, interpreter: Interpreter, op: LaunchOp | ExactOp, args: PythonValues
) -> PythonValues:
    """What the region of an op says."""
    return interpreter.run_ssacfg_region(op.meaning, args, op.name)


@register_impls
class KernelFunctions(InterpreterFunctions):
    """An op that has a kernel is what its region says."""

    launch = impl(LaunchOp)(run_meaning)
    map = impl(MapOp)(run_meaning)
    product = impl(ProductOp)(run_meaning)
    cross_entropy = impl(CrossEntropyBackwardOp)(run_meaning)
    attention = impl(FlashAttentionOp)(run_meaning)
    attention_backward = impl(FlashAttentionBackwardOp)(run_meaning)

    @impl_terminator(KernelYieldOp)
    def give_back(self, _: Interpreter, op: KernelYieldOp, args: PythonValues) -> tuple[TerminatorValue, PythonValues]:
        return ReturnedValues(args), ()
