"""What the zoo's entries are made of, and where they are entered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

RUNS = "runs"


class Sample(NamedTuple):
    """A model and how it is called. `dynamic_shapes` are torch.export's."""

    model: torch.nn.Module
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    dynamic_shapes: Any = None


@dataclass(frozen=True)
class Entry:
    """One animal. Results are bitwise those of eager, but for a `tolerance` that `reason` explains."""

    name: str
    make: Callable[[], Sample]
    expected: str = RUNS
    tolerance: float = 0.0
    reason: str = ""

    def build(self) -> Sample:
        """A fresh model, the same every time."""
        torch.manual_seed(0)
        return self.make()


ZOO: dict[str, Entry] = {}


def model(name: str, *, fails: str = RUNS, tolerance: float = 0.0, reason: str = "") -> Callable:
    """Enter a function that makes a sample; `fails` is the error that it must give instead of running."""

    def enter(make: Callable[[], Sample]) -> Callable[[], Sample]:
        assert name not in ZOO, name
        ZOO[name] = Entry(name, make, fails, tolerance, reason)
        return make

    return enter
