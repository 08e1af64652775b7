"""The equations of `dialects/neurons.py` as functions of arrays: numpy's or torch's, the text is the same.

step = step_function(population)             # once
fired = step(state, x)                       # each step: state in place, fired a bool array
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ...dialects.neurons import Compare, Dynamics, Reset, When, assignments

Array = Any
"""A numpy array or a torch tensor."""
LATE = (When.NEXT, When.BEFORE)
"""When a spike of the last step is what resets."""
FIRED, REST = "fired", "rest"
"""States beside those of the equations: did it fire in the last step, and for how many steps is it refractory?"""


@dataclass(frozen=True)
class Firing:
    """When a neuron fires, and what comes of it."""

    compare: Compare
    reset: Reset
    when: When
    refractory: int = 0


@dataclass(frozen=True)
class Step:
    """One step of neurons with these equations. `firing` is None where the model never fires."""

    dynamics: Dynamics
    firing: Firing | None

    @property
    def states(self) -> tuple[str, ...]:
        """The names of all states, in order; `fired` and `rest` only where they are needed."""
        firing = self.firing
        late = (FIRED,) if firing and firing.when in LATE and firing.reset is not Reset.NONE else ()
        return (*self.dynamics.states, *late, *((REST,) if firing and firing.refractory else ()))

    def __call__(
        self,
        state: dict[str, Array],
        parameters: Mapping[str, Array],
        x: Array,
        where: Callable,
        fires: Callable[[Array, Array], Array] | None = None,
    ) -> Array:
        """Go on by a step: `state` holds the new arrays afterwards. Gives the bool array of what fired, or None.

        `where` is numpy's or torch's. `fires(v, level)` stands for the comparison, where it has a gradient.
        """
        names: dict[str, Array] = {**parameters, **state, "x": x}
        firing = self.firing
        if firing and firing.when is When.BEFORE and FIRED in self.states:
            names["v"] = where(state[FIRED], self.reset_value(names), names["v"])
        before = names.get("v")
        evaluate(self.dynamics.charge, names)
        if firing is None:
            state.update({name: names[name] for name in self.dynamics.states})
            return None
        above = self.above(before, self.level(names)) if firing.when is When.UNDELAYED else None
        if firing.when is When.NEXT and FIRED in self.states:
            names["v"] = where(state[FIRED], self.reset_value(names), names["v"])
        elif above is not None:
            names["v"] = where(above, self.reset_value(names), names["v"])
        fired = (fires or self.above)(names["v"], self.level(names))
        if firing.refractory:
            resting = state[REST] > 0
            names["v"] = where(resting, before, names["v"])
            fired = fired & ~resting
            state[REST] = where(fired, firing.refractory, where(resting, state[REST] - 1, state[REST]))
        if firing.reset is not Reset.NONE and firing.when is When.NOW:
            names["v"] = where(fired, self.reset_value(names), names["v"])
        elif above is not None:
            v, given_back = names["v"], names["v"] + self.level(names)
            names["v"] = where(fired, where(above, v, self.reset_value(names)), where(above, given_back, v))
        for name, value in assignments(self.dynamics.jump):
            names[name] = where(fired, compiled(value)(names), names[name])
        state.update({name: names[name] for name in self.dynamics.states})
        if FIRED in self.states:
            state[FIRED] = fired
        return fired

    def level(self, names: Mapping[str, Array]) -> Array:
        """What v is compared with."""
        return compiled(self.dynamics.level)(names)

    def above(self, v: Array, level: Array) -> Array:
        """Where v is at its level."""
        assert self.firing is not None
        return v > level if self.firing.compare is Compare.GT else v >= level

    def reset_value(self, names: Mapping[str, Array]) -> Array:
        """What v becomes where a neuron fired."""
        assert self.firing is not None
        match self.firing.reset:
            case Reset.SUBTRACT:
                return names["v"] - self.level(names)
            case Reset.VALUE:
                return names["reset"]
            case _:
                return 0


def evaluate(equations: str, names: dict[str, Array]) -> None:
    """Run assignments one after another."""
    for name, value in assignments(equations):
        names[name] = compiled(value)(names)


@cache
def compiled(expression: str) -> Callable[[Mapping[str, Array]], Array]:
    """An expression of the table as a function of its names."""
    code = compile(ast.parse(expression, mode="eval"), f"<{expression}>", "eval")
    return lambda names: eval(code, {"max": greater}, dict(names))


def greater(a: Array, b: Array) -> Array:
    """The greater of two, element by element: of integers, which know no NaN."""
    return np.maximum(a, b) if isinstance(a, np.ndarray) else a.clamp(min=b)
