"""Costs of chunks that tests make up."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Early:
    seconds: float
    backward: float
    held: int = 0
    peak: int = 0


@dataclass(frozen=True)
class Work:
    forward: float
    early: tuple[Early, ...]
    recompute: float = 0.0
    kept: int = 0
    forward_peak: int = 0
    hosted: int = 0
    hosting: float = 0.0
    weights: float = 0.0
    deferred: int = 0
    weights_peak: int = 0


def work(forward: float, backward: float, weights: float = 0.0, *, kept: int = 0, deferred: int = 0, **more) -> Work:
    """Nothing is recomputed."""
    early = (Early(0.0, backward, 0, kept),)
    return Work(forward, early, kept=kept, forward_peak=kept, weights=weights, deferred=deferred,
                weights_peak=deferred, **more)  # fmt: skip


def rebuilding(forward: float, backward: float, pieces: list[tuple[float, int]], *, kept: int = 1, **more) -> Work:
    """`pieces` of recomputation, (seconds, bytes) each, on the critical path where nothing runs them before."""
    total = sum(seconds for seconds, _ in pieces)
    held = sum(size for _, size in pieces)
    early, spent, made = [Early(0.0, backward + total, 0, kept + held)], 0.0, 0
    for seconds, size in pieces:
        spent, made = spent + seconds, made + size
        early.append(Early(spent, backward + total - spent, made, kept + held))
    return Work(forward, tuple(early), total, kept, kept, **more)
