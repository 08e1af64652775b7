"""What `compile` and `opt` show of a run: options, and the IR before and after passes.

// -----// IR dump after simplify //----- //
builtin.module { ..
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from .context import print_module
from .pipeline import Stage


@dataclass(frozen=True)
class PrintIR:
    """Writes the IR around passes; an empty name stands for every pass."""

    before_passes: Sequence[str]
    after_passes: Sequence[str]
    changed_only: bool
    locations: bool

    @classmethod
    def asked_for(cls, arguments: argparse.Namespace) -> list[Self]:
        """What the command line asks to print: one watcher, or none."""
        everything = arguments.print_ir_after_all or arguments.print_ir_after_change
        after = [*(arguments.print_ir_after or ()), *([""] if everything else [])]
        if not after and not arguments.print_ir_before:
            return []
        locations = not getattr(arguments, "no_locations", False)
        return [cls(arguments.print_ir_before or (), after, arguments.print_ir_after_change, locations)]

    def before(self, step: ModulePass, module: ModuleOp, /) -> None:
        if {"", step.name} & {*self.before_passes}:
            self.show(f"before {step.name}", module)

    def after(self, stage: Stage, /) -> None:
        if not stage.spec or not {"", stage.name} & {*self.after_passes}:
            return
        if stage.changed or not self.changed_only:
            self.show(f"after {stage.name}", stage.module)

    def show(self, when: str, module: ModuleOp) -> None:
        """Write one module under its heading."""
        text = print_module(module, locations=self.locations)
        sys.stderr.write(f"// -----// IR dump {when} //----- //\n{text}")


class Announcer:
    """Tells `show` which pass is running."""

    def __init__(self, show: Callable[[str], None]):
        self.show = show

    def before(self, step: ModulePass, module: ModuleOp, /) -> None:
        self.show(f"running {step.name}")

    def after(self, stage: Stage, /) -> None:
        """The next pass is announced when it starts."""
