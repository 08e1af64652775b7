"""Many models, and a file for each that fails.

    fuzz/values-linear-times_rows.py      the file of the smallest model; what differs, and the command, stand on top

A failure whose model has the kind and all ops of one before is counted, and neither shrunk nor written again.
"""

import linecache
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, combinations, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from ..context import write_text
from .generate import generate
from .judge import Mismatch, RefusedError, judge
from .model import INPUT, Model
from .ops import OPS
from .shrink import shrink
from .source import clearable, passes, source

WAYS = 63
"""In how many ways NaN and Inf are cleared at most, where they may be."""


@dataclass(frozen=True)
class Failure:
    """A model that differs from eager torch, as small as it was made."""

    seed: int
    model: Model
    mismatch: Mismatch
    file: Path | None = None

    @property
    def name(self) -> str:
        """What kind of mismatch, of which ops."""
        return "-".join([self.mismatch.kind, *(op.replace(" ", "_") for op in sorted(ops_of(self.model)))])

    def explains(self, model: Model, mismatch: Mismatch) -> bool:
        """Does that model hold what fails here, and fail alike? Then it is probably the same bug."""
        return self.mismatch.kind == mismatch.kind and ops_of(self.model) <= ops_of(model)


def ops_of(model: Model) -> set[str]:
    """Names of the ops in a model."""
    return {node.op for node in model.nodes if node.op != INPUT}


@dataclass
class Campaign:
    """Models of one seed after another; `failures` by name, `refused` by reason, `applied` by what passes did."""

    exact: str | None = None
    folder: Path | None = None
    shrinking: float = 60.0
    models: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    applied: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    failures: dict[str, Failure] = field(default_factory=dict)

    def run(
        self,
        models: int,
        seed: int = 0,
        seconds: float | None = None,
        show: Callable[[str], None] = lambda _: None,
        jobs: int = 1,
    ) -> None:
        """Try so many models, or as many as there is time for, in as many processes as `jobs`."""
        end = None if seconds is None else time.monotonic() + seconds
        with ExitStack() as stack:
            for found in self.attempts(range(seed, seed + models), jobs, stack):
                self.models += 1
                self.note(found, show)
                show(f"{self.models} models, {sum(self.refused.values())} refused, {len(self.failures)} mismatches")
                if end is not None and time.monotonic() > end:
                    return

    def attempts(self, seeds: Sequence[int], jobs: int, stack: ExitStack) -> Iterator["Attempt"]:
        """What comes of each seed, in order."""
        one = partial(attempt, exact=self.exact)
        if jobs == 1:
            return map(one, seeds)
        pool = ProcessPoolExecutor(jobs, get_context("spawn"), prepare)
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
        return pool.map(one, seeds)

    def note(self, found: "Attempt", show: Callable[[str], None] = lambda _: None) -> None:
        """Count a model; shrink and write it where it differs."""
        self.applied.update(found.applied)
        if found.refused:
            self.refused[found.refused] += 1
            return
        seed, mismatch = found.seed, found.mismatch
        if mismatch is None:
            return
        model = generate(seed, exact=self.exact is not None)
        if known := next((name for name, f in self.failures.items() if f.explains(model, mismatch)), None):
            self.again[known] += 1
            return
        show(f"shrinking model {seed}: {mismatch.kind}")
        self.keep(smallest(seed, model, mismatch, self.exact, self.shrinking))

    def keep(self, failure: Failure) -> None:
        """Note a failure, and write it into the folder where it is a new one."""
        if failure.name in self.failures:
            self.again[failure.name] += 1
            return
        if self.folder is not None:
            file = self.folder / f"{failure.name[:100]}.py"
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(file, reproducer(failure, file, self.exact))
            failure = Failure(failure.seed, failure.model, failure.mismatch, file)
        self.failures[failure.name] = failure


@dataclass(frozen=True)
class Attempt:
    """What came of the model of one seed: nothing, a mismatch, or why it could not be compared."""

    seed: int
    applied: frozenset[str] = frozenset()
    mismatch: Mismatch | None = None
    refused: str = ""


def attempt(seed: int, exact: str | None) -> Attempt:
    """Try the model of one seed."""
    notes: set[str] = set()
    try:
        mismatch = verdict(generate(seed, exact=exact is not None), exact, notes)
    except RefusedError as reason:
        return Attempt(seed, refused=str(reason))
    return Attempt(seed, frozenset(notes), mismatch)


def prepare() -> None:
    """Make a process of its own ready: small models gain nothing from threads."""
    import torch

    torch.set_num_threads(1)


def smallest(seed: int, model: Model, mismatch: Mismatch, exact: str | None, seconds: float) -> Failure:
    """The smallest model that fails as `model` does."""
    last = mismatch

    def fails(candidate: Model) -> bool:
        nonlocal last
        try:
            found = verdict(candidate, exact)
        except RefusedError:
            return False
        if found is None or found.kind != mismatch.kind:
            return False
        last = found
        return True

    small = shrink(model, fails, seconds=seconds)
    return Failure(seed, small, last)


def verdict(model: Model, exact: str | None = None, notes: set[str] | None = None) -> Mismatch | None:
    """What differs in a model; `notes` gets what passes did to it. Raises RefusedError where it is none to compare."""
    return judge(space_of(source(model)), exact=exact, cleared=lambda: cleared(model, exact), notes=notes)


def cleared(model: Model, exact: str | None = None) -> Iterator[dict[str, Any]]:
    """The model with NaN and Inf cleared where they may be, by all that may, one, two, .. of them."""
    nodes = clearable(model, exact=exact is not None)
    ways = chain.from_iterable(combinations(nodes, k) for k in (len(nodes), *range(1, len(nodes))) if k)
    for way in islice(ways, WAYS):
        for more in {False, not exact and any(OPS[model.nodes[index].op].clears_more for index in way)}:
            yield space_of(source(model, clearing=way, more=more))


def space_of(text: str) -> dict[str, Any]:
    """What running a model's file defines; tracebacks and locations find its lines."""
    name = f"<fuzz {hash(text):x}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space: dict[str, Any] = {"__name__": "fuzz"}
    exec(compile(text, name, "exec"), space)
    return space


def reproducer(failure: Failure, file: Path, exact: str | None) -> str:
    """The file of a failure, with what differs and how to see it again."""
    how = f" --exact {exact}" if exact else ""
    options = f"--seed {failure.seed} --models 1"
    head = [
        f'"""{failure.mismatch.kind}, found by `gossamer fuzz {options}{how}`.',
        "",
        *failure.mismatch.message.replace("\\", "/").splitlines(),
        "",
        f"    gossamer run {file.name}:model --compare{how} -p '{passes(failure.model)}'",
        f"    gossamer fuzz --again {file.name}{how}",
        '"""',
    ]
    return source(failure.model, head="\n".join(line.rstrip() for line in head))
