"""Gossamer: a compiler for models whose work is known only when they run.

import gossamer
fast = gossamer.compile(model, (ids, mask), dont_care={"last_hidden_state": "attention_mask"})
fast(ids, mask)          # as the model, and faster where rows are dead
print(fast.explain())    # why
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .compiler import snn
    from .compiler.api import CompiledModel, compile, load
    from .compiler.frontends import adapters
    from .compiler.networks import simulate
    from .compiler.training import compile_training

__all__ = ["CompiledModel", "adapters", "compile", "compile_training", "load", "simulate", "snn"]

PLACES = {"compile_training": ".compiler.training", "simulate": ".compiler.networks"}
MODULES = {"adapters": ".compiler.frontends.adapters", "snn": ".compiler.snn"}


def __getattr__(name: str) -> object:
    """Public names are imported when first asked for: `import gossamer` costs nothing."""
    if name not in __all__:
        raise AttributeError(f"module 'gossamer' has no attribute '{name}'; known: {', '.join(__all__)}")
    if name in MODULES:
        return import_module(MODULES[name], __name__)
    return getattr(import_module(PLACES.get(name, ".compiler.api"), __name__), name)
