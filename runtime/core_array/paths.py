"""What each step of each core waited for last, and the chain of such waits that the whole run hung on."""

import numpy as np

from .waits import Waits

ITSELF = -1
"""The cause of a step that started when the core's own step before it was done, or at once."""


def arrivals(waits: Waits, done: np.ndarray) -> np.ndarray:
    """When each step had what each wait asks for, float [steps, waits]; -inf where it asks for nothing."""
    steps, columns = len(done), np.arange(len(waits))
    row = np.minimum(np.arange(steps)[:, None] - waits.lag, steps - 1)
    told = row if waits.late is None else row + waits.late[np.maximum(row, 0), columns]
    return np.where(row >= 0, done[told, waits.before] + waits.latency, -np.inf)


def causes(waits: Waits, done: np.ndarray) -> np.ndarray:
    """The wait that each step of each node started after, int [steps, nodes], or ITSELF."""
    cause = np.full(done.shape, ITSELF, np.int64)
    if not len(waits) or not done.size:
        return cause
    order = np.argsort(waits.after, kind="stable")
    nodes, starts = np.unique(waits.after[order], return_index=True)
    came = arrivals(waits, done)[:, order]
    latest = np.maximum.reduceat(came, starts, axis=1)
    width = np.diff(np.append(starts, len(order)))
    position = np.where(came == np.repeat(latest, width, axis=1), np.arange(len(order)), len(order))
    first = np.minimum.reduceat(position, starts, axis=1)
    own = np.concatenate((np.zeros((1, len(nodes))), done[:-1, nodes]))
    cause[:, nodes] = np.where(latest > own, order[np.minimum(first, len(order) - 1)], ITSELF)
    return cause


def critical_path(waits: Waits, done: np.ndarray) -> list[tuple[int, int]]:
    """The (node, step) events that the end of the run hung on, from the last to the first."""
    if not done.size:
        return []
    cause = causes(waits, done)
    step, node = (int(axis) for axis in np.unravel_index(int(done.argmax()), done.shape))
    path = [(node, step)]
    while (wait := int(cause[step, node])) != ITSELF or step:
        if wait == ITSELF:
            step -= 1
        else:
            row = min(step - int(waits.lag[wait]), len(done) - 1)
            step, node = row + (0 if waits.late is None else int(waits.late[row, wait])), int(waits.before[wait])
        path.append((node, step))
    return path
