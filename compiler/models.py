"""MODEL on the command line, compiled.

| MODEL              | is                                                   | passes run on it        |
|--------------------|------------------------------------------------------|-------------------------|
| `FILE.py:FUNCTION` | the model and example inputs that a function returns | always                  |
| `FILE.nir`         | a spiking network, for steps of `--dt` seconds       | always                  |
| a folder           | what `save` wrote                                    | by `compile` only       |
| `FILE.mlir`        | a module; weights lie beside it, or in `--weights`   | by `compile` only       |
"""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp, UnitAttr

from ..dialects.diagnostics import UsageError, UserError, did_you_mean
from ..passes.insert_skips import STRICT_NAN
from . import api
from .approximation import ERROR, has_thresholds, measure_error, parse_share
from .compiled import CompiledModel
from .context import parse_file
from .defaults import default_pipeline
from .dont_care import annotate
from .entry import entry_function
from .example import Example, load_example
from .inputs import flat_inputs
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
        return compile_model(arguments, Trace())
    refuse_network_options(path, arguments)
    for flag in given_flags(arguments, "passes", "dont_care", "exact", "strict_nan", "approximate", "adapters"):
        raise UsageError(f"{path} runs as it is, without {flag}", hint="`gossamer compile` runs passes on it")
    return Opened(load_saved(path, arguments))


def compile_model(
    arguments: argparse.Namespace, trace: Trace, *, start: str = IMPORT, stop: str | None = None
) -> Opened:
    """The model that the command line names, after the passes from stage `start` to stage `stop`; they fill `trace`."""
    path = Path(arguments.model)
    if is_saved(path):
        refuse_network_options(path, arguments)
    for flag in given_flags(arguments, "approximate", "adapters") if is_saved(path) else ():
        raise UsageError(f"{path} is imported already, {flag} comes too late", hint="name a FILE.py:FUNCTION")
    if not is_saved(path) and start != IMPORT:
        raise UsageError(f"{path} starts at '{IMPORT}', not at '{start}'", hint="--from is for .mlir files")
    chosen = parse_passes(DEFAULT_PIPELINE if arguments.passes is None else arguments.passes)
    between(chosen, start, stop)
    opened = Opened(load_saved(path, arguments)) if is_saved(path) else import_source(arguments)
    base = opened.compiled
    module = saved_module(base, start, arguments) if is_saved(path) else base.module
    passes = parse_passes(default_pipeline(module, base.device)) if arguments.passes is None else chosen
    trace.first, trace.offset = start, [IMPORT, *(step.name for step in passes)].index(start)
    run_pipeline(module, between(passes, start, stop), trace=trace)
    if opened.example is not None and has_thresholds(trace.stages[0].module):
        inputs = flat_inputs(base, opened.example, {})
        measure_error(trace.stages[0].module, module, base.weights, [inputs])
    stages = {stage.name: partial(getattr, stage, "module") for stage in trace.stages}
    compiled = CompiledModel(module, base.weights, base.original, stages, device=base.device, training=base.training)
    return Opened(compiled, opened.example)


def import_source(arguments: argparse.Namespace) -> Opened:
    """The model of a Python or a NIR file, imported."""
    path = Path(arguments.model)
    if path.suffix == ".nir":
        return Opened(import_network(path, arguments))
    refuse_network_options(path, arguments)
    return import_example(arguments)


def import_network(path: Path, arguments: argparse.Namespace) -> CompiledModel:
    """The network of a NIR file."""
    from .frontends.nir import import_nir

    for flag in given_flags(arguments, "dont_care", "approximate", "adapters", "weights"):
        raise UsageError(f"{path} is a NIR file: {flag} says nothing of it")
    given = {name: getattr(arguments, name) for name in ("dt", "reset", "discretisation")}
    options = {name: value for name, value in given.items() if value is not None}
    found = import_nir(path, **options, delays="round" if arguments.round_delays else "exact")
    found.module.attributes |= exactness(arguments.exact) | ({STRICT_NAN: UnitAttr()} if arguments.strict_nan else {})
    device = target_device(arguments.target) if arguments.target else None
    weights = {name: tensor.to(device) for name, tensor in found.weights.items()}
    model = shell(re.sub(r"\W", "_", path.stem), found.module, weights)
    return CompiledModel(found.module, weights, model, {IMPORT: found.module.clone}, device=device)


def refuse_network_options(path: Path, arguments: argparse.Namespace) -> None:
    """Raise UsageError for an option that is for NIR files."""
    for flag in given_flags(arguments, "dt", "reset", "discretisation", "round_delays"):
        raise UsageError(f"{path} is no NIR file: {flag} says nothing of it")


def import_example(arguments: argparse.Namespace) -> Opened:
    """The model of a function in a user's file, imported, with the options of the file and of the command line."""
    approximate = approximation(arguments.approximate)
    example = load_example(arguments.model)
    options = dict(example.options)
    options["dont_care"] = {**options.get("dont_care", {}), **pairs(arguments.dont_care)} or None
    given = {"exact": arguments.exact, "approximate": approximate}
    options |= {name: value for name, value in given.items() if value is not None}
    options |= {"strict_nan": True} if arguments.strict_nan else {}
    options |= {} if arguments.adapters else {"adapters": False}
    compiled = api.compile(example.model, example.args, example.kwargs, **options, target=arguments.target, pipeline="")
    compiled.module.attributes.pop(ERROR, None)
    return Opened(compiled, example)


def approximation(text: str | None) -> str | None:
    """`text`, if it is a threshold or a share. Raises UsageError where it is neither."""
    try:
        if text is not None:
            parse_share(text)
    except UserError as error:
        raise UsageError(
            f"--approximate {text}: expected a threshold or a share",
            hint="--approximate 0.02 takes |x| <= 0.02 for 0; --approximate 25% keeps the largest quarter",
        ) from error
    return text


def given_flags(arguments: argparse.Namespace, *names: str) -> Iterator[str]:
    """Those of the options that the command line has, as they are written there."""
    for name in names:
        flag = "no-adapters" if name == "adapters" else name.replace("_", "-")
        if getattr(arguments, name) not in ((True,) if name == "adapters" else (None, False, "")):
            yield f"--{flag}"


def saved_module(saved: CompiledModel, start: str, arguments: argparse.Namespace) -> ModuleOp:
    """The module of a saved model at stage `start`, with what the command line says of it."""
    if Path(arguments.model).is_dir():
        if start not in saved.stages:
            raise UsageError(f"{arguments.model}: no stage '{start}' in it", hint=did_you_mean(start, saved.stages))
        module = saved.stages[start]()
    else:
        module = saved.module.clone()
    if dont_care := pairs(arguments.dont_care):
        annotate(entry_function(module), dont_care)
    module.attributes |= exactness(arguments.exact) | ({STRICT_NAN: UnitAttr()} if arguments.strict_nan else {})
    return module


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


def pairs(options: Sequence[str] | None) -> Mapping[str, str]:
    """`["logits=mask"]` -> `{"logits": "mask"}`"""
    split = [option.partition("=") for option in options or ()]
    for option, (result, _, argument) in zip(options or (), split, strict=True):
        if not result or not argument:
            raise UsageError(f"--dont-care {option}: expected RESULT=ARGUMENT", hint="--dont-care logits=mask")
    return {result: argument for result, _, argument in split}
