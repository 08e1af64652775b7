"""Write a network of the `snn` dialect as a NIR file.

| in the module                                  | in the file                                            |
|------------------------------------------------|--------------------------------------------------------|
| population                                     | its node, one number for each neuron in each parameter |
| dense and bias, conv and bias, scale, pool     | Linear or Affine, Conv1d or Conv2d, Scale, a pool      |
| reshape that joins axes                        | Flatten                                                |
| delay                                          | Delay; none where an import puts it there again        |
| read-out (an integrator that forgets at once)  | what leads to it leads to the Output                   |

The length of a step and the discretisation, which NIR has no word for, are kept as metadata. What it cannot say at all
is refused, or with `lossy` left out and reported: reset other than to a value, reset in the next step, `>=`, refractory
steps, initial states.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from xdsl.dialects.builtin import FloatAttr, IntegerAttr, ModuleOp, SymbolRefAttr, f32
from xdsl.dialects.func import FuncOp, ReturnOp

from ...dialects.diagnostics import UserError
from ...dialects.neurons import Compare, Discretisation, Model, Reset, When
from ...dialects.snn import InputOp, NetworkOp, PopulationOp, ProjectionOp, RunOp
from ...runtime.spiking.network import spread_parameter
from ..dont_care import leaf_names
from .nir_export_maps import Chains
from .nir_files import INSTALL, MISSING, write_graph
from .nir_network import READOUT, unused
from .nir_neurons import KINDS, in_seconds
from .nir_recurrence import Edge, closing_edges


def export_nir(
    module: ModuleOp, weights: Mapping[str, torch.Tensor], path: str | Path, *, lossy: bool = False
) -> tuple[str, ...]:
    """Write the network that a module runs; what was left out comes back. The file appears whole or not at all.

    Raises UserError that names every population with what NIR cannot say.
    """
    graph, notes = nir_graph(module, weights, lossy=lossy)
    write_graph(graph, Path(path))
    return notes


def nir_graph(
    module: ModuleOp, weights: Mapping[str, torch.Tensor], *, lossy: bool = False
) -> tuple[Any, tuple[str, ...]]:
    """The network that a module runs as an `nir.NIRGraph`, and what was left out."""
    try:
        import nir
    except ModuleNotFoundError:
        raise UserError(MISSING, hint=INSTALL) from None
    run, network = run_of(module)
    records = [record.data for record in run.records]
    faults, notes = limits(network, records)
    if faults or (notes and not lossy):
        raise UserError(
            f"NIR cannot say all of @{network.sym_name.data}",
            details=[*faults, *notes],
            hint="" if faults else "lossy=True leaves this out, and reports it",
        )
    arrays = {name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}
    chains = Chains(nir, network, arrays)
    outputs = readouts(network, records)
    for op in network.populations():
        if op.sym_name.data not in outputs:
            chains.nodes[op.sym_name.data] = node_of(nir, op, arrays, network.dt.value.data)
    implied = implied_delays(network, outputs)
    for projection in network.projections():
        if projection.ends[1] not in outputs:
            chains.add(projection, delayed=projection.ends not in implied or projection.longest_delay != 1)
    for record, title in zip(records, output_names(run), strict=True):
        name = record.partition(".")[0]
        output = name if name in outputs else unused(title, {*chains.nodes, *outputs})
        chains.nodes[output] = nir.Output({"output": np.array(chains.shapes[name], np.int64)})
        if name not in outputs:
            chains.edges.append((name, output))
        for projection in network.projections():
            if projection.ends[1] == output:
                chains.add(projection, delayed=True)
    metadata = {"dt": network.dt.value.data}
    return nir.NIRGraph(chains.nodes, chains.edges, metadata, type_check=False), tuple(notes)


def run_of(module: ModuleOp) -> tuple[RunOp, NetworkOp]:
    """The only run of a module and its network. Raises UserError where the module computes anything else."""
    runs = [op for op in module.walk() if isinstance(op, RunOp)]
    others = [
        op.name
        for function in module.ops
        if isinstance(function, FuncOp)
        for op in function.body.walk()
        if not isinstance(op, RunOp | ReturnOp)
    ]
    if len(runs) != 1 or others or (network := runs[0].find()) is None:
        found = f"{len(runs)} runs of a network" + (f", and {others[0]}" if others else "")
        raise UserError(f"a NIR file holds one network and nothing around it; the module has {found}")
    return runs[0], network


def output_names(run: RunOp) -> list[str]:
    """The names of the results of a run, where the function that returns them has any."""
    function = run.parent_op()
    names = leaf_names(function.res_attrs) if isinstance(function, FuncOp) and function.res_attrs else []
    return names if len(names) == len(run.records) else ["output"] * len(run.records)


def limits(network: NetworkOp, records: Sequence[str]) -> tuple[list[str], list[str]]:
    """What has no form in NIR, and what can be left out."""
    faults, notes = [], []
    feeding, fed = ({projection.ends[side] for projection in network.projections()} for side in (0, 1))
    recorded = {record.partition(".")[0] for record in records}
    for op in network.populations():
        if isinstance(op, PopulationOp):
            name, model, way = f"@{op.sym_name.data}", op.model.data, op.discretisation.data
            if model not in KINDS or way is Discretisation.SHIFT or op.type != f32:
                faults.append(f"{name}: {model} {way} of {op.type} is no neuron of NIR")
            notes += [f"{name}: {text}" for text in unsaid(op)]
            if op.sym_name.data not in fed:
                notes.append(f"{name}: nothing leads to it: readers of NIR give it an Input")
            if op.sym_name.data not in feeding | recorded:
                notes.append(f"{name}: nothing reads it: readers of NIR give it an Output")
    for name, _, state in (record.partition(".") for record in records):
        op = next(op for op in network.populations() if op.sym_name.data == name)
        if state and (state != "v" or (isinstance(op, PopulationOp) and op.fires is not None)):
            notes.append(f"@{name}: an Output gives its spikes, not its state {state}")
    return faults, notes


def unsaid(op: PopulationOp) -> list[str]:
    """What of a population NIR has no word for."""
    reset, said = op.reset.data if op.reset else Reset.NONE, []
    fires = op.fires is not None and op.model.data is not Model.THRESHOLD
    if fires and reset not in (Reset.VALUE, Reset.ZERO):
        said.append("NIR resets to a value, it does not subtract" if reset is Reset.SUBTRACT else "NIR always resets")
    if fires and reset is not Reset.NONE and op.when is not None and op.when.data is When.NEXT:
        said.append("NIR resets at once, not in the next step")
    if op.fires is not None and op.fires.data is Compare.GE:
        said.append("NIR fires above the threshold, not at it")
    if op.refractory is not None and op.refractory.value.data:
        said.append("NIR knows no refractory time")
    values = op.initial.data.values() if op.initial else ()
    if any(not isinstance(value, FloatAttr) or value.value.data != 0 for value in values):
        said.append("NIR knows no initial states")
    return said


def readouts(network: NetworkOp, records: Sequence[str]) -> list[str]:
    """Populations that only sum what arrives, and that nothing but an output reads."""
    read = {projection.ends[0] for projection in network.projections()}
    found = []
    for op in network.populations():
        name = op.sym_name.data
        if isinstance(op, PopulationOp) and op.model.data is Model.LI and name not in read and records.count(name) == 1:
            values = {k: v.value.data for k, v in op.parameters.data.items() if isinstance(v, FloatAttr)}
            fed = any(projection.ends[1] == name for projection in network.projections())
            if values == READOUT and fed:
                found.append(name)
    return found


def node_of(nir: Any, op: InputOp | PopulationOp, weights: Mapping[str, np.ndarray], dt: float) -> Any:
    """The node of a population. Raises UserError where its numbers have none."""
    if isinstance(op, InputOp):
        return nir.Input({"input": np.array(op.sizes, np.int64)})
    given = {name: value_of(value, weights, op.sizes) for name, value in op.parameters.data.items()}
    way = op.discretisation.data
    if way is Discretisation.QUOTIENT:
        given["rate"], given["r"] = 1 / np.asarray(given.pop("tau"), np.float64), np.ones(())
        way = Discretisation.EULER
    try:
        kind, values = in_seconds(op.model.data, given, dt)
    except ValueError as error:
        raise UserError(f"@{op.sym_name.data} is no neuron of NIR: {error}") from None
    full = {name: np.broadcast_to(value.reshape(op.sizes if value.size > 1 else ()), op.sizes).copy()
            for name, value in ((k, np.asarray(v)) for k, v in values.items())}  # fmt: skip
    metadata = {"discretisation": str(way)} if kind in ("LI", "LIF", "CubaLI", "CubaLIF") else {}
    return getattr(nir, kind)(**full, metadata=metadata)


def value_of(value: Any, weights: Mapping[str, np.ndarray], sizes: tuple[int, ...]) -> np.ndarray:
    """A parameter as numbers: one, or one for each neuron."""
    if isinstance(value, SymbolRefAttr):
        found = weights[value.root_reference.data]
        return spread_parameter(found, sizes) if found.size > 1 else found
    assert isinstance(value, FloatAttr | IntegerAttr)
    return np.asarray(value.value.data)


def implied_delays(network: NetworkOp, outputs: Sequence[str]) -> set[Edge]:
    """The recurrent connections with a delay of 1 that an import finds without being told."""
    projections = [p for p in network.projections() if p.ends[1] not in outputs]
    met = list(dict.fromkeys(end for p in projections for end in p.ends))
    given = {op.sym_name.data for op in network.populations() if isinstance(op, InputOp)}
    inputs = [name for name in met if name in given]
    order = [*inputs, *(name for name in met if name not in inputs)]
    projections.sort(key=lambda p: order.index(p.ends[1]))
    free = {p.ends for p in projections if p.longest_delay == 0}
    implied = {p.ends for p in projections if fixed_delay(p) == 1} - free
    while True:
        edges = [p.ends for p in projections if p.least_delay == 0 or (p.ends in implied and fixed_delay(p) == 1)]
        closing = closing_edges(edges, inputs)
        if closing == implied:
            return implied
        implied = implied & closing if closing <= implied else {edge for edge in implied if edge[0] == edge[1]}


def fixed_delay(projection: ProjectionOp) -> int:
    """The delay of all its synapses; -1 where they differ."""
    return -1 if projection.delays is not None else projection.longest_delay
