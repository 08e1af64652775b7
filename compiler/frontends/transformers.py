"""What models of the `transformers` library need. Used only where the user has imported that library."""

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.utils import _pytree as pytree

LIBRARY = "transformers"


def prepare(model: torch.nn.Module) -> None:
    """Let export see through the caches that a model takes and returns: register them as pytrees."""
    if LIBRARY not in sys.modules:
        return
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        return
    from transformers.exporters.exporter_dynamo import register_cache_pytrees_for_model
    from transformers.integrations.executorch import register_dynamic_cache_export_support

    register_dynamic_cache_export_support()
    register_cache_pytrees_for_model(model)


def unflatten(kind: type) -> Callable[[list[Any], Any], Any]:
    """How pytrees put a container of type `kind` together; a cache takes the tensors that it is given as they are.

    The library's own way appends them to an empty cache, which copies the whole cache at every step of decoding.
    """
    own = pytree.SUPPORTED_NODES[kind].unflatten_fn
    is_cache = kind.__name__ == "DynamicCache" and kind.__module__.partition(".")[0] == LIBRARY
    return (lambda values, context: cache_of(own, values, context)) if is_cache else own


def cache_of(own: Callable[[list[Any], Any], Any], values: list[Any], context: Any) -> Any:
    """A cache that holds `values`: keys and values of each layer. One with a window, or gaps, is made by `own`."""
    names, layout = context
    if names != ["key_cache", "value_cache"] or any(layout) or any(len(tensors) != len(layout) for tensors in values):
        return own(values, context)
    keys, states = values
    cache = own([[tensor[..., :0, :] for tensor in tensors] for tensors in (keys, states)], context)
    for layer, own_keys, own_states in zip(cache.layers, keys, states, strict=True):
        layer.keys, layer.values = own_keys, own_states
    return cache
