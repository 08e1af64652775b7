"""`sparse.tile`: rows in tiles, each of which is active at positions of its own.

    %t = sparse.tile %h clustered : tensor<128x3072xf32> -> !sparse.tiles<8 : 128, 3072>

Rows that are active at the same positions become neighbours (`clustered`), or stay where they are; each 8 of them are a
tile. Where the union over all rows is nearly everything, that over the rows of a tile may be little.
"""

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    FloatAttr,
    IntAttr,
    IntegerAttr,
    StringAttr,
    TensorType,
    UnitAttr,
    f64,
)
from xdsl.ir import Attribute, ParametrizedAttribute, SSAValue, TypeAttribute
from xdsl.irdl import (
    IRDLOperation,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from .aten import dims, parse_size, show_sizes, size_list

HEIGHTS = (1, 2, 4, 8, 16)
"""The numbers of rows that a tile may have."""
SAMPLES, RUN = 512, 16
"""By how many positions rows are compared, and how many neighbours of those are taken together."""


STEPS = (1, 7, 31, 97, 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521)
PROBES = 4096
"""A share of a tensor is estimated from so many of its numbers at most, each so many after the last."""


def probe_step(size: int) -> int:
    """How many of `size` numbers lie between two that are looked at: a prime, so that no column is looked at alone."""
    return next((step for step in STEPS if size <= step * PROBES), STEPS[-1])


def sampled(width: int) -> list[tuple[int, int]]:
    """The positions by which rows are compared, as (first, length): runs of neighbours, at equal steps."""
    if width <= SAMPLES:
        return [(0, width)]
    runs = SAMPLES // RUN
    return [(width // runs * run, RUN) for run in range(runs)]


@irdl_attr_definition
class TilesType(ParametrizedAttribute, TypeAttribute):
    """The rows of a tensor of these sizes, in tiles of `height`: `!sparse.tiles<8 : "s0", 3072>`."""

    name = "sparse.tiles"
    height: IntAttr
    space: ArrayAttr[IntAttr | StringAttr]

    @classmethod
    def of(cls, height: int, sizes: Sequence[int | str]) -> "TilesType":
        """Tiles of the rows of a tensor with these sizes."""
        return cls(IntAttr(height), size_list(sizes))

    @property
    def sizes(self) -> tuple[int | str, ...]:
        """Sizes of the tensor."""
        return tuple(s.data for s in self.space)

    def verify(self) -> None:
        if self.height.data not in HEIGHTS:
            raise VerifyException(f"a tile has {', '.join(map(str, HEIGHTS))} rows, got {self.height.data}")
        if not self.space.data:
            raise VerifyException("tiles are of rows: a tensor without axes has none")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            height = IntAttr(parser.parse_integer())
            parser.parse_punctuation(":")
            sizes = parser.parse_comma_separated_list(parser.Delimiter.NONE, lambda: parse_size(parser))
            return [height, ArrayAttr(sizes)]

    def print_parameters(self, printer: Printer) -> None:
        printer.print_string(f"<{self.height.data} : {show_sizes(self.space)}>")


@irdl_op_definition
class TileOp(IRDLOperation):
    """The rows of `x` in tiles, and for each the positions where any of its rows is not zero (NaN counts as active).

    The last tile has fewer rows where they do not divide by the height; all have, where there are fewer rows than
    that. Clustered, the first row that is left leads a tile, and those join it that are active most alike, by a
    sample of their positions (`sampled`). With `rows` everything is active when `x` has more of them: it is not worth
    looking then; with `upto` when more than that share of a sample of `x` (`probe_step`) is active, since no tile is
    sparser than its rows. So it is while gradients of `x` are taken: what is zero may have one.
    """

    name = "sparse.tile"
    x = operand_def(TensorType)
    clustered = opt_prop_def(UnitAttr)
    rows = opt_prop_def(IntegerAttr)
    upto = opt_prop_def(FloatAttr)
    tiles = result_def(TilesType)
    traits = traits_def(Pure())
    assembly_format = (
        "$x (`clustered` $clustered^)? (`rows` $rows^)? (`upto` $upto^)? attr-dict `:` type($x) `->` type($tiles)"
    )

    def __init__(self, x: SSAValue, height: int, *, clustered: bool = False, rows: int = 0, upto: float = 1.0):
        super().__init__(
            operands=[x],
            properties={
                "clustered": UnitAttr() if clustered else None,
                "rows": IntegerAttr(rows, 64) if rows else None,
                "upto": FloatAttr(upto, f64) if upto < 1.0 else None,
            },
            result_types=[TilesType.of(height, dims(x.type))],
        )

    def verify_(self) -> None:
        assert isinstance(self.tiles.type, TilesType)
        if self.tiles.type.sizes != dims(self.x.type):
            raise VerifyException(f"tiles are of all rows: {self.x.type} -> {self.tiles.type}")
