"""Import a NIR graph: neurons become populations, linear nodes between them the maps of projections.

    input -> w (Affine) -> lif (LIF) -> output
        ->    snn.input @input <4>
              snn.population @lif <8> : f32 lif exponential {decay = .., gain = .., ..} fires gt reset zero now
              snn.projection @input to @lif { snn.dense @w.weight  snn.bias @w.bias }
              func.func @forward(%input: tensor<?x?x4xf32>) -> tensor<?x?x8xf32> { snn.run .. records ["lif"] }

NIR is continuous in time: the length of a step and the discretisation are the caller's, or the file's own where we
wrote it. An Output gives the spikes of the neurons before it, the membrane of those that never fire, or, where linear
nodes lead to it, their sum in each step. Names of nodes are kept, but for dots and the like, which become `_`.

What a file cannot tell, and writers get wrong: snnTorch resets by subtraction and writes that it resets to 0, which
`reset="subtract"` mends; norse writes tau_mem a thousand times too small (norse issue 411). Notes say what was assumed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr

from ...dialects.diagnostics import UserError, did_you_mean
from ...dialects.neurons import Discretisation, Reset
from ..entry import NOTES
from .nir_files import read_tree
from .nir_graph import Graph, read_graph
from .nir_network import Builder, Choices

DISCRETISATIONS = (Discretisation.EXPONENTIAL, Discretisation.EULER)


@dataclass(frozen=True)
class ImportedNetwork:
    """A module in the form of an import, its weights by name, and what was assumed."""

    module: ModuleOp
    weights: dict[str, torch.Tensor]
    notes: tuple[str, ...]


def import_nir(
    source: Any,
    *,
    dt: float | None = None,
    discretisation: str | None = None,
    reset: str = "value",
    delays: str = "exact",
    analog: bool = False,
) -> ImportedNetwork:
    """Import a NIR file, or an `nir.NIRGraph`, for steps of `dt` seconds.

    `discretisation` is `exponential` (the default) or `euler`. `reset` is `value`, as NIR has it, or overrides it:
    `subtract`, `zero`, `none`. `delays="round"` rounds delays to whole steps. `analog`: inputs are currents.

    Raises UserError, naming file and node, where the graph is at fault or a choice is missing.
    """
    file, tree = read_tree(source)
    choices = Choices(
        step(file, tree, dt),
        discretisation and chosen("discretisation", discretisation, DISCRETISATIONS),
        Reset(chosen("reset", reset, Reset)),
        chosen("delays", delays, ("exact", "round")) == "round",
        analog,
    )
    graph = read_graph(file, tree)
    builder = Builder(graph, choices)
    module = builder.module()
    notes = tuple(dict.fromkeys([*graph.notes, *builder.notes, *doubts(graph, choices)]))
    module.attributes[NOTES] = ArrayAttr(map(StringAttr, notes))
    module.verify()
    return ImportedNetwork(module, builder.weights.tensors(), notes)


def chosen(name: str, value: str, known: Any) -> Any:
    """`value`, if it is one of `known`."""
    if str(value) not in (names := [str(entry) for entry in known]):
        raise UserError(f"no {name} '{value}'", hint=did_you_mean(str(value), names))
    return value


def step(file: str, tree: Mapping[str, Any], dt: float | None) -> float:
    """The length of a step: what was asked for, or what the file says."""
    metadata = tree.get("metadata")
    written = metadata.get("dt") if isinstance(metadata, Mapping) else None
    given = written if dt is None else dt
    if given is None:
        raise UserError(
            f"{file}: NIR is continuous in time: how long is a step?", hint="dt=1e-3, or --dt 1e-3: a millisecond"
        )
    array = np.asarray(given)
    if array.size != 1 or array.dtype.kind not in "iuf" or not 0 < float(array) < np.inf:
        raise UserError(f"{file}: dt is {given!r}, expected a number of seconds above 0")
    return float(array)


def doubts(graph: Graph, choices: Choices) -> Iterator[str]:
    """What the file may not mean as it says."""
    leaky = [node for node in graph.nodes.values() if node.values.keys() & {"tau", "tau_mem"}]
    if leaky and choices.discretisation is None and not any("discretisation" in node.metadata for node in leaky):
        yield "NIR does not say how time is cut into steps: exponential, exact for an input constant in a step"
    zero = [n for n in graph.nodes.values() if "v_threshold" in n.values and not np.any(n.values.get("v_reset", 0))]
    if zero and choices.reset is Reset.VALUE:
        yield (
            f"'{zero[0].name}'{' and others' * (len(zero) > 1)}: reset to 0, as the file says; snnTorch writes so even "
            "where it resets by subtraction: then reset='subtract'"
        )
    if resting := [node for node in leaky if np.any(node.array("v_leak"))]:
        yield f"'{resting[0].name}': NIR does not say where membranes start: at 0 (Norse starts at v_leak)"
    for node in leaky:
        tau = node.array("tau" if "tau" in node.values else "tau_mem")
        if np.any(tau < choices.dt):
            yield (
                f"'{node.name}': tau is {tau.min():g} s, shorter than a step of {choices.dt:g} s; norse 1.1 writes tau "
                "a thousand times too small (norse issue 411)"
            )
