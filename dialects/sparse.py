"""`sparse`: domains, and the moves between a full tensor and its active part.

| op                   | reads as                                                                        |
|----------------------|---------------------------------------------------------------------------------|
| `sparse.domain`      | the positions where a mask is not zero                                          |
| `sparse.everywhere`  | every position of the same index space: the dense form of a packed region       |
| `sparse.size`        | number of active positions                                                      |
| `sparse.density`     | active positions / all positions                                                |
| `sparse.covers`      | is a mask non-zero at every position of a domain?                               |
| `sparse.fits`        | is a domain's index space the leading shape of a tensor?                        |
| `sparse.gather`      | compact = full[domain, ..]                                                      |
| `sparse.scatter`     | full[domain, ..] = compact; elsewhere `fill`, or anything where rows are `dead` |
| `sparse.attention`   | softmax(q k^T + mask) v inside each sequence, over active positions only        |
| `sparse.support`     | the positions of the last axis where any row is not zero                        |
| `sparse.tile`        | rows in tiles, each with its own such positions (see `tiles.py`)                |
| `sparse.listed`      | the positions that integers name                                                |
| `sparse.matmul`      | x w^T + bias, summed over (k), or computed at (n), active positions only        |

A gather and a scatter name the layout of the full tensor in einops letters (see `layout.py`): `"i a j b"` has the
domain's axes i, j at 0 and 2. The compact form has the active positions first, then the other axes in order.
"""

from collections.abc import Sequence
from enum import auto
from typing import ClassVar

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    ArrayAttr,
    FloatAttr,
    IntAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    TensorType,
    f32,
    i1,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import (
    Attribute,
    Data,
    Dialect,
    ParametrizedAttribute,
    SpacedOpaqueSyntaxAttribute,
    SSAValue,
    TypeAttribute,
)
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    VarConstraint,
    base,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from .aten import ScalarType, dims, parse_sizes, print_sizes, size_list, tensor_of, tensor_type
from .layout import DOMAIN_AXES, Layout
from .tiles import TileOp, TilesType


@irdl_attr_definition
class DomainType(ParametrizedAttribute, TypeAttribute):
    """Distinct positions of an index space, found when the program runs; ascending. `!sparse.domain<"s0", 128>`."""

    name = "sparse.domain"
    space: ArrayAttr[IntAttr | StringAttr]

    @classmethod
    def of(cls, sizes: Sequence[int | str]) -> "DomainType":
        """The domain type over an index space with these sizes."""
        return cls(size_list(sizes))

    @property
    def sizes(self) -> tuple[int | str, ...]:
        """Sizes of the index space."""
        return tuple(s.data for s in self.space)

    def verify(self) -> None:
        if not 1 <= len(self.space) <= len(DOMAIN_AXES):
            raise VerifyException(f"a domain selects over 1 to {len(DOMAIN_AXES)} axes, got {len(self.space)}")

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        return [parse_sizes(parser)]

    def print_parameters(self, printer: Printer) -> None:
        print_sizes(printer, self.space)


@irdl_attr_definition
class LayoutAttr(Data[Layout], SpacedOpaqueSyntaxAttribute):
    """A layout in einops letters: `#sparse<layout "i a j b">`."""

    name = "sparse.layout"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Layout:
        text = parser.parse_str_literal()
        try:
            return Layout.parse(text)
        except ValueError as error:
            parser.raise_error(str(error))

    def print_parameter(self, printer: Printer) -> None:
        printer.print_string_literal(str(self.data))


def domain_of(value: SSAValue) -> DomainType:
    """The domain type of `value`."""
    assert isinstance(value.type, DomainType)
    return value.type


def compact_type(full: Attribute, layout: Layout) -> TensorType:
    """The type of the compact form of a tensor of type `full`: its first size is known only at run time.

    A factor that shares its axis with the domain has a size only when the program runs, too.
    """
    assert isinstance(full, TensorType)
    kept = [
        size if layout.is_untouched(axis) else "?"
        for axis, size in enumerate(dims(full))
        if layout.kept[axis] is not None
    ]
    return tensor_type(full.element_type, ["?", *kept])


