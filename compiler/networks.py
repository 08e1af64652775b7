"""Spiking networks by file, and on core arrays: what `gossamer simulate` and `gossamer.simulate` stand on.

| MODEL        | is                                                         |
|--------------|------------------------------------------------------------|
| `FILE.nir`   | a NIR file, for steps of `dt` seconds                      |
| a folder     | what `gossamer compile net.nir -o DIR` wrote               |
| `FILE.mlir`  | a module with an `snn.network`; weights lie beside it      |
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..dialects.diagnostics import UsageError, UserError
from .simulation import Simulation, network_of
from .simulation import simulate as simulate_module
from .snn import SpikingNetwork
from .snn import load as load_nir
from .storage import load as load_saved


def open_network(path: str | Path, *, dt: float | None = None) -> SpikingNetwork:
    """The spiking network in a file or folder. Raises UserError where there is none."""
    path = Path(path)
    if path.suffix == ".nir":
        return load_nir(path, dt=dt)
    if dt is not None:
        raise UsageError(f"{path} says how long a step is: --dt {dt:g} is for NIR files")
    if not path.is_dir() and path.suffix != ".mlir":
        raise UserError(f"{path}: expected a .nir file, a folder that was saved, or a .mlir file")
    saved = load_saved(path)
    network_of(saved.module)
    return SpikingNetwork(saved.module, saved.weights)


def arrays_of(weights: Mapping[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Weights as numpy has them."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}


def simulate(net: SpikingNetwork, spikes: Any, **options: Any) -> Simulation:
    """Run a network on `spikes`, map it onto a core array, and time the run.

        found = gossamer.simulate(net, spikes, machine="loihi1", policy="auto")
        print(found)                                # times, energies, bounds, what to change
        found.timing.makespan_ns, found.raster      # and in numbers

    `spikes` are 0 or 1, [steps, *shape], numpy or torch: an array, or one for each input in order or by name. See
    `compiler/simulation.py` for the options: machine, policy, cores, method, seed, slack, packets, profile. Raises
    UserError where spikes, machine or network do not fit.
    """
    if isinstance(spikes, Mapping):
        given: Any = {name: np.asarray(value) for name, value in spikes.items()}
    elif isinstance(spikes, Sequence):
        given = [np.asarray(value) for value in spikes]
    else:
        given = [np.asarray(spikes)]
    return simulate_module(net.module, arrays_of(net.weights), given, **options)
