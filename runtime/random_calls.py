"""What random calls do (see `dialects/random_calls.py`): draw from torch's stream, again from a state, or from a key.

Replayed and keyed calls borrow the default generator of their device, and put back what it was.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ..dialects.random_calls import DRAW, KEYED, REPLAY, STATE

MASK = (1 << 64) - 1


def generator(device: torch.device) -> torch.Generator:
    """The default generator of a device."""
    if device.type == "cpu":
        return torch.default_generator
    torch.cuda.init()
    return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]


def state(device: torch.device) -> torch.Tensor:
    """The state of the stream."""
    return generator(device).get_state()


def draw(_: torch.Tensor, op: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The op itself; the state is for those that come after it."""
    return op(*args, **kwargs)


@contextmanager
def borrowed(device: torch.device) -> Iterator[torch.Generator]:
    """The default generator, put back as it was at the end."""
    own = generator(device)
    before = own.get_state()
    try:
        yield own
    finally:
        own.set_state(before)


def replay(state: torch.Tensor, device: torch.device, op: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The op, drawing as from `state`."""
    with borrowed(device) as own:
        own.set_state(state)
        return op(*args, **kwargs)


def keyed(
    seed: int,
    step: int,
    place: int,
    layer: int,
    device: torch.device,
    op: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Any:
    """The op, drawing from the stream of that key (of which torch's generator for the CPU takes 32 bits)."""
    with borrowed(device) as own:
        own.manual_seed(mixed(seed, step, place, layer))
        return op(*args, **kwargs)


def mixed(*numbers: int) -> int:
    """One seed of 63 bits of several numbers, each stirred in by SplitMix64 (Steele, Lea and Flood 2014)."""
    result = 0
    for number in numbers:
        result = (result + (number & MASK) + 0x9E3779B97F4A7C15) & MASK
        result = ((result ^ (result >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        result = ((result ^ (result >> 27)) * 0x94D049BB133111EB) & MASK
        result ^= result >> 31
    return result >> 1


RANDOM_CALLS: dict[str, Callable[..., Any]] = {STATE: state, DRAW: draw, REPLAY: replay, KEYED: keyed}
"""Random calls by name."""
