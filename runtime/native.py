"""LLVM's text becomes code of this process.

    code = load(text)               compiled, or taken from the cache
    code["serial_rows_1"]           the address of a function

Compiled for this very processor at -O3, once for each text, processor and version of LLVM: the object is kept under the
user's cache folder (`kernels/`). Needs llvmlite, which is optional: `available()` says whether it is there.
"""

import hashlib
import os
from functools import cache
from importlib.util import find_spec
from typing import Any, ClassVar

import torch

from .cache import keep, kept
from .openmp import NAMES, address, openmp
from .vector_math import vector_math

FORMAT = 1
WIDE = "-prefer-256-bit"
"""Loops have vectors as wide as there are: LLVM's half ones for Intel are 10 % slower in maps, beside products of wide
ones (Intel Xeon, 2026-11)."""


@cache
def available() -> bool:
    """Can text be compiled here?"""
    return find_spec("llvmlite") is not None


@cache
def features() -> str:
    """What LLVM may use of this processor."""
    import llvmlite.binding as llvm

    return f"{llvm.get_host_cpu_features().flatten()},{WIDE}"


@cache
def target() -> Any:
    """LLVM's machine for this processor."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features(), opt=3, jit=True
    )


@cache
def wide() -> bool:
    """Has this processor 32 registers of 512 bits?"""
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get("avx512f"))


def vectors() -> tuple[int, int]:
    """Numbers of f32 in a vector register, and how many registers there are."""
    return (16, 32) if wide() else (8, 16)


@cache
def identity() -> str:
    """The processor and the version of LLVM that an object is good for."""
    import llvmlite
    import llvmlite.binding as llvm

    version = ".".join(map(str, llvm.llvm_version_info))
    return f"{FORMAT} {llvmlite.__version__} {version} {target().triple} {llvm.get_host_cpu_name()} {features()}"


@cache
def libraries() -> str:
    """The build of torch, and what its libraries choose their code by."""
    chosen = (f"{name}={value}" for name, value in sorted(os.environ.items()) if "MKL" in name or "OMP" in name)
    return " ".join((torch.__config__.show(), torch.backends.cpu.get_cpu_capability(), *chosen))


def optimised(text: str) -> Any:
    """The module of `text` after LLVM's passes."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text)
    module.verify()
    builder = llvm.create_pass_builder(target(), llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    return module


def assembly(text: str) -> str:
    """This processor's assembly for `text`."""
    return target().emit_assembly(optimised(text))


def object_code(text: str) -> bytes:
    """The object of `text`, from the cache where it is there."""
    key = hashlib.sha256(f"{identity()}\n{text}".encode()).hexdigest()
    name = f"kernels/{key}.o"
    if (known := kept(name)) is not None:
        return known
    made = target().emit_object(optimised(text))
    keep(name, made)
    return made


class Code:
    """Functions in memory, by name. They stay there as long as the process lives. `digest` is their text's."""

    engines: ClassVar[list[Any]] = []

    def __init__(self, content: bytes, digest: str):
        import llvmlite.binding as llvm

        declare_functions()
        self.digest = digest
        self.engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target())
        self.engine.add_object_file(llvm.ObjectFileRef.from_data(content))
        self.engine.finalize_object()
        self.engines.append(self.engine)

    def __getitem__(self, name: str) -> int:
        return self.engine.get_function_address(name)


@cache
def declare_functions() -> None:
    """Let code find the functions it calls. (Where OpenMP is not there nothing calls it: any address will do.)"""
    import llvmlite.binding as llvm

    for name, function in {**dict.fromkeys(NAMES), **(openmp() or {}), **vector_math()}.items():
        llvm.add_symbol(name, 1 if function is None else address(function))


def callable_names() -> frozenset[str]:
    """The functions that code can call."""
    return frozenset((*NAMES, *vector_math()))


@cache
def load(text: str) -> Code:
    """The code of `text`."""
    return Code(object_code(text), hashlib.sha256(text.encode()).hexdigest())