def verify_move(full: SSAValue, compact: SSAValue, domain: SSAValue, layout: Layout) -> None:
    """The laws that a gather and a scatter share."""
    space, rank = domain_of(domain).sizes, len(tensor_of(full).get_shape())
    if len(layout.axes) != rank:
        raise VerifyException(f'layout "{layout}" has {len(layout.axes)} axes, {full.type} has {rank}')
    if foreign := set(layout.domain_axes) - set(DOMAIN_AXES[: len(space)]):
        raise VerifyException(f'layout "{layout}" uses {min(foreign)}, the domain has {len(space)} axes only')
    expected, found = compact_type(full.type, layout).get_shape(), tensor_of(compact).get_shape()
    agree = (DYNAMIC_INDEX in pair or pair[0] == pair[1] for pair in zip(expected, found, strict=False))
    if len(expected) != len(found) or not all(agree):
        expected_type = compact_type(full.type, layout)
        raise VerifyException(f'layout "{layout}" makes {full.type} and {expected_type}, not {compact.type}')


@irdl_op_definition
class DomainOp(IRDLOperation):
    """The positions where `mask` is not zero (NaN counts as active), ascending.

    With `multiple` their number is a multiple of it, the last one repeated; everywhere when that would be all: a
    product over so many rows was found to give the bits of the product over all rows.
    """

    name = "sparse.domain"
    mask = operand_def(TensorType)
    multiple = opt_prop_def(IntegerAttr)
    domain = result_def(DomainType)
    traits = traits_def(Pure())
    assembly_format = "$mask (`multiple` $multiple^)? attr-dict `:` type($mask) `->` type($domain)"

    def __init__(self, mask: SSAValue, space: Sequence[int | str] | None = None, multiple: int = 0):
        super().__init__(
            operands=[mask],
            properties={"multiple": IntegerAttr(multiple, 64) if multiple else None},
            result_types=[DomainType.of(space or dims(mask.type))],
        )

    def verify_(self) -> None:
        if len(tensor_of(self.mask).get_shape()) != len(domain_of(self.domain).space):
            raise VerifyException(f"a domain has the axes of its mask: {self.mask.type} -> {self.domain.type}")


@irdl_op_definition
class EverywhereOp(IRDLOperation):
    """Every position of the index space of `like`, for every tile. Gathers and scatters over it are views."""

    name = "sparse.everywhere"
    D: ClassVar = VarConstraint("D", base(DomainType) | base(TilesType))
    like = operand_def(D)
    domain = result_def(D)
    traits = traits_def(Pure())
    assembly_format = "$like attr-dict `:` type($domain)"

    def __init__(self, like: SSAValue):
        super().__init__(operands=[like], result_types=[like.type])


@irdl_op_definition
class SizeOp(IRDLOperation):
    """The number of active positions."""

    name = "sparse.size"
    domain = operand_def(DomainType)
    size = result_def(ScalarType)
    traits = traits_def(Pure())
    assembly_format = "$domain attr-dict `:` type($domain) `->` type($size)"

    def __init__(self, domain: SSAValue):
        active = ScalarType(StringAttr("int"), StringAttr("active"))
        super().__init__(operands=[domain], result_types=[active])


@irdl_op_definition
class DensityOp(IRDLOperation):
    """Active positions / all positions; 1 for an empty index space. Of tiles, the share of products that they make."""

    name = "sparse.density"
    domain = operand_def(base(DomainType) | base(TilesType))
    density = result_def(f32)
    traits = traits_def(Pure())
    assembly_format = "$domain attr-dict `:` type($domain)"

    def __init__(self, domain: SSAValue):
        super().__init__(operands=[domain], result_types=[f32])


@irdl_op_definition
class CoversOp(IRDLOperation):
    """Is `mask` (over the domain's index space) non-zero at every active position?"""

    name = "sparse.covers"
    mask = operand_def(TensorType)
    domain = operand_def(DomainType)
    result = result_def(i1)
    traits = traits_def(Pure())
    assembly_format = "$mask `,` $domain attr-dict `:` type($mask) `,` type($domain)"

    def __init__(self, mask: SSAValue, domain: SSAValue):
        super().__init__(operands=[mask, domain], result_types=[i1])


