"""Linear maps of projections: what a spike of the source brings to the target.

| op           | reads as                                                                            |
|--------------|-------------------------------------------------------------------------------------|
| `snn.dense`  | y = W x, W [out, in] of the flattened source                                        |
| `snn.sparse` | y = W x, W^T as CSR: synapses of source i are those from offsets[i] to offsets[i+1] |
| `snn.conv`   | convolution, W [channels out, channels in / groups, *kernel]: one kernel, shared    |
| `snn.pool`   | sum or average over windows                                                         |
| `snn.scale`  | y = s x, one s for each element, or for each channel                                |
| `snn.bias`   | y = x + b, in every step, whether anything fired or not                             |
| `snn.reshape`| the same elements in another shape                                                  |
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import auto
from math import prod

from xdsl.dialects.builtin import I64, IntegerAttr, ModuleOp, SymbolRefAttr, TensorType, i64
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Data, Operation, SpacedOpaqueSyntaxAttribute
from xdsl.irdl import IRDLOperation, ParsePropInAttrDict, irdl_attr_definition, irdl_op_definition, prop_def
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import SymbolTable
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from .aten import WeightOp

Shape = tuple[int, ...]


@irdl_attr_definition
class ShapeAttr(Data[Shape]):
    """Sizes, or one number for each axis: `<8, 16, 16>`."""

    name = "snn.shape"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Shape:
        return tuple(parser.parse_comma_separated_list(parser.Delimiter.ANGLE, parser.parse_integer))

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string(f"<{', '.join(map(str, self.data))}>")


def op_weight(op: "MapOp") -> str:
    """The name of a map's weight."""
    return op.properties["weight"].root_reference.data  # pyright: ignore[reportAttributeAccessIssue]


def symbol_of(op: Operation, name: SymbolRefAttr) -> Operation | None:
    """What a symbol of the module around `op` names."""
    module: Operation | None = op
    while module is not None and not isinstance(module, ModuleOp):
        module = module.parent_op()
    return SymbolTable.lookup_symbol(module, name) if module else None


class MapOp(IRDLOperation, ABC):
    """A linear map, or the sum with a constant: from a shape to a shape."""

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """The shape of what comes out for what goes in. Raises VerifyException where it cannot go in."""

    def weight_shape(self, weight: SymbolRefAttr) -> Shape:
        """The shape of a weight of the module. Raises VerifyException where it is not declared."""
        declared = symbol_of(self, weight)
        if not isinstance(declared, WeightOp) or not isinstance(declared.type, TensorType):
            raise VerifyException(f"no weight {weight} is declared")
        return tuple(declared.type.get_shape())

    def expect(self, shape: Shape, wanted: Shape) -> None:
        """Raise VerifyException where what goes in has another number of elements."""
        if prod(shape) != prod(wanted):
            raise VerifyException(f"{self.name} takes {list(wanted)}, it is given {list(shape)}")


@irdl_op_definition
class DenseOp(MapOp):
    """y = W x, W [out, in]."""

    name = "snn.dense"
    weight = prop_def(SymbolRefAttr)
    assembly_format = "$weight attr-dict"

    def __init__(self, weight: str):
        super().__init__(properties={"weight": SymbolRefAttr(weight)})

    def output_shape(self, shape: Shape) -> Shape:
        out, into = self.weight_shape(self.weight)
        self.expect(shape, (into,))
        return (out,)


@irdl_op_definition
class SparseOp(MapOp):
    """y = W x; `offsets` int64 [in + 1], `targets` int32 and `weight` [synapses]: by source, targets ascending."""

    name = "snn.sparse"
    offsets = prop_def(SymbolRefAttr)
    targets = prop_def(SymbolRefAttr)
    weight = prop_def(SymbolRefAttr)
    size = prop_def(IntegerAttr[I64])
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$weight `at` $offsets `,` $targets `of` $size attr-dict"

    def __init__(self, weight: str, offsets: str, targets: str, size: int):
        names = {"weight": SymbolRefAttr(weight), "offsets": SymbolRefAttr(offsets), "targets": SymbolRefAttr(targets)}
        super().__init__(properties={**names, "size": IntegerAttr(size, i64)})

    def output_shape(self, shape: Shape) -> Shape:
        self.expect(shape, (self.weight_shape(self.offsets)[0] - 1,))
        if self.weight_shape(self.targets) != self.weight_shape(self.weight):
            raise VerifyException("each synapse has a target and a weight")
        return (self.size.value.data,)


