"""Spiking networks of torch: a model of snnTorch, Norse or SpikingJelly becomes a network of the `snn` dialect.

    net = from_torch(nn.Sequential(nn.Linear(784, 10), snn.Leaky(0.9, init_hidden=True)), spikes)
    net.module      snn.network @network { .. }, and a function that runs it
    net.weights     the model's own tensors by name

A model takes one step [batch, ..] and keeps its states hidden; or it takes all steps and is a sequence of layers
(`nn.Sequential`, SpikingJelly in step mode `m`, Norse's `SequentialState` with `Lift`): then it is first brought to one
step; or its own code loops over time, and says itself which axis of its input is time, or that all steps get the same
(`frontends/unrolled.py`). What has no exact form is refused by name and place; what is equal but for rounding is told
in `notes`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.export import Dim
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, SymbolRefAttr
from xdsl.ir import Attribute

from ..dialects.aten import WeightOp
from ..dialects.diagnostics import UserError
from ..dialects.neurons import When
from ..dialects.snn import NetworkOp, PopulationOp
from ..passes.raise_snn import DISTRIBUTED, REORDERED, RaiseSnn
from ..passes.roll_steps import RollSteps
from ..passes.split_batch_norm import ROUNDED, SplitBatchNorms
from .frontends.folding import fold_weights
from .frontends.over_time import OverTime, over_time
from .frontends.stepwise import one_step, runs_over_time
from .frontends.torch_export import import_model
from .frontends.unrolled import Unrolled, as_network, loops
from .snn import SpikingNetwork

__all__ = ["from_torch", "over_time"]


def from_torch(model: nn.Module, example_input: Tensor, *, steps_first: bool = True) -> SpikingNetwork:
    """The network of a model. `example_input` is [steps, batch, ..]; [batch, steps, ..] unless `steps_first`.

    Where all of it is 0 or 1 the input is of spikes, else of currents. The network takes any number of steps and any
    batch, steps first. Raises UserError where the model has no exact form.
    """
    if not isinstance(example_input, Tensor) or example_input.dim() < 2:
        raise UserError("the example is a tensor [steps, batch, ..]: of three axes or more")
    run, x = reading(model, example_input, steps_first)
    with evaluated(run):
        names = run.order(x)
        imported = import_model(run, (x,), dynamic_shapes=({0: Dim.AUTO, 1: Dim.AUTO},))
    weights = dict(imported.weights)
    for step in (RollSteps(), SplitBatchNorms()):
        step.apply(Context(), imported.module)
    fold_weights(imported.module, weights)
    analog = not bool(((x == 0) | (x == 1)).all())
    RaiseSnn(analog, names).apply(Context(), imported.module)
    network = next((op for op in imported.module.ops if isinstance(op, NetworkOp)), None)
    if network is None:
        raise UserError(f"{type(model).__name__} has no neurons of snnTorch, Norse or SpikingJelly")
    notes = as_network(imported.module, x.shape) if isinstance(run, Unrolled) else []
    keep_used(imported.module, weights)
    imported.module.verify()
    check_starts(network, weights)
    return SpikingNetwork(imported.module, weights, (*notes, *notes_of(network)))


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Let a model be in evaluation, and then each module as it was."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training


def reading(model: nn.Module, x: Tensor, steps_first: bool) -> tuple[OverTime, Tensor]:
    """A model as one that is run over time, and its example.

    Raises UserError where the example is not one of some steps and some batch.
    """
    known = isinstance(model, OverTime) or any(map(runs_over_time, model.modules()))
    if not known and loops(model, x):
        return Unrolled(model), x
    x = x if steps_first else x.transpose(0, 1)
    if x.dim() < 3:
        raise UserError("the example is a tensor [steps, batch, ..]: of three axes or more")
    if min(x.shape[:2]) < 2:
        raise UserError(
            f"the example has {x.shape[0]} steps of {x.shape[1]}",
            hint="two of each, or more: a size of 1 would be taken for a fixed one",
        )
    return model if isinstance(model, OverTime) else OverTime(one_step(model)), x


def keep_used(module: ModuleOp, weights: dict[str, Tensor]) -> None:
    """Forget weights that nothing names."""
    used = {name for op in module.walk() if not isinstance(op, WeightOp) for a in op.properties.values()
            for name in named(a)}  # fmt: skip
    for op in [op for op in module.ops if isinstance(op, WeightOp)]:
        if op.sym_name.data not in used:
            op.detach()
            op.erase()
            weights.pop(op.sym_name.data, None)


def named(attribute: Attribute) -> list[str]:
    """The symbols in an attribute."""
    if isinstance(attribute, SymbolRefAttr):
        return [attribute.root_reference.data]
    inner = getattr(attribute, "data", None)
    return [name for value in inner.values() for name in named(value)] if isinstance(inner, Mapping) else []


def check_starts(network: NetworkOp, weights: dict[str, Tensor]) -> None:
    """Refuse neurons that the source resets in the first step because they start above their threshold."""
    for population in network.populations():
        if not isinstance(population, PopulationOp) or population.when is None or population.when.data is When.NOW:
            continue
        threshold = population.parameters.data["threshold"]
        value = weights[named(threshold)[0]] if named(threshold) else torch.tensor(threshold.value.data)  # pyright: ignore
        if bool((value < 0).any()):
            raise UserError(
                f"@{population.sym_name.data} starts above its threshold, which is negative: the source resets it in "
                "the first step though it has not fired"
            )


def notes_of(network: NetworkOp) -> list[str]:
    """What is equal but for rounding."""
    added = [
        f"@{op.sym_name.data}: the source adds its inputs to the state one after another, here their sum is added; "
        "equal where sums are exact"
        for op in network.populations()
        if REORDERED in op.attributes
    ]
    scaled = [
        f"{op.title}: a batch norm is a scale and a shift, rounded twice where the source may round once; equal where "
        "its products are exact"
        for op in network.projections()
        if any(ROUNDED in entry.attributes for entry in op.map_ops())
    ]
    parts = [
        f"{op.title}: the source makes a sum before it maps it or adds others, here its parts are mapped and added; "
        "equal where sums are exact"
        for op in network.projections()
        if DISTRIBUTED in op.attributes
    ]
    return [*added, *dict.fromkeys((*scaled, *parts))]
