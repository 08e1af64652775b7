"""Spiking networks in Python: read, run, written.

net = gossamer.snn.load("net.nir", dt=1e-3)
net = gossamer.snn.from_torch(model, spikes)   # of snnTorch, Norse or SpikingJelly
spikes = net(inputs)                     # [steps, batch, *shape], torch or numpy; the same comes back
print(net.summary())                     # populations, projections, and what was assumed
gossamer.snn.save(net, "copy.nir")
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree
from xdsl.dialects.builtin import ModuleOp, UnitAttr

from ..dialects.snn import InputOp, NetworkOp, PopulationOp, RunOp
from ..runtime.spiking.network import Network, read_network
from ..runtime.spiking.runner import Runner
from .context import print_module
from .entry import Entry, entry_function, read_entry
from .frontends.nir import import_nir
from .frontends.nir_export import export_nir, run_of
from .frontends.over_time import over_time
from .pipeline import run_pipeline

__all__ = ["SpikingNetwork", "from_torch", "load", "over_time", "save"]


@dataclass(frozen=True)
class SpikingNetwork:
    """A module with one network and its run, its weights by name, and what was assumed when it was made."""

    module: ModuleOp
    weights: Mapping[str, torch.Tensor]
    notes: Sequence[str] = ()

    @cached_property
    def parts(self) -> tuple[RunOp, NetworkOp]:
        return run_of(self.module)

    @cached_property
    def network(self) -> Network:
        """The network as arrays, with the weights as they are now."""
        arrays = {name: tensor.detach().cpu().numpy() for name, tensor in self.weights.items()}
        return read_network(self.parts[1], arrays)

    @cached_property
    def runners(self) -> dict[bool, Runner]:
        """What runs it, by whether its inputs are currents."""
        return {}

    def runner(self, analog: bool) -> Runner:
        """What runs it: by kernels where the network has them. `analog` takes every input for one of currents."""
        if analog not in self.runners:
            lowered = self.module.clone()
            for op in run_of(lowered)[1].populations() if analog else ():
                if isinstance(op, InputOp):
                    op.properties["analog"] = UnitAttr()
            run_pipeline(lowered, "lower-networks,lower-kernels")
            self.runners[analog] = Runner(run_of(lowered)[0])
        return self.runners[analog]

    @cached_property
    def entry(self) -> Entry:
        return read_entry(entry_function(self.module))

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """What the outputs give for inputs [steps, batch, *shape]: one alone, several by name; torch for torch.

        Inputs are spikes where all of them are 0 or 1, else currents.

        Raises UserError where an input is missing or of another shape.
        """
        tensors = pytree.tree_map(as_tensor, (inputs, named))
        bound = [x for x in self.entry.bind(*tensors) if isinstance(x, torch.Tensor)]
        analog = not all(bool(((x == 0) | (x == 1)).all()) for x in bound)
        results = self.runner(analog)(self.weights, *bound)
        found = list(results) if isinstance(results, tuple) else [results]
        is_torch = any(isinstance(leaf, torch.Tensor) for leaf in pytree.tree_leaves((inputs, named)))
        return self.entry.assemble(found if is_torch else [value.numpy() for value in found])

    def ir(self) -> str:
        """The text of the module."""
        return print_module(self.module)

    def summary(self) -> str:
        """Populations and projections in a line each, and the notes."""
        network = self.network
        lines = [f"{network.neurons} neurons, {len(network.synapses())} synapses, a step is {network.dt:g} s"]
        for op in self.parts[1].populations():
            kind = f"{op.model.data} {op.discretisation.data}" if isinstance(op, PopulationOp) else "input"
            lines.append(f"  {op.sym_name.data} {list(op.sizes)}: {kind}")
        for op in self.parts[1].projections():
            delay = str(op.least_delay) + (f" to {op.longest_delay}" if op.longest_delay > op.least_delay else "")
            maps = [entry.name.removeprefix("snn.") for entry in op.map_ops()]
            maps = "one to one" if {*maps} <= {"reshape"} else ", ".join(maps)
            lines.append(f"  {' -> '.join(op.ends)}: {maps}, delay {delay}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def as_tensor(value: Any) -> torch.Tensor:
    """Spikes or currents as float32."""
    return torch.as_tensor(np.asarray(value) if not isinstance(value, torch.Tensor) else value).float()


def load(source: Any, *, dt: float | None = None, **choices: Any) -> SpikingNetwork:
    """The network in a NIR file or an `nir.NIRGraph`; see `import_nir` for the choices.

    Raises UserError, naming file and node, where the file is at fault or a choice is missing.
    """
    found = import_nir(source, dt=dt, **choices)
    return SpikingNetwork(found.module, found.weights, found.notes)


def from_torch(model: torch.nn.Module, example_input: torch.Tensor, *, steps_first: bool = True) -> SpikingNetwork:
    """The network of a model of snnTorch, Norse or SpikingJelly; see `compiler/snn_torch.py`.

    `example_input` is [steps, batch, ..], or [batch, steps, ..] unless `steps_first`. The network takes any number of
    steps and any batch, steps first. Raises UserError where the model has no exact form.
    """
    from .snn_torch import from_torch as read

    return read(model, example_input, steps_first=steps_first)


def save(network: SpikingNetwork, path: str | Path, *, lossy: bool = False) -> tuple[str, ...]:
    """Write a network as a NIR file, whole or not at all; with `lossy`, what NIR cannot say is left out and returned.

    Raises UserError naming what NIR cannot say.
    """
    return export_nir(network.module, network.weights, path, lossy=lossy)
