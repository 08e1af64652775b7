"""Torch's table of composite ops that decompositions keep whole, made once: it holds 700 ops, and takes 0.2 s.

    with kept_whole():
        program.run_decompositions({})      the first time torch fills in 700 ops; later what it filled in is put back

Ops that were registered or changed since are found, and the table is made anew. Where torch has no such table any more
nothing is done.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch._export import utils
from torch._ops import OpOverload
from torch._subclasses import fake_impls
from torch.export import exported_program

Kernels = dict[Any, Any]
Override = Callable[[Mapping[OpOverload, Any]], AbstractContextManager[None]]


@dataclass
class Table:
    """What each op had, and has while decompositions run; `fake` is what it does there on tensors without numbers."""

    kept: dict[OpOverload, Any] = field(default_factory=dict)
    before: dict[OpOverload, Kernels] = field(default_factory=dict)
    during: dict[OpOverload, Kernels] = field(default_factory=dict)
    fake: dict[OpOverload, Any] = field(default_factory=dict)

    def fits(self, kept: Mapping[OpOverload, Any]) -> bool:
        """Would torch make the same table again?"""
        return self.kept == kept and all(op.py_kernels == self.before[op] for op in kept)

    def whole(self, override: Override, kept: Mapping[OpOverload, Any]) -> AbstractContextManager[None]:
        """The table in place: what was noted, or, where it does not fit, as torch makes it."""
        return self.again() if self.fits(kept) else self.made(kept, override)

    @contextmanager
    def made(self, kept: Mapping[OpOverload, Any], override: Override) -> Iterator[None]:
        """The table as torch makes it, noted."""
        self.kept, self.before = dict(kept), {op: dict(op.py_kernels) for op in kept}
        with override(kept):
            self.during = {op: dict(op.py_kernels) for op in kept}
            found = fake_impls.op_implementations_dict
            self.fake = {op: found[op] for op in kept if op in found}
            yield

    @contextmanager
    def again(self) -> Iterator[None]:
        """What was noted, in place."""
        self.put(self.during)
        fake_impls.op_implementations_dict.update(self.fake)
        try:
            yield
        finally:
            self.put(self.before)
            for op in self.kept:
                fake_impls.op_implementations_dict.pop(op, None)

    def put(self, kernels: Mapping[OpOverload, Kernels]) -> None:
        for op, those in kernels.items():
            op.py_kernels.clear()
            op.py_kernels.update(those)
            op._dispatch_cache.clear()


TABLE = Table()
REGISTERED: list[str] = []
"""The composite ops that torch knew when it last looked them all up by name."""


@contextmanager
def kept_whole() -> Iterator[None]:
    """Let decompositions make torch's table once."""
    with ExitStack() as stack:
        if override := getattr(exported_program, "_override_composite_implicit_decomp", None):
            known = partial(TABLE.whole, override)
            stack.enter_context(patch.object(exported_program, "_override_composite_implicit_decomp", known))
        if look_up := getattr(utils, "_materialize_cpp_cia_ops", None):
            stack.enter_context(patch.object(utils, "_materialize_cpp_cia_ops", lambda: looked_up(look_up)))
        yield


def looked_up(look_up: Callable[[], None]) -> None:
    """Look up all composite ops by name, where there are others than the last time."""
    found = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")
    if found != REGISTERED:
        look_up()
        REGISTERED[:] = found