@irdl_op_definition
class FitsOp(IRDLOperation):
    """Do the axes of `full` that `layout` gives to the domain have its sizes? (Export may not have tied them.)"""

    name = "sparse.fits"
    full = operand_def(TensorType)
    domain = operand_def(DomainType)
    layout = prop_def(LayoutAttr)
    result = result_def(i1)
    traits = traits_def(Pure())
    assembly_format = "$full `,` $domain $layout attr-dict `:` type($full) `,` type($domain)"

    def __init__(self, full: SSAValue, domain: SSAValue, layout: Layout):
        super().__init__(operands=[full, domain], properties={"layout": LayoutAttr(layout)}, result_types=[i1])


@irdl_op_definition
class GatherOp(IRDLOperation):
    """The active part of `full`, in the domain's order. An axis that is 1 in the layout is shared by all positions."""

    name = "sparse.gather"
    full = operand_def(TensorType)
    domain = operand_def(DomainType)
    layout = prop_def(LayoutAttr)
    compact = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = "$full `[` $domain `]` $layout attr-dict `:` type($full) `,` type($domain) `->` type($compact)"

    def __init__(self, full: SSAValue, domain: SSAValue, layout: Layout, compact: TensorType | None = None):
        result = compact or compact_type(full.type, layout)
        super().__init__(operands=[full, domain], properties={"layout": LayoutAttr(layout)}, result_types=[result])

    def verify_(self) -> None:
        verify_move(self.full, self.compact, self.domain, self.layout.data)
        if not self.layout.data.domain_axes:
            raise VerifyException(f'layout "{self.layout.data}" has no axis of the domain: nothing to select')


@irdl_op_definition
class ScatterOp(IRDLOperation):
    """`compact` put back on a full tensor. Elsewhere stands `fill`, the compact form of one inactive position
    (first size 1); without `fill` those rows are dead: nobody reads them with effect, and they are zero."""

    name = "sparse.scatter"
    compact = operand_def(TensorType)
    domain = operand_def(DomainType)
    fill = opt_operand_def(TensorType)
    layout = prop_def(LayoutAttr)
    full = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = (
        "$compact `[` $domain `]` $layout (`fill` $fill^ `:` type($fill))? attr-dict "
        "`:` type($compact) `,` type($domain) `->` type($full)"
    )

    def __init__(
        self, compact: SSAValue, domain: SSAValue, layout: Layout, full: TensorType, fill: SSAValue | None = None
    ):
        super().__init__(
            operands=[compact, domain, fill], properties={"layout": LayoutAttr(layout)}, result_types=[full]
        )

    def verify_(self) -> None:
        layout = self.layout.data
        verify_move(self.full, self.compact, self.domain, layout)
        if len(layout.domain_axes) != len(domain_of(self.domain).space):
            raise VerifyException(f'a scatter places every axis of the domain, "{layout}" lacks one')
        if self.fill is not None and tensor_of(self.fill).get_shape()[1:] != tensor_of(self.compact).get_shape()[1:]:
            raise VerifyException(f"a fill is one row of the compact form {self.compact.type}, got {self.fill.type}")


class Mask(StrEnum):
    """Which keys a query sees, beyond being active and in the same sequence."""

    NONE = auto()
    CAUSAL = auto()
    EXPLICIT = auto()


@irdl_attr_definition
class MaskAttr(EnumAttribute[Mask], SpacedOpaqueSyntaxAttribute):
    """The kind of mask left once inactive keys are gone."""

    name = "sparse.mask"


