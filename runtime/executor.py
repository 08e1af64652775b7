"""A module as a Python callable: flat lists of values in, flat lists of values out.

    program = Program.build(module, weights)
    program([ids, mask])        -> [last_hidden_state, pooler_output]
    print(program.source)       the Python text that runs; tracebacks and debuggers show its lines

One call costs what its torch calls cost, and about 0.4 us for each of them (see `codegen.py`). Gradients flow
where torch's would; under `no_grad` and `inference_mode` it is as fast as the model there.
"""

import itertools
import linecache
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from xdsl.dialects import func
from xdsl.dialects.builtin import ModuleOp

from ..dialects.diagnostics import UserError, did_you_mean
from .codegen import Writer
from .devices import moved, named_devices, replacements, run_device
from .faults import fault
from .observer import Observer

NUMBERS = itertools.count(1)


@dataclass(eq=False)
class Program:
    """One function of a module, ready to run.

    `weights` are the tensors it uses, by symbol: the very ones that `build` was given, so an optimiser's step is seen.
    """

    source: str
    file: str
    weights: dict[str, Tensor]
    inputs: int
    writer: Writer
    run: Callable[..., list[Any]] = field(repr=False)

    @classmethod
    def build(
        cls,
        module: ModuleOp,
        weights: Mapping[str, Tensor],
        function: str = "forward",
        device: torch.device | str | None = None,
        observer: Observer | None = None,
    ) -> "Program":
        """`function` of `module` with `weights` (by symbol), on the device they lie on, or moved to `device`.

        An `observer` sees every op as it runs; such a program writes no weight and no argument, and gives what it would
        write after its results.

        Raises UserError where the function, a weight or something that an op calls is unknown.
        """
        entry = find(module, function)
        target = run_device(weights, device)
        if device is not None:
            weights = {name: moved(weight, torch.device(device)) for name, weight in weights.items()}
        kernels = "cpu" if target is None else target.type
        devices = replacements(named_devices(entry), target)
        writer = Writer(weights=weights, devices=devices, kernels=kernels, observer=observer)
        name = writer.program(entry)
        file = f"<gossamer {function} {next(NUMBERS)}>"
        exec(compile(writer.text, file, "exec"), writer.namespace)
        program = cls(writer.text, file, dict(weights), len(entry.args), writer, writer.namespace[name])
        linecache.cache[file] = (len(program.source), None, program.source.splitlines(keepends=True), file)
        weakref.finalize(program, linecache.cache.pop, file, None)
        return program

    def __call__(self, args: Sequence[object]) -> list[Any]:
        """Results of the function for its arguments. Raises UserError naming the op that fails."""
        if len(args) != self.inputs:
            raise UserError(f"the program takes {self.inputs} inputs, got {len(args)}")
        try:
            return self.run(*args)
        except (UserError, torch.OutOfMemoryError):
            raise
        except FAULTS as error:
            located = self.locate(error)
            if located is None:
                raise
            raise located from error

    def rebind(self, name: str, weight: Tensor) -> None:
        """Use `weight` as the weight `name` from now on. Raises UserError when there is none of that name."""
        if name not in self.weights:
            raise UserError(f"there is no weight '{name}'", hint=did_you_mean(name, self.weights))
        self.weights[name] = weight
        if (variable := self.writer.bindings.get(("weight", name))) is not None:
            self.writer.namespace[variable] = weight

    def locate(self, error: Exception) -> UserError | None:
        """`error` as the fault of the op whose line raised it; None when it was raised elsewhere."""
        found, trace = None, error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == self.file:
                found = trace
            trace = trace.tb_next
        op = found and self.writer.ops.get(found.tb_lineno)
        if not found or op is None:
            return None
        values = {**self.writer.namespace, **found.tb_frame.f_locals}
        names = (self.writer.names.get(operand, "") for operand in op.operands)
        return fault(op, {name: values[name] for name in names if name in values}, error)


FAULTS = (ArithmeticError, AssertionError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What ops raise. Anything else is somebody's signal, as checkpointing stops a recomputation by one, and passes."""


def find(module: ModuleOp, function: str) -> func.FuncOp:
    """The function of that name. Raises UserError when the module has none."""
    functions = {op.sym_name.data: op for op in module.ops if isinstance(op, func.FuncOp)}
    if function not in functions:
        raise UserError(f"the module has no function '{function}'", hint=did_you_mean(function, functions))
    return functions[function]
