"""The threads that torch computes with, for generated code.

    run_team(function, call, threads)       each thread of the team calls function(call)

They are those of the OpenMP runtime that torch itself was linked to, found through torch's own library: one pool of
threads serves both, and no core has two. Where it is not found, kernels run in the calling thread.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

NAMES = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")
"""The functions of the runtime that are used; the runtimes of GCC, LLVM and Intel all have them."""


@cache
def openmp() -> dict[str, Any] | None:
    """The functions of torch's OpenMP runtime by name; None where it is not found."""
    if "OpenMP" not in torch.__config__.parallel_info():
        return None
    for library in torch_libraries():
        if all(hasattr(library, name) for name in NAMES):
            return {name: getattr(library, name) for name in NAMES}
    return None


@cache
def torch_libraries() -> list[ctypes.CDLL]:
    """Torch's own library for the CPU, where it can be opened."""
    found = list[ctypes.CDLL]()
    for file in sorted((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*")):
        try:
            found.append(ctypes.CDLL(str(file)))
        except OSError:
            continue
    return found


@cache
def team_runner() -> Callable[[int, Any, int, int], None] | None:
    """`GOMP_parallel(function, call, threads, flags)`; None where there are no threads to be had."""
    functions = openmp()
    if functions is None:
        return None
    run = functions["GOMP_parallel"]
    run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    run.restype = None
    return run


def address(function: Any) -> int:
    """Where a function of a library lies."""
    found = ctypes.cast(function, ctypes.c_void_p).value
    assert found is not None
    return found
