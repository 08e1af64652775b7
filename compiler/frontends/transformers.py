"""What models of the `transformers` library need. Used only where the user has imported that library."""

import sys

import torch

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
