"""Compile a file's model and run it beside eager torch: the first thing that differs, or nothing.

| kind        | what differs                                                                                    |
|-------------|-------------------------------------------------------------------------------------------------|
| `crash`     | a pass, or the program, raises                                                                  |
| `values`    | numbers, sizes or dtypes of a result, in rows that somebody reads                               |
| `aliasing`  | results, arguments and state that share memory in one and not in the other                      |
| `arguments` | what a call leaves in its arguments                                                             |
| `buffers`   | what it leaves in the model's state                                                             |
| `gradients` | those of parameters and arguments                                                               |
| `check`     | a stage gives something else than the one before it                                             |
| `text`      | a stage's text is not read back as it was written                                               |
| `saved`     | the program saved and loaded gives other numbers                                                 |
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...dialects.diagnostics import UserError
from .. import api
from ..check import compare, first_difference
from ..compiled import CompiledModel
from ..context import parse_text, print_module
from ..entry import entry_function
from ..example import Example, understand
from ..machine import exact_options
from ..pipeline import Trace, run_pipeline
from ..storage import load
from .applied import applied
from .compare import Outcome, Probe, differs, named, observed


class RefusedError(Exception):
    """The model, or a call, is none that could be compared: eager torch or torch.export refuse it."""


@dataclass(frozen=True)
class Mismatch:
    """What differs from eager torch."""

    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


Space = Mapping[str, Any]
"""What running a model's file defined (see `source.py`)."""


def judge(
    space: Space,
    *,
    exact: str | None = None,
    cleared: Callable[[], Iterator[Space]] | None = None,
    notes: set[str] | None = None,
) -> Mismatch | None:
    """What differs in the model of `space`; None where nothing does. `notes` gets what the passes did to it.

    `cleared` gives the same model with NaN and Inf cleared in rows that a product with a mask hides, in every way that
    README allows. Raises RefusedError where there is nothing to compare.
    """
    return Judge(space, exact, cleared, set() if notes is None else notes).run()


