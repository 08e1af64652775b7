"""A traced step in terms of what one rank holds.

    p0._local_tensor, p0.device_mesh    the two inputs that a DTensor is          ->    p0
    grad(p0)._local_tensor, ..          the two outputs that its gradient is      ->    grad(p0)

The graph itself holds local ops and collectives only: DTensor decided on them while it was traced.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from torch import Tensor, nn
from torch._functorch._aot_autograd.descriptors import (
    AOTInput,
    AOTOutput,
    GradAOTOutput,
    PlainAOTOutput,
    SubclassGetAttrAOTInput,
    SubclassGetAttrAOTOutput,
)
from torch._functorch._aot_autograd.schemas import JointWithDescriptors, SubclassCreationMeta
from torch._library.fake_class_registry import maybe_unwrap_fake_script_object
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
from torch.distributed.tensor import _random
from torch.distributed.tensor._random import OffsetBasedRNGTracker
from torch.fx import Graph
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from ...dialects.diagnostics import UserError
from ...runtime.shards import Layout, Layouts, part_of

PART = "_local_tensor"
"""The tensor among what a DTensor is made of."""

OFFSETS = ("_distribute_region", "_compute_rng_offsets")
"""How DTensor comes by the numbers that it draws on a GPU: as it runs, and as it is traced."""

HOOKED = (FSDPModule, FullyShardedDataParallel, DistributedDataParallel)
"""Modules that communicate in hooks, of autograd's too, which a captured step has not."""


def check_model(model: nn.Module) -> None:
    """Raise UserError for a model that communicates by hooks, or holds tensors of a kind that has no parts."""
    for name, module in model.named_modules():
        if kind := next((kind for kind in HOOKED if isinstance(module, kind)), None):
            what = f"module '{name}'" if name else "the model"
            raise UserError(
                f"{what} is a {kind.__name__}: its hooks, which communicate, would not run in a compiled step",
                hint="leave it out, and let parameters be DTensors that forward gathers: "
                "p.redistribute(placements=[Replicate()]).to_local(grad_placements=[Partial('avg')])",
            )
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_traceable_wrapper_subclass(part_of(tensor)):
            what = type(part_of(tensor).data).__name__
            what = what if part_of(tensor) is tensor else f"DTensor of {what}s"
            raise UserError(f"'{name}' is a {what}, a step takes plain tensors and DTensors of them")


@contextmanager
def common_streams() -> Iterator[None]:
    """Refuse what a DTensor draws at offsets of its own, as it does on a GPU: a step knows torch's streams."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise UserError(
            "a DTensor draws random numbers at an offset of its own into the stream of its device",
            hint="draw on this rank's part: to_local(), dropout, DTensor.from_local(..)",
        )

    tracker, methods = _random._rng_tracker, {name: getattr(OffsetBasedRNGTracker, name) for name in OFFSETS}
    try:
        for name in OFFSETS:
            setattr(OffsetBasedRNGTracker, name, refuse)
        yield
    finally:
        for name, method in methods.items():
            setattr(OffsetBasedRNGTracker, name, method)
        _random._rng_tracker = tracker


def whole(descriptor: Any) -> Any:
    """What a descriptor's tensor is a part of: itself, where it is no part of a DTensor."""
    is_part = isinstance(descriptor, SubclassGetAttrAOTInput | SubclassGetAttrAOTOutput)
    return descriptor.base if is_part else descriptor


def is_mesh(descriptor: Any) -> bool:
    """Does a descriptor stand for what a DTensor is made of beside its part?"""
    return isinstance(descriptor, SubclassGetAttrAOTInput | SubclassGetAttrAOTOutput) and descriptor.attr != PART


def take_parts(joint: JointWithDescriptors) -> dict[AOTOutput, Layout]:
    """Let the inputs and outputs of a graph be the parts of DTensors, under the descriptors of the whole; the layouts
    of those that are given out."""
    graph = joint.graph_module.graph
    output = graph.output_node()
    found = dict(layouts(joint, output.meta["desc"]))
    both = zip(output.args[0], output.meta["desc"], strict=True)  # pyright: ignore
    kept = [(value, whole(descriptor)) for value, descriptor in both if not is_mesh(descriptor)]
    output.args = ([value for value, _ in kept],)
    output.meta["desc"] = [descriptor for _, descriptor in kept]
    take_inputs(graph)
    return found


def take_inputs(graph: Graph) -> None:
    """Let placeholders be parts, and remove those that are meshes."""
    for node in graph.find_nodes(op="placeholder"):
        if is_mesh(node.meta["desc"]) and not node.users:
            graph.erase_node(node)
        else:
            node.meta["desc"] = whole(node.meta["desc"])


def layouts(joint: JointWithDescriptors, descriptors: list[Any]) -> Iterator[tuple[AOTOutput, Layout]]:
    """What is given out as a DTensor, and how it is laid out."""
    subclasses = joint._aot_graph_capture.maybe_subclass_meta
    results = joint._aot_state.fw_metadata.subclass_fw_graph_out_meta
    gradients = (subclasses.grad_input_metas or []) if subclasses else []
    first = len(descriptors) - sum(getattr(meta, "arg_count", 1) for meta in gradients)
    for start, metas in ((0, results), (first, gradients)):
        for meta in metas:
            if isinstance(meta, SubclassCreationMeta):
                yield whole(descriptors[start + meta.flat_tensor_start_idx]), layout(meta)


def layout(meta: SubclassCreationMeta) -> Layout:
    """The layout of a DTensor that was traced."""
    traced: Any = meta.original_subclass
    mesh = maybe_unwrap_fake_script_object(traced.device_mesh)
    return Layout(mesh, (*meta.meta[:-1], False), traced.shape, traced.stride())


def told(
    layouts: Mapping[AOTOutput, Layout], name_of: Callable[[AOTInput], str], batch: Iterable[tuple[str, Tensor]]
) -> Layouts:
    """What is a DTensor outside, by name: of what is given out, and of a batch."""
    of = {descriptor.grad_of: layout for descriptor, layout in layouts.items() if isinstance(descriptor, GradAOTOutput)}
    losses = (layout for descriptor, layout in layouts.items() if isinstance(descriptor, PlainAOTOutput))
    placed = ((name, Layout.of(tensor)) for name, tensor in batch)
    return Layouts(
        {name_of(source): layout for source, layout in of.items()},
        {name: layout for name, layout in placed if layout},
        next(losses, None),
    )
