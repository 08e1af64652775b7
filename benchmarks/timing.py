"""Fair clocks: peers take turns, so that a slow minute of the machine slows all of them.

round 1    eager  packed  gossamer
round 2    packed  gossamer  eager
round 3    gossamer  eager  packed
           median over rounds; ratio = median over rounds of eager / peer within the round
"""

import gc
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Rounds:
    """Seconds of every run, by peer; the same number for each."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return min(map(len, self.seconds.values()), default=0)

    def median(self, name: str) -> float:
        """Median seconds of a peer."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, to: str) -> float:
        """How many times as fast as peer `to`: the median of the ratios within the rounds."""
        pairs = zip(self.seconds[to], self.seconds[name], strict=True)
        return statistics.median(other / own for other, own in pairs)


def interleaved(
    runs: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    budget: float = float("inf"),
    before: Callable[[], object] | None = None,
) -> Rounds:
    """Time `runs` in turns, `rounds` times each; fewer (but 3 times) once `budget` seconds are spent. They are warm.
    `before` is called before each run, and not timed."""
    names, found = list(runs), Rounds({name: [] for name in runs})
    start = time.perf_counter()
    with without_collector():
        for number in range(rounds):
            if number >= 3 and time.perf_counter() - start > budget:
                break
            for name in names[number % len(names) :] + names[: number % len(names)]:
                if before is not None:
                    before()
                found.seconds[name].append(seconds(runs[name]))
    return found


def seconds(run: Callable[[], object]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


@contextmanager
def without_collector() -> Iterator[None]:
    """Leave Python's garbage collector out of what is timed."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in what runs longer. For the main thread of Unix; elsewhere nothing is limited."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f"not done within {seconds:g} s")

    try:
        before = signal.signal(signal.SIGALRM, stop)
    except (AttributeError, ValueError):
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