@irdl_op_definition
class AttentionOp(IRDLOperation):
    """Scaled dot-product attention among the active positions of each sequence.

    `query`, `key`, `value` are compact, [active, heads, width]; the domain's last axis runs along a sequence, its
    others name the sequence. `kind` is the mask left among active keys: none, causal (key position <= query
    position), or explicit: rows and columns of `bias` (or of `mask`) at the active positions of each sequence.
    `mask` is the model's own mask, [.., heads or 1, queries, keys]; over a domain that is everywhere the op is torch's.

    Legal where every inactive key has probability exactly 0 for every active query. REASSOC: sums run over fewer keys.
    """

    name = "sparse.attention"
    query = operand_def(TensorType)
    key = operand_def(TensorType)
    value = operand_def(TensorType)
    domain = operand_def(DomainType)
    mask = opt_operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    kind = prop_def(MaskAttr)
    scale = opt_prop_def(FloatAttr)
    output = result_def(TensorType)
    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())
    assembly_format = (
        "$query `,` $key `,` $value `[` $domain `]` $kind (`mask` $mask^ `:` type($mask))? "
        "(`bias` $bias^ `:` type($bias))? (`scale` $scale^)? attr-dict "
        "`:` type($query) `,` type($key) `,` type($value) `,` type($domain) `->` type($output)"
    )

    def __init__(
        self,
        query: SSAValue,
        key: SSAValue,
        value: SSAValue,
        domain: SSAValue,
        kind: Mask,
        *,
        mask: SSAValue | None = None,
        bias: SSAValue | None = None,
        scale: float | None = None,
    ):
        width = tensor_of(value).get_shape()[-1]
        head = tensor_of(query).get_shape()[:-1]
        super().__init__(
            operands=[query, key, value, domain, mask, bias],
            properties={"kind": MaskAttr(kind), "scale": None if scale is None else FloatAttr(scale, 64)},
            result_types=[TensorType(tensor_of(query).element_type, (*head, width))],
        )

    def verify_(self) -> None:
        if self.kind.data is Mask.EXPLICIT and self.mask is None and self.bias is None:
            raise VerifyException("an explicit mask needs `mask` or `bias`")


@irdl_op_definition
class SupportOp(IRDLOperation):
    """The positions along the last axis of `x` at which any row is not zero (NaN counts as active), ascending.

    With `rows` it is everywhere when `x` has more of them: it is not worth looking then. Everywhere, too, while
    gradients of `x` are taken: what is zero may have one.
    """

    name = "sparse.support"
    x = operand_def(TensorType)
    rows = opt_prop_def(IntegerAttr)
    domain = result_def(DomainType)
    traits = traits_def(Pure())
    assembly_format = "$x (`rows` $rows^)? attr-dict `:` type($x) `->` type($domain)"

    def __init__(self, x: SSAValue, rows: int = 0):
        super().__init__(
            operands=[x],
            properties={"rows": IntegerAttr(rows, 64) if rows else None},
            result_types=[DomainType.of(dims(x.type)[-1:])],
        )

    def verify_(self) -> None:
        if not dims(self.x.type) or domain_of(self.domain).sizes != dims(self.x.type)[-1:]:
            raise VerifyException(f"a support selects from the last axis: {self.x.type} -> {self.domain.type}")


@irdl_op_definition
class ListedOp(IRDLOperation):
    """The positions of one axis that the entries of `lists` and `positions` name, each once, ascending.

    Entries count modulo the axis: below 0 from the end. Who reads with one that is outside of it fails by itself.
    """

    name = "sparse.listed"
    lists = var_operand_def(TensorType)
    positions = opt_prop_def(ArrayAttr[IntegerAttr])
    domain = result_def(DomainType)
    traits = traits_def(Pure())
    assembly_format = "$lists (`and` $positions^)? attr-dict `:` type($lists) `->` type($domain)"

    def __init__(self, lists: Sequence[SSAValue], positions: Sequence[int], size: int):
        super().__init__(
            operands=[lists],
            properties={"positions": ArrayAttr(IntegerAttr(p, 64) for p in positions) if positions else None},
            result_types=[DomainType.of([size])],
        )

    @property
    def single(self) -> tuple[int, ...]:
        """The single positions."""
        return tuple(position.value.data for position in self.positions or ())

    @property
    def size(self) -> int:
        """Positions of the axis."""
        (size,) = domain_of(self.domain).sizes
        assert isinstance(size, int)
        return size

    def verify_(self) -> None:
        space = domain_of(self.domain).sizes
        if len(space) != 1 or not isinstance(space[0], int):
            raise VerifyException(f"a list names positions of one axis of a known size, got {self.domain.type}")
        if other := next((v for v in self.lists if not isinstance(tensor_of(v).element_type, IntegerType)), None):
            raise VerifyException(f"positions are integers, got {other.type}")
        if outside := [position for position in self.single if not 0 <= position < space[0]]:
            raise VerifyException(f"position {outside[0]} is outside of an axis of {space[0]}")


