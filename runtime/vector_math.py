"""Functions of the vector library that torch computes with, for generated code.

They are looked up in torch's own library, whose results kernels are to have. Not every build has one.
"""

from functools import cache
from typing import Any

from .openmp import torch_libraries

NAMES = ("vmsTanh",)
"""MKL's; see `passes/kernels/tanh.py`."""


@cache
def vector_math() -> dict[str, Any]:
    """Those that are there, by name."""
    return {name: getattr(library, name) for library in torch_libraries() for name in NAMES if hasattr(library, name)}
