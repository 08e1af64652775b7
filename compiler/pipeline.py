"""Passes in order, and what each of them did.

    simplify ── detect-sparsity ── insert-gathers ── sink-scatters ── guard-density ── insert-skips ── choose-tiles ..
    |            |
    import       simplify           a stage is named after the pass that made it; the first one is `import`

A pipeline is text, as xDSL and MLIR write it: `simplify,guard-density{threshold=0.7}`. `run_pipeline` applies one to a
module in place, verifies after every pass and gives a `Trace`: for every stage the module as it was then, its ops
counted, and the seconds. A pass that fails leaves a file whose first line is the command that fails again.
"""

import re
import shlex
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Protocol

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation
from xdsl.passes import ModulePass
from xdsl.utils.arg_spec import ArgSpec, parse_pipeline
from xdsl.utils.exceptions import ArgSpecParseError

from ..dialects.diagnostics import UsageError, UserError, did_you_mean
from ..dialects.template import show_float
from ..passes import PASSES, load_pass
from .context import make_context, print_module, verify, write_text

DEFAULT_PIPELINE: tuple[str, ...] = (
    "simplify",
    "detect-sparsity",
    "insert-gathers",
    "sink-scatters",
    "guard-density",
    "insert-skips",
    "choose-tiles",
    "lower-products",
    "lower-networks",
    "fuse-launches",
    "lower-kernels",
)
IMPORT = "import"
"""The name of the first stage: what the frontend made, before any pass."""
WORD = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Stage:
    """A module between two passes. `module` is a copy that stays as it is."""

    position: int
    name: str
    spec: str
    """The pass that made it, as pipeline text; empty for the first stage."""
    module: ModuleOp
    seconds: float
    changed: bool

    @cached_property
    def text(self) -> str:
        """The module's text, with locations."""
        return print_module(self.module)

    @cached_property
    def ops(self) -> Counter[str]:
        """How many ops of each name there are."""
        return Counter(op.name for op in self.module.walk())


class Watcher(Protocol):
    """Told about each pass as it runs: dumps, printing, progress."""

    def before(self, step: ModulePass, module: ModuleOp, /) -> None: ...

    def after(self, stage: Stage, /) -> None: ...


@dataclass
class Trace:
    """All stages of one run, in order. `first` is the name, and `offset` the position, of the stage that it starts at.

    Watchers hear of every pass; `reproducers` is the folder for what a failing pass leaves, a new one by default.
    """

    watchers: Sequence[Watcher] = ()
    first: str = IMPORT
    offset: int = 0
    reproducers: Path | None = None
    stages: list[Stage] = field(default_factory=list)

    def record(self, module: ModuleOp, step: ModulePass | None = None, seconds: float = 0.0) -> None:
        """Note that `step` left `module` as it is now."""
        last = self.stages[-1] if self.stages else None
        changed = last is None or not same(last.module, module)
        stage = Stage(
            position=self.offset + len(self.stages),
            name=step.name if step else self.first,
            spec=pass_text(step) if step else "",
            module=module.clone() if last is None or changed else last.module,
            seconds=seconds,
            changed=changed,
        )
        self.stages.append(stage)
        for watcher in self.watchers:
            watcher.after(stage)

    def stage(self, name: str) -> Stage:
        """The last stage called `name`. Raises UsageError when there is none."""
        found = [stage for stage in self.stages if stage.name == name]
        if not found:
            raise UsageError(f"no stage '{name}'", hint=did_you_mean(name, (stage.name for stage in self.stages)))
        return found[-1]

    def pairs(self) -> Iterator[tuple[Stage, Stage]]:
        """Each stage with the one after it."""
        yield from zip(self.stages, self.stages[1:], strict=False)


class PassError(Exception):
    """A pass broke, or broke a law. `reproducer` is a file that fails the same way."""

    def __init__(self, passes: Sequence[ModulePass], cause: Exception, reproducer: Path):
        self.reproducer = reproducer
        what = str(cause) if isinstance(cause, UserError) else f"{type(cause).__name__}: {cause}"
        again = opt_command(shlex.quote(str(reproducer)), passes)
        super().__init__(f"pass '{passes[0].name}' failed: {what}\n  to see it again: {again}")


def same(before: ModuleOp, after: ModuleOp) -> bool:
    """Would both modules print the same text?"""
    return before.is_structurally_equivalent(after) and all(
        labels(a) == labels(b) for a, b in zip(before.walk(), after.walk(), strict=True)
    )


def labels(op: Operation) -> tuple[object, ...]:
    """What the text of an op says beside its structure: locations, and names of values."""
    arguments = [a for region in op.regions for block in region.blocks for a in block.args]
    names = [value.name_hint for value in (*op.results, *arguments)]
    return op.location, names, [argument.location for argument in arguments]