@irdl_op_definition
class ConvOp(MapOp):
    """Cross-correlation as torch's: [channels, *space] -> [channels, *space], in one or two dimensions."""

    name = "snn.conv"
    weight = prop_def(SymbolRefAttr)
    stride = prop_def(ShapeAttr)
    padding = prop_def(ShapeAttr)
    dilation = prop_def(ShapeAttr)
    groups = prop_def(IntegerAttr[I64])
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$weight `stride` $stride `padding` $padding `dilation` $dilation `groups` $groups attr-dict"

    def __init__(
        self, weight: str, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int = 1
    ):
        super().__init__(
            properties={
                "weight": SymbolRefAttr(weight),
                "stride": ShapeAttr(tuple(stride)),
                "padding": ShapeAttr(tuple(padding)),
                "dilation": ShapeAttr(tuple(dilation)),
                "groups": IntegerAttr(groups, i64),
            }
        )

    def output_shape(self, shape: Shape) -> Shape:
        out, into, *kernel = self.weight_shape(self.weight)
        if len(shape) != len(kernel) + 1 or shape[0] != into * self.groups.value.data:
            wanted = [into * self.groups.value.data, *("?" for _ in kernel)]
            raise VerifyException(f"snn.conv takes {wanted}, it is given {list(shape)}")
        steps = zip(kernel, self.stride.data, self.padding.data, self.dilation.data, strict=True)
        return (out, *(windows(n, *step) for n, step in zip(shape[1:], steps, strict=True)))


def windows(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """How many windows an axis has. Raises VerifyException where it has none."""
    if min(kernel, stride, dilation) < 1 or padding < 0:
        raise VerifyException(
            f"kernel {kernel}, stride {stride}, dilation {dilation} are 1 or more, padding {padding} 0"
        )
    count = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if count < 1:
        raise VerifyException(f"a window of {dilation * (kernel - 1) + 1} does not fit in {size} + 2 * {padding}")
    return count


class Pooling(StrEnum):
    SUM = auto()
    AVERAGE = auto()


@irdl_attr_definition
class PoolingAttr(EnumAttribute[Pooling], SpacedOpaqueSyntaxAttribute):
    name = "snn.pooling"


@irdl_op_definition
class PoolOp(MapOp):
    """Sum or average over windows of the last axes; windows include their padding, which is 0."""

    name = "snn.pool"
    kind = prop_def(PoolingAttr)
    kernel = prop_def(ShapeAttr)
    stride = prop_def(ShapeAttr)
    padding = prop_def(ShapeAttr)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$kind $kernel `stride` $stride `padding` $padding attr-dict"

    def __init__(self, kind: Pooling, kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int]):
        sizes = {"kernel": kernel, "stride": stride, "padding": padding}
        super().__init__(
            properties={"kind": PoolingAttr(kind), **{name: ShapeAttr(tuple(size)) for name, size in sizes.items()}}
        )

    def output_shape(self, shape: Shape) -> Shape:
        steps = list(zip(self.kernel.data, self.stride.data, self.padding.data, strict=True))
        if len(shape) != len(steps) + 1:
            raise VerifyException(f"snn.pool over {len(steps)} axes takes channels besides, it is given {list(shape)}")
        return (shape[0], *(windows(n, *step) for n, step in zip(shape[1:], steps, strict=True)))


class SpreadOp(MapOp, ABC):
    """A map with a weight for each element, or one for each channel, or one."""

    weight = prop_def(SymbolRefAttr)
    assembly_format = "$weight attr-dict"

    def __init__(self, weight: str):
        super().__init__(properties={"weight": SymbolRefAttr(weight)})

    def output_shape(self, shape: Shape) -> Shape:
        given = self.weight_shape(self.weight)
        if prod(given) in (1, prod(shape)) or tuple(size for size in given if size != 1) == shape[:1]:
            return shape
        wanted = "expected one for each element or channel"
        raise VerifyException(f"{self.name} has {list(given)} for {list(shape)}: {wanted}")


@irdl_op_definition
class ScaleOp(SpreadOp):
    """y = s x."""

    name = "snn.scale"


@irdl_op_definition
class BiasOp(SpreadOp):
    """y = x + b."""

    name = "snn.bias"


@irdl_op_definition
class ReshapeOp(MapOp):
    """The same elements, in row-major order, in another shape."""

    name = "snn.reshape"
    shape = prop_def(ShapeAttr)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$shape attr-dict"

    def __init__(self, shape: Sequence[int]):
        super().__init__(properties={"shape": ShapeAttr(tuple(shape))})

    def output_shape(self, shape: Shape) -> Shape:
        self.expect(shape, self.shape.data)
        return self.shape.data


MAPS = [DenseOp, SparseOp, ConvOp, PoolOp, ScaleOp, BiasOp, ReshapeOp]
DELAYED = (DenseOp, SparseOp, ConvOp)
"""Maps whose synapses may each have a delay."""
