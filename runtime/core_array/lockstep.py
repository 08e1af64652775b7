"""The same network with a barrier after every layer: nobody runs ahead, messages still arrive in any order."""

import numpy as np

from ..spiking.arrays import Raster
from .barriers import levels
from .wiring import Update, Wiring


def lockstep(wiring: Wiring, update: Update, random: np.random.Generator, twice: float) -> tuple[Raster, int, int]:
    """What fires, how many packets were sent, and how many came twice."""
    slots = [wiring.slots(core) for core in range(wiring.mapping.cores)]
    # Lockstep asks for no credits: every delay needs a slot.
    longest = int(wiring.synapses.delay.max(initial=0)) + 1
    for each in slots:
        each.widen(longest)
    level, sent, dropped = levels(wiring.mapping), 0, 0
    steps: list[np.ndarray] = []
    for step, played in enumerate(wiring.played()):
        fired = [played]
        for layer in np.unique(level):
            messages: list[tuple[int, int, int]] = []
            for core in np.flatnonzero(level == layer).tolist():
                for synapses in wiring.injected(core, step):
                    slots[core].add(step, synapses)
                spikes = np.asarray(update(core, step, slots[core].take(step)), bool)
                fired.append(slots[core].neurons[spikes])
                messages += [(n, *axon) for n in fired[-1].tolist() for axon in wiring.axons(n)]
            copies = [m for m in messages for _ in range(1 + (random.random() < twice))]
            sent, dropped = sent + len(messages), dropped + len(copies) - len(messages)
            came: set[tuple[int, int, int]] = set()
            for index in random.permutation(len(copies)).tolist():
                neuron, core, delay = copies[index]
                if copies[index] not in came:
                    came.add(copies[index])
                    slots[core].add(step + delay, wiring.behind[neuron, core, delay])
        steps.append(np.sort(np.concatenate(fired)))
    return Raster.stacked(steps), sent, dropped
