"""Forward, loss and backward as one fx graph, op for op what eager runs.

    loss = loss_fn(model, x, y)          placeholders   parameters, buffers, x, y, the gradient of the loss
    loss.backward()                 ->   output         written buffers, the loss, the gradient of each parameter

Each parameter is one input however often it is used, so autograd itself sums the gradients of tied weights, in eager's
order. Nodes carry the path of their module in `meta["custom"]`; a backward node that of the op it is a derivative of.
"""

import contextlib
import pickle
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import torch
import torch._dynamo.config
from numpy import random as numpy
from torch import nn
from torch._functorch._aot_autograd.descriptors import AOTOutput
from torch._functorch._aot_autograd.schemas import JointWithDescriptors
from torch._functorch.aot_autograd import aot_export_joint_with_descriptors
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.fx import GraphModule
from torch.fx.graph import CodeGen
from torch.fx.traceback import annotate, preserve_node_meta
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._pytree import TreeSpec
from torch.utils.hooks import RemovableHandle

from ...dialects.diagnostics import UserError
from ...runtime.shards import Layout
from .eager_ops import eager_ops
from .exporting import quiet, untouched
from .functional import values_of_copies
from .joint_autocast import Regions, cast_once
from .joint_shards import common_streams, take_parts
from .joint_state import attributes, carried, put, take
from .locations import is_users
from .transformers import values_unseen

PATH, PLACE = "path", "place"
"""Under these keys of `meta["custom"]` a node has the path of its module, and its file and line."""


@dataclass(frozen=True)
class Capture:
    """The graph as torch traced it; placeholder and output descriptors speak of `p0`, `p1`, .. and `b0`, `b1`, ..:
    the parameters and buffers here, in order, each under its first name. `layouts` are those of DTensors given out,
    `drawn` the random streams outside torch that the loss drew from when it ran last; what is imported may draw, too,
    in the first run.
    """

    graph: GraphModule
    parameters: dict[str, nn.Parameter]
    buffers: dict[str, torch.Tensor]
    layouts: dict[AOTOutput, Layout]
    drawn: list[str]


class Call(nn.Module):
    """`forward(*tensors)` is the loss of the batch that they are the tensors of."""

    def __init__(self, model: nn.Module, loss_fn: Callable[..., Any], spec: TreeSpec, leaves: Sequence[Any]):
        super().__init__()
        self.model, self.loss_fn = model, loss_fn
        self.spec, self.leaves = spec, leaves
        self.training = model.training
        self.drawn: list[str] = []
        self.left: dict[tuple[str, str], Any] = {}

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        remaining = iter(tensors)
        leaves = [next(remaining) if isinstance(leaf, torch.Tensor) else leaf for leaf in self.leaves]
        before = attributes(self)
        with values_unseen(tensors), python_draws() as self.drawn:
            loss = checked(self.loss_fn(self.model, *pytree.tree_unflatten(leaves, self.spec)))
        self.left = take(self, before)
        return loss


class Objective(nn.Module):
    """`call` as a function of its parameters and buffers, each once, under the names that descriptors have."""

    def __init__(self, call: Call):
        super().__init__()
        self.__dict__["call"] = call  # past torch, which would make its parameters this module's, too
        self.names = [[name for name, _ in found] for found in (call.named_parameters(), call.named_buffers())]
        for index, (_, parameter) in enumerate(call.named_parameters()):
            self.register_parameter(f"p{index}", parameter)
        for index, (_, buffer) in enumerate(call.named_buffers()):
            self.register_buffer(f"b{index}", buffer)

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        parameters, buffers = self.names
        weights = (*self._parameters.values(), *self._buffers.values())
        own: dict[str, Any] = dict(zip((*parameters, *buffers), weights, strict=True))
        after = dict(own)
        loss = functional_call(self.__dict__["call"], after, tensors)
        if loss._is_view() or any(loss is tensor for tensor in own.values()):
            loss = loss.clone()  # a result that is an input would have no gradient
        for name in buffers:
            if after[name] is not own[name]:
                replace(name, own[name], after[name])
        return loss


def replace(name: str, own: torch.Tensor, other: torch.Tensor) -> None:
    """Let a buffer that forward replaced be one that it wrote in place. Raises UserError where that cannot be."""
    if own.shape != other.shape:
        raise UserError(
            f"the loss replaces buffer '{plain(name)}', of shape {list(own.shape)}, by one of {list(other.shape)}",
            hint="run loss_fn(model, *example) once before, under torch.no_grad(): then it has that shape",
        )
    own.copy_(other.detach())


