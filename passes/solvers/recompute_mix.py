"""Identical layers with two policies and a half: those next to the budget on the curve of seconds over bytes.

    bytes of a layer        0.9 GB    0.4 GB        with 24 layers and room for 15 GB
    seconds that it costs   0.0 ms    1.3 ms        10 layers of the first, 13 of the second, one with what is left

The curve is convex, so no other mix of policies is better but for the last layer, whose program gets the bytes that
are left. The layers whose backward pass comes first keep the most: what others rebuild finds their bytes given back.
"""

from dataclasses import dataclass

from .recompute_heu import LayerProgram, Policy, follow
from .recompute_hide import hide
from .recompute_layers import Layer, kinds_of
from .recompute_schedule import Choice
from .recompute_trial import Trial, Trials
from .recompute_when import Times, When, placed

ROUNDS, CLOSE = 3, 0.005
"""How often a mix, or one policy, is corrected by its exact peak, and the share of the budget that may stay unused."""


@dataclass(frozen=True)
class Level:
    """What each kind of layer does at one price, and what one layer of each takes."""

    policies: tuple[Policy, ...]
    seconds: float
    bytes: float


class Mixer:
    """Policies for the layers of one graph."""

    def __init__(self, trials: Trials, times: Times):
        self.trials, self.times, self.units = trials, times, times.units
        self.kinds = kinds_of(self.units)
        count = sum(len(kind.layers) for kind in self.kinds)
        self.programs = [LayerProgram(kind, times, count) for kind in self.kinds]
        layers = [(place, layer) for place, kind in enumerate(self.kinds) for layer in kind.layers]
        self.layers = sorted(layers, key=lambda pair: -pair[1].number)
        inside = {index for kind in self.kinds for layer in kind.layers for index in layer.members}
        self.rest = frozenset(s for s, maker in self.units.maker.items() if maker not in inside)

    def mix(self, budget: int) -> Trial | None:
        """The best mix of policies within the budget; None where none is."""
        lean = self.leanest()
        if lean is None or not self.layers:
            return None
        trial = self.uniform(lean, budget)
        fat, target = self.level(0.0), lean.bytes + budget - trial.peak
        if fat is None or self.uniform(fat, budget).peak <= budget:
            return self.trials.best(budget)
        fat, lean = self.around(fat, lean, target)
        target = lean.bytes + budget - self.uniform(lean, budget).peak
        for _ in range(ROUNDS):
            left = budget - self.between(fat, lean, target, budget).peak
            if 0 <= left < CLOSE * budget:
                break
            target += left
        return self.trials.best(budget)

    def heu(self, budget: int) -> Trial | None:
        """The best policy that all layers of a kind can follow."""
        lean = self.leanest(late=True)
        if lean is None or not self.layers:
            return None
        target = lean.bytes + budget - self.uniform(lean, budget).peak
        for _ in range(ROUNDS):
            share = (target - lean.bytes) / len(self.layers)
            own = [
                p.policy(limit=q.bytes + share, late=True) for p, q in zip(self.programs, lean.policies, strict=True)
            ]
            policies = tuple(a or b for a, b in zip(own, lean.policies, strict=True))
            found = self.uniform(self.of(policies), budget)
            if found.peak <= budget:
                return found
            target -= found.peak - budget
        return None

    def level(self, price: float) -> Level | None:
        policies = [program.policy(price) for program in self.programs]
        return None if None in policies else self.of(tuple(policy for policy in policies if policy))

    def of(self, policies: tuple[Policy, ...]) -> Level:
        pairs = [(len(kind.layers), policy) for kind, policy in zip(self.kinds, policies, strict=True)]
        return Level(policies, sum(n * p.seconds for n, p in pairs), sum(n * p.bytes for n, p in pairs))

    def leanest(self, *, late: bool = False) -> Level | None:
        """The fastest policies of no bytes: a layer can always run all of it again."""
        policies = [program.policy(limit=0.0, late=late) for program in self.programs]
        return None if None in policies else self.of(tuple(policy for policy in policies if policy))

    def around(self, fat: Level, lean: Level, target: float) -> tuple[Level, Level]:
        """Two neighbours on the curve, the one above the target and the other below."""
        while fat.bytes > lean.bytes:
            price = (lean.seconds - fat.seconds) / (fat.bytes - lean.bytes)
            between = self.level(price)
            if between is None or not lean.bytes < between.bytes < fat.bytes:
                break
            below = lean.seconds + price * lean.bytes - between.seconds - price * between.bytes
            if below <= 1e-3 * (lean.seconds + price * lean.bytes):
                break
            fat, lean = (between, lean) if between.bytes > target else (fat, between)
        return fat, lean

    def between(self, fat: Level, lean: Level, target: float, budget: int) -> Trial:
        """As many layers as fit follow the one, one layer takes what is left, the others follow the other."""
        chosen, left = [], target - lean.bytes
        filled = False
        for kind, layer in self.layers:
            more, less = fat.policies[kind], lean.policies[kind]
            if more.bytes - less.bytes <= left and not filled:
                policy = more
            elif not filled:
                policy, filled = self.programs[kind].policy(limit=less.bytes + max(left, 0.0)) or less, True
            else:
                policy = less
            left -= policy.bytes - less.bytes
            chosen.append((kind, layer, policy))
        return self.trial(chosen, budget)

    def uniform(self, level: Level, budget: int) -> Trial:
        return self.trial([(kind, layer, level.policies[kind]) for kind, layer in self.layers], budget)

    def trial(self, chosen: list[tuple[int, Layer, Policy]], budget: int) -> Trial:
        """Of the schedules in which windows take what would be late, in which not, and in which they take it as late as
        they can, the best for the budget."""
        kept, when = set(self.rest), dict[int, When]()
        for kind, layer, policy in chosen:
            keeps, runs = follow(self.kinds[kind], layer, policy)
            kept |= keeps
            when |= runs
        asked, spilled = (Choice(frozenset(kept), windows) for windows in placed(self.times, when))
        tried = [self.trials.of(spilled)]
        if tried[0].peak <= budget and not tried[0].exposed:
            return tried[0]
        if asked.placed != spilled.placed:
            tried.append(self.trials.of(asked))
        late = Choice(frozenset(kept))
        if not self.times.ahead and self.trials.of(late).peak <= budget:
            tried.append(hide(self.trials, self.trials.of(late), budget))
        return min(tried, key=lambda trial: (max(trial.peak - budget, 0), trial.exposed))
