"""What a training step takes on this machine, written on its ops: where results lie, and how long each op runs.

    %a = aten.call "aten.gelu.default"(%x)   ->   .. attributes {train.storage = [#remat.storage<new 4096>],
                                                                 train.time = 1.2e-05 : f64}

The step runs: once under a meter, and, where an op is not known yet, some times under a stopwatch. Ops that call the
same on operands of the same types take the same time, wherever they stand: identical layers have identical costs. Times
are kept per machine, rounded to two digits, as `machine.py` keeps its rates, so that a step is always planned alike.
Neither weights nor arguments nor random streams change.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, IntegerAttr, ModuleOp, i64
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.ir import Operation, SSAValue

from ..dialects.aten import AssignOp, CallOp, ParameterOp, UpdateOp
from ..dialects.comm import Start, window_of
from ..dialects.diagnostics import UserError
from ..dialects.exact import ExactOp
from ..dialects.remat import (
    BYTES,
    STORAGE,
    WORKSPACE,
    FreeOp,
    StorageAttr,
    seconds_of,
    set_number,
    set_seconds,
    storages_of,
)
from ..runtime.allocations import allocations
from ..runtime.executor import Program, find
from ..runtime.metering import Meter, storages
from ..runtime.stopwatch import seconds
from .context import write_text
from .machine import cache_file, identity

Progress = Callable[[int, int], None]
"""Told how many runs are done, and of how many."""
UNCOUNTED = (ParameterOp, UpdateOp, AssignOp, ReturnOp, FreeOp)
"""Ops that no line of a program executes on its own."""


def silent(done: int, of: int) -> None:
    """No progress is shown."""


def measure_step(
    module: ModuleOp,
    weights: Mapping[str, Tensor],
    args: Sequence[Any],
    function: str = "step",
    progress: Progress = silent,
    asked: Callable[[bool], bool] = bool,
) -> None:
    """Write on `function` of `module` what it takes for `args`. `asked`: whether ops are timed, given whether one is
    not known yet; ranks that train together answer alike, since all of them must run."""
    entry = find(module, function)
    write_places(entry, weights, args, metered(module, weights, args, function))
    for op, size in allocations(module, weights, args, function).workspace.items():
        if size:
            set_number(op, WORKSPACE, size)
    write_times(entry, lambda: seconds(module, weights, args, function, progress=progress), asked)


def is_measured(function: FuncOp) -> bool:
    """Does all of `function` say what it takes, its collectives last?"""
    block = function.body.block
    timed = all(seconds_of(op) is not None for op in block.ops if not isinstance(op, UNCOUNTED))
    return timed and all(window_of(op) for op in block.ops if isinstance(op, Start))


@torch.no_grad()
def metered(module: ModuleOp, weights: Mapping[str, Tensor], args: Sequence[Any], function: str = "step") -> Meter:
    """The memory that one run takes. Weights that the function does not read are not counted."""
    read = {op.weight.string_value() for op in find(module, function).walk() if isinstance(op, ParameterOp)}
    meter = Meter.over([*args, *(tensor for name, tensor in weights.items() if name in read)])
    with torch.random.fork_rng():
        Program.build(module, weights, function, observer=meter)(args)
    return meter


def write_places(function: FuncOp, weights: Mapping[str, Tensor], args: Sequence[Any], meter: Meter) -> None:
    """Write where the results of each op lie, and what arguments and weights take: storages in two of them once."""
    for op in function.body.block.ops:
        if (places := meter.places.get(op)) is not None:
            op.attributes[STORAGE] = ArrayAttr(StorageAttr.of(*place) for place in places)
    seen: set[int] = set()
    attributes = [dict(entry.data) for entry in function.arg_attrs] if function.arg_attrs else [{} for _ in args]
    for entry, value in zip(attributes, args, strict=True):
        entry[BYTES] = IntegerAttr(sum(unseen(value, seen)), i64)
    function.arg_attrs = ArrayAttr(map(DictionaryAttr, attributes))
    for op in function.body.block.ops:
        if isinstance(op, ParameterOp):
            set_number(op, BYTES, sum(unseen(weights[op.weight.string_value()], seen)))


def unseen(value: Any, seen: set[int]) -> Iterable[int]:
    """Bytes of the storages of `value` that were not seen before."""
    for storage in storages(value):
        if storage._cdata not in seen:
            seen.add(storage._cdata)
            yield storage.nbytes()


def write_times(
    function: FuncOp, measure: Callable[[], Mapping[Operation, float]], asked: Callable[[bool], bool] = bool
) -> None:
    """Write the time of each op: as it is kept for this machine, else as `measure` finds it. Views take none."""
    ops = [op for op in function.body.block.ops if not isinstance(op, UNCOUNTED)]
    file = cache_file("ops")
    known, names = kept_times(file), {op: signature(op) for op in ops if not is_view(op)}
    if asked(any(name not in known for name in names.values())):
        found: defaultdict[str, list[float]] = defaultdict(list)
        for op, taken in measure().items():
            if op in names:
                found[names[op]].append(taken)
        known |= {name: float(f"{median(times):.1e}") for name, times in found.items() if name not in known}
        keep_times(file, known)
    for op in ops:
        set_seconds(op, known[names[op]] if op in names else 0.0)


def is_view(op: Operation) -> bool:
    """Does `op` make no new memory?"""
    places = storages_of(op)
    return places is not None and all(place.kind.data != "new" or not place.number.data for place in places)


def signature(op: Operation) -> str:
    """What an op calls, and on what: equal for ops that take the same time."""
    match op:
        case CallOp():
            called = f'"{op.target.data}"{op.template.data.text}'
        case ExactOp():
            called = f"{op.name} {op.text()}"
        case _:
            called = op.name
    results = ", ".join(map(str, op.result_types))
    return f"{called} : ({', '.join(map(operand_text, op.operands))}) -> ({results})"


def operand_text(value: SSAValue) -> str:
    """The type of an operand, and the view that it is: products of a transposed matrix take another time."""
    owner = value.owner
    if not isinstance(owner, CallOp) or not owner.operands or not is_view(owner):
        return str(value.type)
    return f"{value.type} of {owner.target.data}{owner.template.data.text}"


def kept_times(file: Path) -> dict[str, float]:
    """The times in `file`; none where there is no such file."""
    try:
        return {str(name): float(taken) for name, taken in json.loads(file.read_text())["seconds"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def keep_times(file: Path, times: Mapping[str, float]) -> None:
    """Keep `times` with those that others have kept meanwhile."""
    both = {**kept_times(file), **times}
    try:
        write_text(file, json.dumps({"machine": identity(), "seconds": dict(sorted(both.items()))}, indent=1) + "\n")
    except UserError:
        return
