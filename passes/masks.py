"""Predicates back into code: a mask over a domain's index space, and the domain of it.

nz(attention_mask[i, j]) or (j == 0)     ->   %n = aten.ne(%attention_mask, 0)
                                              %j = aten.arange(%s1) ; aten.eq(%j, 0)
                                              %m = aten.logical_or(%n, %e)
                                              %d = sparse.domain %m
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from xdsl.dialects.builtin import IntegerType, i64
from xdsl.dialects.func import FuncOp
from xdsl.ir import Operation, SSAValue

from ..dialects.aten import ScalarType, StringAttr, dims, tensor_of, tensor_type
from ..dialects.aten import TensorType as Tensor
from .analysis.calls import shape
from .analysis.index_view import Source
from .packing import call
from .solvers.index_expr import Apply, Axis, Constant, Element, Expr
from .solvers.sizes import Size

BOOL = IntegerType(1)
LOGIC = {"and": "aten.logical_and.default", "or": "aten.logical_or.default", "not": "aten.logical_not.default"}
COMPARE = {"lt": "aten.lt", "le": "aten.le", "eq": "aten.eq", "ne": "aten.ne"}
MIRRORED = {"lt": "aten.gt", "le": "aten.ge", "eq": "aten.eq", "ne": "aten.ne"}


class CannotWriteError(Exception):
    """The predicate uses something that has no code; `str` says what."""


@dataclass
class MaskWriter:
    """Writes predicates over the index space `space` as calls; new ops gather in `ops`, in order."""

    function: FuncOp
    space: tuple[Size, ...]
    ops: list[Operation] = field(default_factory=list)

    def emit(self, target: str, args: Sequence, type: Tensor) -> SSAValue:
        """One call; its result."""
        op = call(target, args, type)
        self.ops.append(op)
        return op.results[0]

    def write(self, e: Expr) -> SSAValue:
        """A mask of the index space's shape, or one that broadcasts to it. Raises CannotWriteError."""
        match e:
            case Apply("nz", (Element(),)) | Element(boolean=True):
                element = e.operands[0] if isinstance(e, Apply) else e
                assert isinstance(element, Element)
                return self.element(element)
            case Apply(name, operands) if name in LOGIC:
                first, *others = map(self.write, operands)
                if name == "not":
                    return self.emit(LOGIC[name], [first], self.boolean(first))
                for other in others:
                    first = self.emit(LOGIC[name], [first, other], self.boolean(first, other))
                return first
            case Apply(name, (a, Constant(value))) if name in COMPARE:
                index = self.index(a)
                return self.emit(f"{COMPARE[name]}.Scalar", [index, value], self.boolean(index))
            case Apply(name, (Constant(value), b)) if name in COMPARE:
                index = self.index(b)
                return self.emit(f"{MIRRORED[name]}.Scalar", [index, value], self.boolean(index))
            case Apply(name, (a, b)) if name in COMPARE:
                left, right = self.index(a), self.index(b)
                return self.emit(f"{COMPARE[name]}.Tensor", [left, right], self.boolean(left, right))
            case _:
                raise CannotWriteError(f"no code for {e}")

    def boolean(self, *values: SSAValue) -> Tensor:
        """The type of a truth value over the broadcast of `values`."""
        pairs = zip(*(shape(v) for v in values), strict=True)
        return tensor_type(BOOL, [next((s for s in sizes if s != 1), 1) for sizes in pairs])

    def index(self, e: Expr) -> SSAValue:
        """The index along an axis, shaped to broadcast over the index space."""
        if not isinstance(e, Axis):
            raise CannotWriteError(f"no code for the index {e}")
        size = self.space[e.number]
        along = self.emit("aten.arange.default", [self.size(size)], tensor_type(i64, [size]))
        to = [size if k == e.number else 1 for k in range(len(self.space))]
        view = tuple(-1 if k == e.number else 1 for k in range(len(self.space)))
        return self.emit("aten.view.default", [along, view], tensor_type(i64, to))

    def size(self, size: Size) -> SSAValue | int:
        """A size as a literal, or read off an argument that has it."""
        if isinstance(size, int):
            return size
        for argument in self.function.args:
            if isinstance(argument.type, Tensor) and size in dims(argument.type):
                axis = dims(argument.type).index(size)
                op = call("aten.sym_size.int", (argument, axis), ScalarType(StringAttr("int"), StringAttr(size)))
                self.ops.append(op)
                return op.results[0]
        raise CannotWriteError(f"no argument has the size {size}")

    def element(self, e: Element) -> SSAValue:
        """The tensor itself, its axes put where the index space has them."""
        assert isinstance(e.source, Source)
        value = e.source.value
        for axis in reversed(range(len(e.indices))):
            if isinstance(index := e.indices[axis], Constant):
                sizes = [s for k, s in enumerate(shape(value)) if k != axis]
                type = tensor_type(tensor_of(value).element_type, sizes)
                value = self.emit("aten.select.int", [value, axis, int(index.value)], type)
        left = [i.number for i in e.indices if isinstance(i, Axis)]
        if len(left) + sum(isinstance(i, Constant) for i in e.indices) != len(e.indices) or left != sorted(set(left)):
            raise CannotWriteError(f"no code for reading %{value.name_hint} at {e.indices}")
        value = self.cut(value, left)
        for axis in range(len(self.space)):
            if axis not in left:
                sizes = [*shape(value)[:axis], 1, *shape(value)[axis:]]
                type = tensor_type(tensor_of(value).element_type, sizes)
                value = self.emit("aten.unsqueeze.default", [value, axis], type)
        return value

    def cut(self, value: SSAValue, axes: list[int]) -> SSAValue:
        """`value` no longer than the index space where export did not tie the two sizes."""
        for axis, domain_axis in enumerate(axes):
            size, wanted = shape(value)[axis], self.space[domain_axis]
            if isinstance(size, int) and isinstance(wanted, int) and size not in (1, wanted):
                raise CannotWriteError(f"%{value.name_hint} has {size} positions where there are {wanted}")
            if size != wanted and size != 1:
                sizes = [*shape(value)[:axis], wanted, *shape(value)[axis + 1 :]]
                type = tensor_type(tensor_of(value).element_type, sizes)
                value = self.emit("aten.slice.Tensor", [value, axis, 0, self.size(wanted)], type)
        return value

    def any_of_sequence(self, value: SSAValue) -> SSAValue:
        """Where any position along the last axis holds, over the whole index space."""
        sizes = shape(value)
        type = tensor_type(BOOL, [*sizes[:-1], 1])
        return self.whole(self.emit("aten.any.dim", [value, len(sizes) - 1, True], type))

    def whole(self, value: SSAValue) -> SSAValue:
        """`value` expanded to the whole index space."""
        if shape(value) == self.space:
            return value
        type = tensor_type(tensor_of(value).element_type, self.space)
        return self.emit("aten.expand.default", [value, tuple(self.size(s) for s in self.space)], type)
