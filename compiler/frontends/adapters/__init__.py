"""Modules that do not export, read as an equal form that does.

gossamer.adapters.register(MyRouter)(adapt)     teach it one more class
gossamer.adapters.adapted(model)                a context in which the model runs in that form, for `torch.compile`
"""

from .registry import ADAPTERS, adapted, register

__all__ = ["ADAPTERS", "adapted", "register"]
