"""A training step on the command line: `train.py:step --memory-budget 2GiB`.

def step():
    return model, loss_fn, (ids, labels)      as gossamer.compile_training has them
"""

import argparse
import json
from typing import Any

from ..dialects.diagnostics import UsageError, UserError
from .context import write_text
from .example import call
from .models import given_flags
from .terminal import progress
from .training import TrainingStep, compile_training

PLANNING = "planning what is kept and what is computed again"
EXPECTED = "return (model, loss_fn, example): the loss is loss_fn(model, *example)"
OTHERS = ("passes", "dont_care", "exact", "approximate", "strict_nan", "adapters", "target", "weights", "inputs", "dt",
          "discretisation", "reset", "round_delays", "stop", "dump", "check", "emit", "print_diff", "timing",
          "print_ir_before", "print_ir_after", "print_ir_after_all", "print_ir_after_change")  # fmt: skip
"""Options that say nothing of a training step."""


def open_step(arguments: argparse.Namespace) -> TrainingStep:
    """The step that the command line names, within its budget."""
    for flag in given_flags(arguments, *(name for name in OTHERS if hasattr(arguments, name))):
        raise UsageError(f"{flag} says nothing of a training step", hint="leave it out, or leave --memory-budget out")
    result, place, function = call(arguments.model)
    match result:
        case (model, loss, tuple() | list() as given) if callable(loss):
            loss_fn: Any = loss
            example: tuple[Any, ...] = tuple(given)
        case _:
            kinds = ", ".join(type(part).__name__ for part in result) if isinstance(result, tuple) else ""
            found = f"({kinds})" if kinds else type(result).__name__
            raise UserError(f"{function}() returned {found}", place=place, hint=EXPECTED)
    with progress("capturing the training step") as show:

        def told(done: int, of: int) -> None:
            show(f"measuring the training step: run {done} of {of}" if done < of else PLANNING)

        step = compile_training(model, loss_fn, example)
        show(PLANNING)
        step.fit(example, budget(arguments.memory_budget), arguments.rung, told, arguments.offload)
    return step


def budget(text: str) -> int | str:
    """A budget as it is written: a number of bytes is one."""
    return int(text) if text.isdecimal() else text


def compile_step(arguments: argparse.Namespace) -> None:
    """Write the program into the output folder, and say in a line what it takes."""
    step = open_step(arguments)
    found = step.memory
    where = ""
    if arguments.output:
        write_text(arguments.output / "step.mlir", step.ir())
        where = f"{arguments.output}/step.mlir: "
    if arguments.json:
        print(json.dumps({"output": str(arguments.output or "") or None, **found.as_dict()}, indent=2))
    else:
        again = f"{found.recomputed * 1e3:.3f} ms of {found.seconds * 1e3:.3f} ms computed again"
        if found.moves:
            again += f", {sum(move.bytes for move in found.moves):,} bytes moved"
        print(f"{where}peak {found.predicted:,} bytes of {found.budget:,}, {again}")


def explain_step(arguments: argparse.Namespace) -> None:
    """Print what is kept and computed again."""
    found = open_step(arguments).memory
    print(json.dumps(found.as_dict(), indent=2) if arguments.json else found)
