"""Costs of chunks that tests make up."""

from gossamer.passes.solvers.recompute_stage import Early, StageCost


def work(
    forward: float, backward: float, weights: float = 0.0, *, kept: int = 0, deferred: int = 0, **more
) -> StageCost:
    """Nothing is recomputed."""
    early = (Early(0.0, backward, 0, kept),)
    return StageCost(forward, 0.0, kept, kept, early, weights=weights, deferred=deferred, weights_peak=deferred, **more)


def rebuilding(forward: float, backward: float, pieces: list[tuple[float, int]], *, kept: int = 1, **more) -> StageCost:
    """`pieces` of recomputation, (seconds, bytes) each, on the critical path where nothing runs them before."""
    total = sum(seconds for seconds, _ in pieces)
    held = sum(size for _, size in pieces)
    early, spent, made = [Early(0.0, backward + total, 0, kept + held)], 0.0, 0
    for seconds, size in pieces:
        spent, made = spent + seconds, made + size
        early.append(Early(spent, backward + total - spent, made, kept + held))
    return StageCost(forward, total, kept, kept, tuple(early), **more)
