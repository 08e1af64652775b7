"""What one argument must be: a tensor of a dtype and sizes, a number, or the very value that export saw.

    error: argument 'attention_mask' has shape [3, 17], expected ['s72' = 3, 's53' = 16]
      's53' is the same size as in argument 'input_ids'

As in torch.export, a size symbol whose range starts at 2 may also be 0 or 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import torch
from torch.utils._pytree import TreeSpec

from ..dialects.diagnostics import UserError
from ..runtime.dtypes import describe, dtype_name


@dataclass(frozen=True)
class Symbol:
    """A size symbol: its range (`high` is None where there is no bound) and the argument that sets it."""

    name: str
    low: int
    high: int | None
    argument: str

    def holds(self, size: int) -> bool:
        """Is `size` in the range?"""
        return (size >= self.low or self.low <= 2) and (self.high is None or size <= self.high)

    def __str__(self) -> str:
        if self.low <= 2 and self.high is None:
            return f"'{self.name}'"
        return f"'{self.name}' in {0 if self.low <= 2 else self.low}..{'inf' if self.high is None else self.high}"


class Leaf(Protocol):
    """`take` appends to `flat` what the program gets for `value`, or raises UserError; `sizes` are symbols so far."""

    @property
    def name(self) -> str: ...

    def take(self, value: Any, sizes: dict[str, int], flat: list[object]) -> None: ...


@dataclass(frozen=True, slots=True)
class TensorLeaf:
    """A tensor; every axis has a fixed size, a symbol, or an expression in symbols."""

    name: str
    dtype: torch.dtype
    sizes: tuple[int | str, ...]
    fixed: tuple[tuple[int, int], ...]
    symbols: tuple[tuple[int, Symbol], ...]
    device: torch.device | None

    @classmethod
    def of(
        cls,
        name: str,
        dtype: torch.dtype,
        sizes: tuple[int | str, ...],
        symbols: Mapping[str, Symbol],
        device: torch.device | None,
    ) -> "TensorLeaf":
        """`sizes` as the type has them; symbols are those of `symbols`."""
        fixed = tuple((axis, size) for axis, size in enumerate(sizes) if isinstance(size, int))
        free = tuple((axis, symbols[s]) for axis, s in enumerate(sizes) if isinstance(s, str) and s in symbols)
        return cls(name, dtype, sizes, fixed, free, device)

    def take(self, value: Any, sizes: dict[str, int], flat: list[object]) -> None:
        if not isinstance(value, torch.Tensor) or value.dtype is not self.dtype:
            self.refuse(value, sizes)
        shape = value.shape
        if len(shape) != len(self.sizes) or (self.device is not None and value.device != self.device):
            self.refuse(value, sizes)
        for axis, size in self.fixed:
            if shape[axis] != size:
                self.refuse(value, sizes)
        for axis, symbol in self.symbols:
            size = shape[axis]
            if sizes.setdefault(symbol.name, size) != size or not symbol.holds(size):
                self.refuse(value, sizes)
        flat.append(value)

    def refuse(self, value: Any, sizes: Mapping[str, int]) -> NoReturn:
        """Raise the first of: no tensor, other dtype, other sizes, other device."""
        if not isinstance(value, torch.Tensor):
            expected = f"{dtype_name(self.dtype)} {self.expected((), {})}"
            raise UserError(f"argument '{self.name}' is {describe(value)}, expected {expected}")
        if value.dtype is not self.dtype:
            raise UserError(
                f"argument '{self.name}' has dtype {dtype_name(value.dtype)}, expected {dtype_name(self.dtype)}",
                hint=f"pass {self.name}.to({self.dtype}), or compile with an example of that dtype",
            )
        shape = list(value.shape)
        if len(shape) == len(self.sizes) and self.device is not None and value.device != self.device:
            raise UserError(
                f"argument '{self.name}' is on {value.device}, the program on {self.device}",
                hint=f"pass {self.name}.to('{self.device}'), or move the program: compiled.to('{value.device}')",
            )
        raise UserError(
            f"argument '{self.name}' has shape {shape}, expected {self.expected(shape, sizes)}",
            details=self.origins(shape, sizes),
            hint=self.how_to_vary(shape),
        )

    def expected(self, shape: Sequence[int], sizes: Mapping[str, int]) -> str:
        """The sizes in words: `['s72' = 3, 's53' in 4..inf, 16]`; 3 is what another axis has made of the symbol."""
        symbols = dict(self.symbols)

        def show(axis: int, size: int | str) -> str:
            if (symbol := symbols.get(axis)) is None:
                return str(size) if isinstance(size, int) else f"'{size}'"
            known = sizes.get(symbol.name)
            own = symbol.argument == self.name and list(shape[axis : axis + 1]) == [known]
            return str(symbol) if known is None or own or not symbol.holds(known) else f"'{symbol.name}' = {known}"

        return f"[{', '.join(show(axis, size) for axis, size in enumerate(self.sizes))}]"

    def origins(self, shape: list[int], sizes: Mapping[str, int]) -> list[str]:
        """Which other arguments set the symbols that do not fit."""
        if len(shape) != len(self.sizes):
            return []
        wrong = {s for axis, s in self.symbols if sizes.get(s.name, shape[axis]) != shape[axis]}
        return [
            f"'{s.name}' is the same size as in argument '{s.argument}'"
            for s in sorted(wrong, key=lambda s: s.name)
            if s.argument != self.name
        ]

    def how_to_vary(self, shape: list[int]) -> str:
        """A hint where sizes that the example fixed are not those of `shape`."""
        if len(shape) != len(self.sizes):
            return ""
        wrong = [axis for axis, size in self.fixed if shape[axis] != size]
        free = ", ".join(f"{axis}: torch.export.Dim.DYNAMIC" for axis in wrong)
        argument = self.name.partition(".")[0]
        return f"compile with dynamic_shapes={{'{argument}': {{{free}}}, ..}} to let it vary" if wrong else ""


@dataclass(frozen=True, slots=True)
class ContiguousLeaf:
    """A tensor that was contiguous in the example, and is read by strides, or `written`.

    What lies otherwise is copied; where it would be written, nobody can tell `x.contiguous().add_(1)`, which leaves
    it as it was, from `x.add_(1)`, since both left the same program: it is refused.
    """

    leaf: TensorLeaf
    written: bool

    @property
    def name(self) -> str:
        return self.leaf.name

    def take(self, value: Any, sizes: dict[str, int], flat: list[object]) -> None:
        self.leaf.take(value, sizes, flat)
        if value.is_contiguous():
            return
        if self.written:
            raise UserError(
                f"argument '{self.name}' is written in place, and is not contiguous as it was in the example",
                details=[f"its strides are {list(value.stride())}"],
                hint=f"pass {self.name}.contiguous(), or compile with an example that lies in memory as this one does",
            )
        flat[-1] = value.contiguous()


@dataclass(frozen=True, slots=True)
class NumberLeaf:
    """An integer that stands for a size symbol."""

    name: str
    symbol: Symbol | None

    def take(self, value: Any, sizes: dict[str, int], flat: list[object]) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise UserError(f"argument '{self.name}' is {describe(value)}, expected an integer")
        if self.symbol is not None:
            known = sizes.setdefault(self.symbol.name, value)
            if known != value or not self.symbol.holds(value):
                expected = str(self.symbol) if known == value else f"'{self.symbol.name}' = {known}"
                raise UserError(f"argument '{self.name}' is {value}, expected {expected}")
        flat.append(value)


@dataclass(frozen=True, slots=True)
class FixedLeaf:
    """A value that export saw and built into the program: nothing else will do."""

    name: str
    value: object

    def take(self, value: Any, sizes: dict[str, int], flat: list[object]) -> None:
        if not same(value, self.value):
            raise built_in(self.name, describe(value), describe(self.value))


@dataclass(frozen=True, slots=True)
class OpaqueLeaf:
    """Neither tensor nor number. `text` is what it was in the example, where export built it into the program."""

    name: str
    text: str = ""

    def take(self, value: Any, sizes: dict[str, int], flat: list[object]) -> None:
        if self.text and repr(value) != self.text:
            raise built_in(self.name, repr(value), self.text)
        flat.append(value)


@dataclass(frozen=True, slots=True)
class Nest:
    """An argument that holds others: a list, dict, dataclass."""

    name: str
    spec: TreeSpec
    leaves: tuple[Leaf, ...]

    def take(self, value: Any, sizes: dict[str, int], flat: list[object]) -> None:
        try:
            values = self.spec.flatten_up_to(value)
        except ValueError as error:
            raise UserError(f"argument '{self.name}' is nested otherwise than in the example: {error}") from None
        for leaf, item in zip(self.leaves, values, strict=True):
            leaf.take(item, sizes, flat)


def built_in(name: str, given: str, expected: str) -> UserError:
    """What to say of another value than the one that export built into the program."""
    return UserError(
        f"argument '{name}' is {given}, expected {expected}",
        details=["the program is made for that value"],
        hint=f"compile with an example in which '{name}' is what you pass here",
    )


def same(value: object, expected: object) -> bool:
    """Equal and of one type; NaN is NaN, and -0.0 is not 0.0."""
    if type(value) is not type(expected):
        return False
    return repr(value) == repr(expected) if isinstance(value, float | complex) else value == expected
