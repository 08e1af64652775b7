"""MODEL on the command line, compiled.

| MODEL              | is                                                   | passes that run        |
|--------------------|------------------------------------------------------|------------------------|
| `FILE.py:FUNCTION` | the model and example inputs that a function returns | all, after the import  |
| a folder           | what `save` wrote                                    | none, but for `compile` |
| `FILE.mlir`        | a module; weights lie beside it, or in `--weights`   | none, but for `compile` |
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xdsl.passes import ModulePass

from ..dialects.diagnostics import UsageError
from . import api
from .compiled import CompiledModel
from .context import parse_file
from .dont_care import annotate
from .entry import entry_function
from .example import Example, load_example
from .options import exactness, target_device
from .pipeline import DEFAULT_PIPELINE, IMPORT, Trace, between, parse_passes, run_pipeline
from .storage import fitting_weights, load, shell


@dataclass(frozen=True)
class Opened:
    """A compiled model, and what the user's file gave."""

    compiled: CompiledModel
    example: Example | None = None


def open_model(arguments: argparse.Namespace) -> Opened:
    """The model that the command line names, as it was saved, or compiled where it comes from a Python file."""
    path = Path(arguments.model)
    if not is_saved(path):
        return compile_example(arguments)
    for option in ("passes", "dont_care", "exact"):
        if getattr(arguments, option):
            flag = f"--{option.replace('_', '-')}"
            raise UsageError(f"{path} runs as it is, without {flag}", hint="`gossamer compile` runs passes on it")
    return Opened(load_saved(path, arguments))


def is_saved(path: Path) -> bool:
    """Is it a folder or a module's text, and not a Python file?"""
    return path.is_dir() or path.suffix == ".mlir"


def load_saved(path: Path, arguments: argparse.Namespace) -> CompiledModel:
    """The model in a folder, or in a text with its weights beside it or in the file of `--weights`."""
    if arguments.weights is None:
        return load(path, target=arguments.target)
    if path.is_dir():
        raise UsageError(f"{path} has its own weights", hint="--weights is for .mlir files")
    module = parse_file(path)
    device = target_device(arguments.target) if arguments.target else None
    weights = fitting_weights(arguments.weights, module, device)
    return CompiledModel(module, weights, shell(path.stem, module, weights), {path.stem: module.clone}, device=device)


def compile_model(arguments: argparse.Namespace) -> Opened:
    """The model that the command line names, after the passes that it asks for."""
    path = Path(arguments.model)
    if not is_saved(path):
        return compile_example(arguments)
    loaded = load_saved(path, arguments)
    start = arguments.start or IMPORT
    if path.is_dir() and start not in loaded.stages:
        raise UsageError(f"{path}: holds no stage '{start}'", hint=f"it holds {' and '.join(loaded.stages)}")
    module = loaded.stages[start]() if path.is_dir() else loaded.module.clone()
    if dont_care := pairs(arguments.dont_care):
        annotate(entry_function(module), dont_care)
    module.attributes |= exactness(arguments.exact)
    passes = chosen_passes(arguments)
    trace = run_pipeline(module, between(passes, start, arguments.stop), trace=starting_at(start, passes))
    stages = {stage.name: partial(getattr, stage, "module") for stage in trace.stages}
    compiled = CompiledModel(
        module, loaded.weights, loaded.original, stages, device=loaded.device, training=loaded.training
    )
    return Opened(compiled)


def compile_example(arguments: argparse.Namespace) -> Opened:
    """The model of a function in a user's file, compiled."""
    start, stop = getattr(arguments, "start", None), getattr(arguments, "stop", None)
    if start not in (None, IMPORT):
        raise UsageError(f"{arguments.model} starts at '{IMPORT}', not at '{start}'", hint="--from is for .mlir files")
    passes = between(chosen_passes(arguments), IMPORT, stop)
    example = load_example(arguments.model)
    compiled = api.compile(
        example.model,
        example.args,
        example.kwargs,
        dynamic_shapes=example.options.get("dynamic_shapes"),
        dont_care={**example.options.get("dont_care", {}), **pairs(arguments.dont_care)} or None,
        target=arguments.target,
        exact=arguments.exact,
        pipeline=passes,
    )
    return Opened(compiled, example)


def chosen_passes(arguments: argparse.Namespace) -> tuple[ModulePass, ...]:
    """The passes of `-p`, or the default ones."""
    return parse_passes(DEFAULT_PIPELINE if arguments.passes is None else arguments.passes)


def starting_at(start: str, passes: Sequence[ModulePass]) -> Trace:
    """A trace that numbers its stages as a run of all `passes` would."""
    return Trace(first=start, offset=[IMPORT, *(step.name for step in passes)].index(start))


def pairs(options: Sequence[str] | None) -> Mapping[str, str]:
    """`["logits=mask"]` -> `{"logits": "mask"}`"""
    split = [option.partition("=") for option in options or ()]
    for option, (result, _, argument) in zip(options or (), split, strict=True):
        if not result or not argument:
            raise UsageError(
                f"--dont-care {option}: expected RESULT=ARGUMENT", hint="--dont-care logits=attention_mask"
            )
    return {result: argument for result, _, argument in split}