def pass_text(step: ModulePass) -> str:
    """A pass with its options as pipeline text, the way `make_pass` reads it: `guard{threshold=0.7}`."""
    options = [
        name.replace("_", "-") + ("=" if values else "") + ",".join(map(option_text, values))
        for name, values in step.spec().parameters.items()
    ]
    return f"{step.name}{{{' '.join(options)}}}" if options else step.name


def option_text(value: str | int | float) -> str:
    """One value of an option. (A float keeps its point: the grammar reads `1e-05` as a word.)"""
    match value:
        case bool():
            return str(value).lower()
        case float():
            return show_float(value)
        case str() if not WORD.fullmatch(value) or value in ("true", "false"):
            return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        case _:
            return str(value)


def pipeline_text(passes: Sequence[ModulePass]) -> str:
    """`a,b{option=1}`"""
    return ",".join(map(pass_text, passes))


def parse_passes(pipeline: str | Sequence[str | ModulePass]) -> tuple[ModulePass, ...]:
    """Passes from text, or from texts and passes mixed. Raises UsageError where a pass or an option is not known."""
    steps = [pipeline] if isinstance(pipeline, str) else pipeline
    return tuple(p for step in steps for p in ([step] if isinstance(step, ModulePass) else parse_text_passes(step)))


def parse_text_passes(text: str) -> Iterator[ModulePass]:
    """The passes in a pipeline's text."""
    try:
        specs = list(parse_pipeline(text.strip()))
    except ArgSpecParseError as error:
        raise UsageError(f"this is no pipeline: '{text}'", details=str(error).splitlines()[1:]) from None
    for spec in specs:
        yield make_pass(spec)


def make_pass(spec: ArgSpec) -> ModulePass:
    """The pass that `spec` names, with its options."""
    if spec.name not in PASSES:
        raise UsageError(f"no pass '{spec.name}'", hint=did_you_mean(spec.name, PASSES))
    known = load_pass(spec.name)
    options = {f.name.replace("_", "-"): f for f in fields(known) if f.init and f.name != "name"}
    for option in spec.parameters:
        if option.replace("_", "-") not in options:
            raise UsageError(f"pass '{spec.name}' has no option '{option}'", hint=did_you_mean(option, options))
    try:
        return known.from_spec(spec)
    except ValueError as error:
        raise UsageError(f"pass '{spec.name}': {error}") from None


def between(passes: Sequence[ModulePass], start: str = IMPORT, stop: str | None = None) -> tuple[ModulePass, ...]:
    """The passes after stage `start` up to and with stage `stop`."""
    names = [IMPORT, *(step.name for step in passes)]
    for stage in filter(None, (start, stop)):
        if stage not in names:
            raise UsageError(f"no stage '{stage}'", hint=did_you_mean(stage, names))
    first, last = names.index(start), names.index(stop) if stop else len(passes)
    if last < first:
        raise UsageError(f"stage '{stop}' comes before '{start}'", details=[f"the stages are: {', '.join(names)}"])
    return tuple(passes[first:last])


def run_pipeline(
    module: ModuleOp,
    passes: str | Sequence[str | ModulePass] = DEFAULT_PIPELINE,
    *,
    trace: Trace | None = None,
    context: Context | None = None,
) -> Trace:
    """Apply `passes` to `module`, in place, and verify it after each. Gives `trace` (a new one by default), filled.

    Raises UsageError for an unknown pass or option, and PassError when a pass fails or leaves a broken law.
    """
    steps, trace, context = parse_passes(passes), trace or Trace(), context or make_context()
    trace.record(module)
    for index, step in enumerate(steps):
        for watcher in trace.watchers:
            watcher.before(step, module)
        start = time.perf_counter()
        try:
            step.apply(context, module)
        except UserError:
            raise
        except Exception as error:
            raise PassError(steps[index:], error, reproduce(trace, steps[index:], error)) from error
        seconds = time.perf_counter() - start
        try:
            verify(module)
        except UserError as error:
            raise PassError(steps[index:], error, reproduce(trace, steps[index:], error)) from error
        trace.record(module, step, seconds)
    return trace


def reproduce(trace: Trace, passes: Sequence[ModulePass], error: Exception) -> Path:
    """Write the module as it was before `passes[0]`, under the command that runs `passes` on it."""
    folder = trace.reproducers or Path(tempfile.mkdtemp(prefix="gossamer-"))
    path = folder / f"reproduce-{passes[0].name}.mlir"
    reason = "".join(f"// {line}\n" for line in f"{type(error).__name__}: {error}".splitlines())
    write_text(path, f"// RUN: {opt_command('%s', passes)}\n{reason}{trace.stages[-1].text}")
    return path


def opt_command(path: str, passes: Sequence[ModulePass]) -> str:
    """The command line that runs `passes` on the module in `path`."""
    return f"gossamer opt {path} -p {shlex.quote(pipeline_text(passes))}"
