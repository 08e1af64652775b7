"""How many cores does each group of neurons get?

Neurons are whole: of n on c cores, some core has n / c of them, rounded up. Eleven equal neurons take as long on ten
cores as on six, and the four are better used elsewhere.

    pace(c) = max(work / c, the ceil(n / c) lightest neurons) + what every core of the group has to do

No partition of the group is faster than that. Pure mathematics.
"""

from collections.abc import Sequence

import numpy as np


def paces(work: np.ndarray, most: int, apiece: float = 0.0) -> np.ndarray:
    """The least time of the busiest core where a group has at most 0, 1, .. `most` cores; inf on none.

    `work` are the times of its neurons, `apiece` what each of its cores does besides.
    """
    most = min(most, len(work))
    running = np.concatenate(([0.0], np.cumsum(np.sort(work))))
    cores = np.arange(1, most + 1)
    least = np.maximum(running[-1] / np.maximum(cores, 1), running[-(-len(work) // np.maximum(cores, 1))])
    return np.concatenate(([np.inf], np.minimum.accumulate(least + apiece)))


def fewest(pace: np.ndarray, goal: float) -> int:
    """The fewest cores on which a group is as fast as `goal`; one more than it may have where none are."""
    return len(pace) - int(np.searchsorted(pace[::-1], goal, "right"))


def shares(group_paces: Sequence[np.ndarray], least: np.ndarray, count: int) -> np.ndarray:
    """The cores of each group, int64 [groups], of `count`: the slowest group as fast as can be, then the next slowest.

    group_paces[g][c] never rises with c; no group gets fewer than `least`, nor more than its paces tell of. What is
    left where more cores help nobody goes one by one to the group that is slowest then.
    """
    share, open_groups = np.asarray(least, np.int64).copy(), list(range(len(group_paces)))
    while open_groups:
        goal = fastest(group_paces, share, open_groups, count)
        for group in open_groups:
            share[group] = max(share[group], fewest(group_paces[group], goal))
        slowest = max(open_groups, key=lambda group: group_paces[group][share[group]])
        open_groups.remove(slowest)
    return handed_out(group_paces, share, count)


def fastest(group_paces: Sequence[np.ndarray], share: np.ndarray, among: list[int], count: int) -> float:
    """The least pace that the groups `among` can all keep, where others have their share of `count` cores."""
    goals = np.unique(np.concatenate([group_paces[group][share[group] :] for group in among]))
    left = count - int(share.sum()) + int(share[among].sum())
    first, last = int(np.searchsorted(goals, max(group_paces[group][-1] for group in among))), len(goals) - 1
    while first < last:
        middle = (first + last) // 2
        needed = sum(max(int(share[group]), fewest(group_paces[group], goals[middle])) for group in among)
        first, last = (first, middle) if needed <= left else (middle + 1, last)
    return float(goals[first])


def handed_out(group_paces: Sequence[np.ndarray], share: np.ndarray, count: int) -> np.ndarray:
    """`share` with the cores that are left of `count`, each to the slowest group that may have one more."""
    share = share.copy()
    for _ in range(count - int(share.sum())):
        wanting = [group for group, pace in enumerate(group_paces) if share[group] + 1 < len(pace)]
        if not wanting:
            break
        share[max(wanting, key=lambda group: group_paces[group][share[group]])] += 1
    return share