class Skip(StrEnum):
    """The axis of x [.., k] w^T [k, n] along which a product skips."""

    K = auto()
    N = auto()


@irdl_attr_definition
class SkipAttr(EnumAttribute[Skip], SpacedOpaqueSyntaxAttribute):
    """The axis along which a product skips."""

    name = "sparse.skip"


@irdl_op_definition
class MatmulOp(IRDLOperation):
    """x w^T + bias with x [.., k], weight [n, k], bias [n], as `aten.linear`, where the domain is active.

    `k`: the sum runs over active positions of k alone. Legal where the inactive ones contribute exactly 0: x is zero
    there and the weight finite, or the other way round. REASSOC: fewer terms are summed, in another order.
    `n`: only active outputs are computed, the others are 0. Legal where nobody reads those with effect. REASSOC: a
    library may sum a product of fewer outputs in another order.
    Over a domain that is everywhere this is `aten.linear`. Along k it may be tiles of the rows of x instead: each row
    is summed over the positions of its tile.
    """

    name = "sparse.matmul"
    x = operand_def(TensorType)
    weight = operand_def(TensorType)
    domain = operand_def(base(DomainType) | base(TilesType))
    bias = opt_operand_def(TensorType)
    axis = prop_def(SkipAttr)
    output = result_def(TensorType)
    traits = traits_def(Pure())
    assembly_format = (
        "$x `,` $weight `[` $domain `]` $axis (`bias` $bias^ `:` type($bias))? attr-dict "
        "`:` type($x) `,` type($weight) `,` type($domain) `->` type($output)"
    )

    def __init__(self, x: SSAValue, weight: SSAValue, domain: SSAValue, axis: Skip, bias: SSAValue | None = None):
        sizes = (*dims(x.type)[:-1], dims(weight.type)[0])
        super().__init__(
            operands=[x, weight, domain, bias],
            properties={"axis": SkipAttr(axis)},
            result_types=[tensor_type(tensor_of(x).element_type, sizes)],
        )

    def verify_(self) -> None:
        x, weight, output = (dims(value.type) for value in (self.x, self.weight, self.output))
        if not x or len(weight) != 2 or x[-1] != weight[1] or output != (*x[:-1], weight[0]):
            raise VerifyException(
                f"a product is [.., k] by [n, k] -> [.., n]: {self.x.type} by {self.weight.type} -> {self.output.type}"
            )
        skipped = weight[1 if self.axis.data is Skip.K else 0]
        if isinstance(self.domain.type, TilesType):
            if self.axis.data is not Skip.K or self.domain.type.sizes != x:
                raise VerifyException(f"tiles are of the rows of x, along k: {self.domain.type} for {self.x.type}")
        elif domain_of(self.domain).sizes != (skipped,):
            raise VerifyException(f"along {self.axis.data} the domain selects from {skipped}, got {self.domain.type}")
        if self.bias is not None and dims(self.bias.type) != weight[:1]:
            raise VerifyException(f"a bias has one number for each output: [{weight[0]}], got {self.bias.type}")


Sparse = Dialect(
    "sparse",
    [
        DomainOp,
        EverywhereOp,
        SizeOp,
        DensityOp,
        CoversOp,
        FitsOp,
        GatherOp,
        ScatterOp,
        AttentionOp,
        SupportOp,
        TileOp,
        ListedOp,
        MatmulOp,
    ],
    [DomainType, TilesType, LayoutAttr, MaskAttr, SkipAttr],
)
