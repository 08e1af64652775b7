"""Higher-order ops: torch calls that are given functions.

| op                                          | does                                                              |
|---------------------------------------------|-------------------------------------------------------------------|
| `cond(p, f, g, xs)`                         | `f(*xs)` if p, else `g(*xs)`                                       |
| `while_loop(p, f, state, more)`             | `state = f(*state, *more)` while `p(*state, *more)`                |
| `scan(f, state, xs, more)`                  | `state, y = f(*state, *x, *more)` for x along axis 0, stacked y     |
| `map_impl(f, xs, more)`                     | `f(*x, *more)` for x along axis 0, stacked                        |
| `associative_scan(f, xs, more)`             | running combination along axis 0, in torch's own (tree) order     |
| `wrap_with_set_grad_enabled(on, f, *xs)`    | `f(*xs)` in that grad mode; `wrap_with_autocast` in that autocast |

Functions take their inputs one by one and give back a tuple. Written in plain torch calls, so every one of them can be
differentiated. What is not in the table is torch's own.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

Function = Callable[..., tuple[Any, ...]]


def cond(predicate: Any, true: Function, false: Function, operands: Sequence[Any] = ()) -> tuple[Any, ...]:
    """One of two functions."""
    return (true if predicate else false)(*operands)


def while_loop(predicate: Function, body: Function, carried: Sequence[Any], more: Sequence[Any] = ()) -> tuple:
    """The state after the loop; never the very tensors that came in."""
    state = tuple(value.clone() if isinstance(value, torch.Tensor) else value for value in carried)
    while predicate(*state, *more)[0]:
        state = body(*state, *more)
    return state


def scan(body: Function, carried: Sequence[Any], sequences: Sequence[torch.Tensor], more: Sequence[Any] = ()) -> tuple:
    """The last state, then what every step gave back, stacked along axis 0."""
    state, steps = tuple(carried), []
    for items in zip(*(sequence.unbind() for sequence in sequences), strict=True):
        result = body(*state, *items, *more)
        state = result[: len(carried)]
        steps.append(result[len(carried) :])
    return (*state, *map(stack, zip(*steps, strict=True)))


def map_impl(body: Function, sequences: Sequence[torch.Tensor], more: Sequence[Any] = ()) -> tuple:
    """What every step gave back, stacked along axis 0."""
    steps = [body(*items, *more) for items in zip(*(s.unbind() for s in sequences), strict=True)]
    return tuple(map(stack, zip(*steps, strict=True)))


def stack(values: Sequence[Any]) -> torch.Tensor | None:
    """One result of every step; None stays None."""
    return None if values[0] is None else torch.stack(tuple(values))


def associative_scan(combine: Function, sequences: Sequence[torch.Tensor], more: Sequence[Any] = ()) -> tuple:
    """torch's own order of combination, hence its own bits."""
    from torch._higher_order_ops.associative_scan import generic_associative_scan

    return tuple(generic_associative_scan(combine, list(sequences), additional_inputs=tuple(more)))


def with_grad_mode(enabled: bool, body: Function, *operands: Any) -> tuple[Any, ...]:
    """`wrap_with_set_grad_enabled`"""
    with torch.set_grad_enabled(enabled):
        return body(*operands)


def with_autocast(
    device_type: str, dtype: torch.dtype | None, enabled: bool, cache: bool | None, body: Function, *operands: Any
) -> tuple[Any, ...]:
    """`wrap_with_autocast`"""
    with torch.autocast(device_type, dtype=dtype, enabled=enabled, cache_enabled=cache):
        return body(*operands)


def plain(body: Function, *operands: Any, **_: Any) -> tuple[Any, ...]:
    """A wrapper that only marks its function."""
    return body(*operands)


def invoke_subgraph(body: Function, _identifier: str, *operands: Any) -> tuple[Any, ...]:
    """A function that is called more than once."""
    return body(*operands)


HIGHER_ORDER: dict[str, Callable[..., Any]] = {
    "cond": cond,
    "while_loop": while_loop,
    "scan": scan,
    "map_impl": map_impl,
    "associative_scan": associative_scan,
    "wrap_with_set_grad_enabled": with_grad_mode,
    "wrap_with_autocast": with_autocast,
    "tag_activation_checkpoint": plain,
    "wrap_activation_checkpoint": plain,
    "wrap": plain,
    "strict_mode": lambda body, operands: body(*operands),
    "invoke_subgraph": invoke_subgraph,
}
"""Ops with semantics of our own."""


def higher_order(name: str) -> Callable[..., Any] | None:
    """The higher-order op called `name`; None when there is none."""
    import torch._higher_order_ops

    return HIGHER_ORDER.get(name) or getattr(torch.ops.higher_order, name, None)