def first_line(error: BaseException) -> str:
    """The first line of what an error says, with its class."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


@dataclass
class Judge:
    """One model's comparison."""

    space: Space
    exact: str | None
    cleared: Callable[[], Iterator[Space]] | None
    notes: set[str] = field(default_factory=set)

    def run(self) -> Mismatch | None:
        """The first mismatch."""
        example = self.example(self.space)
        probes = [self.probe(self.space, number) for number in range(len(self.space["CALLS"]))]
        expected = [self.eager(example.model, probe) for probe in probes]
        settings = self.space["SETTINGS"]
        with tempfile.TemporaryDirectory() as folder:
            try:
                compiled, trace = self.compile(example, settings["passes"], Path(folder))
            except RefusedError:
                raise
            except Exception as error:
                return Mismatch("crash", first_line(error))
            for number, (probe, wanted) in enumerate(zip(probes, expected, strict=True)):
                if mismatch := self.call(compiled, example, number, probe, wanted):
                    return mismatch
            for name in settings["also"]:
                if mismatch := ALSO[name](compiled, trace, probes[0], Path(folder)):
                    return mismatch
        return None

    def probe(self, space: Space, number: int) -> Probe:
        """Call `number`, and what is asked of it."""
        options = space["OPTIONS"]
        return Probe(space["CALLS"][number](), options.get("dont_care", {}), space["SETTINGS"]["gradients"])

    def example(self, space: Space) -> Example:
        """What the file's `model` gives."""
        from ...dialects.diagnostics import Place

        return understand(space["model"](), Place("fuzz", 1), "model")

    def eager(self, model: nn.Module, probe: Probe) -> Outcome:
        """What the model gives; RefusedError where it raises."""
        try:
            return observed(model, model, probe)
        except Exception as error:
            raise RefusedError(f"eager: {first_line(error)}") from error

    def compile(self, example: Example, passes: str, folder: Path) -> tuple[CompiledModel, Trace]:
        """The model compiled with `passes`, and every stage of that."""
        options = {"exact": self.exact, "pipeline": "", **example.options}
        try:
            imported = api.compile(example.model, example.args, example.kwargs, **options)
        except UserError as error:
            raise RefusedError(f"export: {error.message}") from error
        module = imported.module
        if self.exact:
            passes = passes.replace("insert-gathers", "insert-gathers" + exact_options(entry_function(module)))
        trace = Trace(reproducers=folder)
        run_pipeline(module, passes, trace=trace)
        self.notes |= applied(trace)
        stages = {stage.name: partial(getattr, stage, "module") for stage in trace.stages}
        model, device = imported.original, imported.device
        compiled = CompiledModel(
            module, imported.weights, model, stages, device=device, training=example.model.training
        )
        return compiled, trace

    def call(
        self, compiled: CompiledModel, example: Example, number: int, probe: Probe, wanted: Outcome
    ) -> Mismatch | None:
        """What differs on one call. Sizes that export fixed, though they were to vary, are no mismatch."""
        try:
            compiled.bind((), dict(probe.arguments))
        except UserError as error:
            return None if number else Mismatch("crash", f"call {number}: {first_line(error)}")
        try:
            found = observed(compiled, example.model, probe)
        except Exception as error:
            return Mismatch("crash", f"call {number}: {first_line(error)}")
        kind, message = differs(wanted, found, probe, exact=bool(self.exact), again=partial(self.again, number))
        return Mismatch(kind, f"call {number}: {message}") if kind else None

    def again(self, number: int, jitter: int) -> Iterator[Outcome]:
        """Other outcomes that are as right: of inputs that were moved a little, or with NaN cleared where it may be."""
        if jitter:
            model = self.example(self.space).model
            yield observed(model, model, self.probe(self.space, number), jitter=jitter)
        elif self.cleared is not None:
            for space in self.cleared():
                model = self.example(space).model
                yield observed(model, model, self.probe(space, number))


def check(compiled: CompiledModel, trace: Trace, probe: Probe, folder: Path) -> Mismatch | None:
    """Every stage run by the reference interpreter, where all is finite: README tells what NaN may come to."""
    values = [*probe.arguments.values(), *observed(compiled.original, compiled.original, probe).results]
    if any(isinstance(v, torch.Tensor) and v.is_floating_point() and not v.isfinite().all() for v in values):
        return None
    found = first_difference(trace, compiled.weights, compiled.bind((), dict(probe.arguments)))
    return Mismatch("check", str(found)) if found else None


def text(compiled: CompiledModel, trace: Trace, probe: Probe, folder: Path) -> Mismatch | None:
    """Every stage's text, read and written again."""
    for stage in trace.stages:
        written = print_module(stage.module)
        try:
            again = print_module(parse_text(written, stage.name))
        except Exception as error:
            return Mismatch("text", f"{stage.name}: {first_line(error)}")
        if again != written:
            return Mismatch("text", f"{stage.name}: it reads back as another program")
    return None


def saved(compiled: CompiledModel, trace: Trace, probe: Probe, folder: Path) -> Mismatch | None:
    """The program saved and loaded."""
    try:
        compiled.save(folder / "saved")
        loaded = load(folder / "saved")
        there = observed(loaded, loaded, probe)
    except Exception as error:
        return Mismatch("saved", first_line(error))
    here = observed(compiled, compiled.original, probe)
    for (name, a), (_, b) in zip(named(here.results), named(there.results), strict=True):
        if how := compare(a, b, exact=False, rows=probe.rows(name)):
            return Mismatch("saved", f"{name}: {how}")
    return None


ALSO: dict[str, Callable[[CompiledModel, Trace, Probe, Path], Mismatch | None]] = {
    "check": check,
    "text": text,
    "saved": saved,
}
"""Comparisons of some models only."""
