"""What models of the `transformers` library need. Used only where the user has imported that library."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.utils import _pytree as pytree

from ...dialects.diagnostics import UserError

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


@contextmanager
def values_unseen(inputs: Sequence[torch.Tensor]) -> Iterator[None]:
    """Let masks of attention be made without a look at values, as under torch.export: none is left out for being all
    ones, and positions that the model numbers itself are those of one sequence a row.
    """
    masking = sys.modules.get(f"{LIBRARY}.masking_utils")
    if masking is None:
        yield
        return

    def packed(position_ids: torch.Tensor) -> None:
        if any(position_ids is given for given in inputs):
            raise UserError(
                "the batch has position_ids, whose values decide what the model computes",
                hint="pass an attention_mask instead, and let the model number the positions",
            )

    with patch.object(masking, "find_packed_sequence_indices", packed), patch.object(masking, "is_tracing", traced):
        yield


def traced(_: object = None) -> bool:
    """What `is_tracing` says while a step is captured."""
    return True