def checked(loss: Any) -> torch.Tensor:
    """`loss` itself. Raises UserError where it is no scalar that has a gradient."""
    if not isinstance(loss, torch.Tensor):
        found = f"a {type(loss).__name__}"
        hint = "return its .loss" if hasattr(loss, "loss") else "return the loss alone: one tensor"
        raise UserError(f"loss_fn gives {found}, expected a scalar tensor", hint=hint)
    if loss.numel() != 1:
        shape = list(loss.shape)
        raise UserError(f"loss_fn gives a tensor of shape {shape}, expected a scalar", hint="take its .mean()")
    if not loss.is_floating_point():
        raise UserError(f"loss_fn gives {loss.dtype}, expected a floating-point number", hint="return the loss itself")
    if not loss.requires_grad:
        raise UserError(
            "the loss depends on no parameter that requires a gradient",
            hint="compute it outside torch.no_grad(), without .detach(), from parameters with requires_grad=True",
        )
    return loss


class Places(TorchFunctionMode):
    """Lets nodes know the line of the user's code that they come from, and the region of autocast."""

    def __init__(self, regions: Regions):
        super().__init__()
        self.regions = regions

    def __torch_function__(
        self, function: Callable[..., Any], types: object, args: Any = (), kwargs: Any = None
    ) -> Any:
        frame = sys._getframe(1)
        while frame is not None and not is_users(frame.f_code.co_filename):
            frame = frame.f_back
        place = {PLACE: (frame.f_code.co_filename, frame.f_lineno)} if frame else {}
        with annotate({**place, **self.regions.here(function)}):
            return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """Let what torch.compile made run as it was written: its ops are those of the step."""
    with torch._dynamo.config.patch(error_on_nested_fx_trace=False), torch.compiler.set_stance("force_eager"):
        yield


@contextlib.contextmanager
def python_draws() -> Iterator[list[str]]:
    """Random streams of Python and numpy stay where they are; the list learns which of them were drawn from."""
    before, given = random.getstate(), numpy.get_state()
    drawn: list[str] = []
    try:
        yield drawn
    finally:
        drawn += ["Python's random"] * (random.getstate() != before)
        random.setstate(before)
        drawn += ["numpy.random"] * (pickle.dumps(numpy.get_state()) != pickle.dumps(given))
        numpy.set_state(given)


@contextlib.contextmanager
def annotated(model: nn.Module) -> Iterator[None]:
    """Let nodes know the module and the line that they come from."""
    handles, regions = [], Regions()
    with preserve_node_meta(), Places(regions), regions.counted():
        try:
            for name, module in model.named_modules():
                if name:
                    handles += hook(name, module)
            yield
        finally:
            for handle in handles:
                handle.remove()


def hook(path: str, module: nn.Module) -> list[RemovableHandle]:
    """Annotate what `module` does with its path, for as long as the handles are not removed."""
    entered: list[AbstractContextManager[None]] = []

    def before(*_: Any) -> None:
        entered.append(annotate({PATH: path}))
        entered[-1].__enter__()

    def after(*_: Any) -> None:
        if entered:
            entered.pop().__exit__(None, None, None)

    return [
        module.register_forward_pre_hook(before, prepend=True),
        module.register_forward_hook(after, always_call=True),
    ]


def traced(objective: Objective, leaves: Sequence[Any]) -> JointWithDescriptors:
    """The graph as torch has it."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with ExitStack() as stack:
        tensors = tuple(mode.from_tensor(leaf) for leaf in leaves if isinstance(leaf, torch.Tensor))
        joint = aot_export_joint_with_descriptors(stack, objective, tensors)
    # what is left of tracing has weak references to the weights, which torch will not convert (model.to(..)) then
    mode.fake_tensor_converter.meta_converter.describer.lookup_tensor.clear()
    return joint


def capture(model: nn.Module, loss_fn: Callable[..., Any], spec: TreeSpec, leaves: Sequence[Any]) -> Capture:
    """The joint graph of `loss_fn(model, *batch)`; `leaves` and `spec` are the batch taken apart.

    Neither the model nor the batch changes. Raises what torch raises where it cannot be traced.
    """
    call = Call(model, loss_fn, spec, leaves)
    objective = Objective(call)
    with ExitStack() as stack:
        for context in (quiet(), untouched(call), uncompiled(), annotated(model), eager_ops(), common_streams()):
            stack.enter_context(context)
        joint = traced(objective, leaves)
        drawn = call.drawn
        if left := call.left:
            put(call, left)
            if str(traced(objective, leaves).graph_module.graph) != str(joint.graph_module.graph):
                raise carried(left)
    layouts, graph = take_parts(joint), joint.graph_module
    values_of_copies(graph.graph)
    cast_once(graph.graph)
    graph.graph.set_codegen(CodeGen())
    graph.graph.eliminate_dead_code()
    parameters, buffers = objective.names
    return Capture(
        graph,
        dict(zip(map(plain, parameters), objective.parameters(), strict=True)),
        dict(zip(map(plain, buffers), objective.buffers(), strict=True)),
        layouts,
        drawn,
    )


def plain(name: str) -> str:
    """The model's own name for a weight of `Call`; those of a loss that is a module keep `loss_fn.` before theirs."""
    return name.removeprefix("model.")
