"""Energy and power as straight lines: what stands still, plus what each event adds."""

from .machine import Machine


def event_energy(machine: Machine, **events: float) -> float:
    """Picojoules of so many events, named as `Costs` names them: event_energy(machine, synapse=1e6, update=2e4)."""
    return sum(number * getattr(machine.energy, event) for event, number in events.items())


def affine_power(machine: Machine, cores: int, **per_second: float) -> float:
    """Watts of `cores` cores in which each event happens so often a second.

    One number per event is right only at the rate where it was measured: static power and event energy keep apart.
    """
    return machine.static_power * cores + event_energy(machine, **per_second) * 1e-12
