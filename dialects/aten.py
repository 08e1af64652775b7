"""`aten`: every exported torch op, none refused.

| op                  | reads as                                                                       |
|---------------------|--------------------------------------------------------------------------------|
| `aten.weight`       | declares a tensor of the model: its name, type, kind and digest; no bytes       |
| `aten.parameter`    | that tensor as a value                                                         |
| `aten.call`         | one torch call with its argument template: `aten.call "aten.add.Tensor"(%a, 2)`; |
|                     | cond, while_loop, scan and map take functions: isolated regions                |
| `aten.yield`        | what such a function gives back                                                |
| `aten.update`       | writes a buffer of the model                                                    |
| `aten.assign`       | writes an argument of the function                                              |

Tensors are builtin `tensor<..>`; sizes known only at run time are `?` and carry their symbols in the encoding:
`tensor<?x?x768xf32, #aten.dims<"s72", "s53", 768>>`. A symbolic number is `!aten.scalar<int, "4*s72">`; what is
neither (None, a sparse tensor, a script object) is `!aten.object<"NoneType">`.

Effects come from the op's schema at import, so passes need no torch: `pure` is the default, `random` reads and
moves a random stream, `mutates` writes one of its operands.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from enum import auto

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    ArrayAttr,
    IntAttr,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    TensorType,
    UnitAttr,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import (
    Attribute,
    Data,
    Dialect,
    Operation,
    ParametrizedAttribute,
    Region,
    SpacedOpaqueSyntaxAttribute,
    SSAValue,
    TypeAttribute,
)
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
    var_region_def,
    var_result_def,
)
from xdsl.parser import AttrParser, Parser, UnresolvedOperand
from xdsl.printer import Printer
from xdsl.traits import (
    EffectInstance,
    IsolatedFromAbove,
    IsTerminator,
    MemoryEffect,
    MemoryEffectKind,
    Pure,
    SymbolOpInterface,
    SymbolTable,
    SymbolUserOpInterface,
)
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.str_enum import StrEnum

from .template import Template, parse_template


def size_list(sizes: Sequence[int | str]) -> ArrayAttr[IntAttr | StringAttr]:
    """Sizes as an attribute: integers, and symbols by name."""
    return ArrayAttr(IntAttr(s) if isinstance(s, int) else StringAttr(s) for s in sizes)


def parse_sizes(parser: AttrParser) -> ArrayAttr[IntAttr | StringAttr]:
    """Read `<"s0", 768>`."""
    return ArrayAttr(parser.parse_comma_separated_list(parser.Delimiter.ANGLE, lambda: parse_size(parser)))


def parse_size(parser: AttrParser) -> IntAttr | StringAttr:
    """Read `"s0"` or `768`."""
    text = parser.parse_optional_str_literal()
    return IntAttr(parser.parse_integer()) if text is None else StringAttr(text)


def print_sizes(printer: Printer, sizes: ArrayAttr[IntAttr | StringAttr]) -> None:
    """Write `<"s0", 768>`."""
    printer.print_string(f"<{show_sizes(sizes)}>")


def show_sizes(sizes: ArrayAttr[IntAttr | StringAttr]) -> str:
    """`"s0", 768`"""
    return ", ".join(f'"{s.data}"' if isinstance(s, StringAttr) else str(s.data) for s in sizes)


@irdl_attr_definition
class DimsAttr(ParametrizedAttribute):
    """Sizes of a tensor's axes: an integer, or an expression in the model's size symbols."""

    name = "aten.dims"
    sizes: ArrayAttr[IntAttr | StringAttr]

    @classmethod
    def of(cls, sizes: Sequence[int | str]) -> "DimsAttr":
        """From plain Python: `DimsAttr.of(["s0", 768])`."""
        return cls(size_list(sizes))

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        return [parse_sizes(parser)]

    def print_parameters(self, printer: Printer) -> None:
        print_sizes(printer, self.sizes)


@irdl_attr_definition
class ScalarType(ParametrizedAttribute, TypeAttribute):
    """A Python number that is computed from sizes or from data: `int`, `float` or `bool`, with its expression."""

    name = "aten.scalar"
    kind: StringAttr
    expression: StringAttr

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            kind = parser.parse_identifier()
            parser.parse_punctuation(",")
            return [StringAttr(kind), StringAttr(parser.parse_str_literal())]

    def print_parameters(self, printer: Printer) -> None:
        printer.print_string(f'<{self.kind.data}, "{self.expression.data}">')


@irdl_attr_definition
class ObjectType(ParametrizedAttribute, TypeAttribute):
    """A value that is no dense tensor and no number, described in words."""

    name = "aten.object"
    description: StringAttr


@irdl_attr_definition
class TemplateAttr(Data[Template]):
    """The argument template of a call (see `template.py`)."""

    name = "aten.template"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> Template:
        with parser.in_angle_brackets():
            return parse_template(parser)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(self.data.text)


class Effects(StrEnum):
    RANDOM = auto()
    MUTATES = auto()


@irdl_attr_definition
class EffectsAttr(EnumAttribute[Effects], SpacedOpaqueSyntaxAttribute):
    """Why a call may not be removed, merged or moved."""

    name = "aten.effects"


class SchemaEffects(MemoryEffect):
    """Effects as the op's schema told them at import; a call that takes functions has theirs too."""

    @classmethod
    def get_effects(cls, op: Operation) -> AbstractSet[EffectInstance]:
        inner = (call for region in op.regions for call in region.walk() if isinstance(call, CallOp))
        if op.properties.get("effects") is not None or any(map(cls.get_effects, inner)):
            return {EffectInstance(MemoryEffectKind.WRITE)}
        return set()


def print_call(printer: Printer, template: Template, operands: Sequence[SSAValue]) -> None:
    """The template, its operands by name."""
    for position, piece in enumerate(template.show(lambda index: f"\0{index}\0").split("\0")):
        if position % 2:
            printer.print_ssa_value(operands[int(piece)])
        else:
            printer.print_string(piece)


def types_once(operands: Sequence[SSAValue]) -> list[Attribute]:
    """Types of different operands: one that a pass has put in two places is one operand when it is read."""
    return [operand.type for operand in dict.fromkeys(operands)]


def parse_call(parser: Parser) -> tuple[Template, list[UnresolvedOperand]]:
    """The template and its operands; each operand is listed once however often it is written."""
    operands: list[UnresolvedOperand] = []
    known: dict[tuple[str, int], int] = {}

    def operand() -> int | None:
        read = parser.parse_optional_unresolved_operand()
        if read is None:
            return None
        key = (read.operand_name, read.index)
        if key not in known:
            known[key] = len(operands)
            operands.append(read)
        return known[key]

    return parse_template(parser, operand), operands


def verify_template(template: Template, operands: int, regions: int = 0) -> None:
    """Operands are numbered 0, 1, .. in the order they are first written."""
    order = list(dict.fromkeys(template.refs()))
    if order != list(range(operands)):
        raise VerifyException(f"a template writes its operands in order: {operands} given, written {order}")


@irdl_op_definition
class CallOp(IRDLOperation):
    """One torch call. `target` is an overload (`aten.add.Tensor`), a function on sizes (`operator.mul`), or a
    higher-order op (`cond`) whose functions are its regions.

    `unpack` says that the call returns a sequence, one result each; without it there is one result, or none.
    """

    name = "aten.call"
    target = prop_def(StringAttr)
    template = prop_def(TemplateAttr)
    effects = opt_prop_def(EffectsAttr)
    unpack = opt_prop_def(UnitAttr)
    arguments = var_operand_def()
    outputs = var_result_def()
    functions = var_region_def("single_block")
    traits = traits_def(SchemaEffects(), IsolatedFromAbove())

    def __init__(
        self,
        target: str,
        template: Template,
        operands: Sequence[SSAValue],
        result_types: Sequence[Attribute],
        *,
        regions: Sequence[Region] = (),
        effects: Effects | None = None,
        unpack: bool = False,
    ):
        super().__init__(
            operands=[operands],
            result_types=[result_types],
            regions=[regions],
            properties={
                "target": StringAttr(target),
                "template": TemplateAttr(template),
                "effects": EffectsAttr(effects) if effects else None,
                "unpack": UnitAttr() if unpack else None,
            },
        )

    def verify_(self) -> None:
        verify_template(self.template.data, len(self.operands))
        if self.unpack is None and len(self.results) > 1:
            raise VerifyException(f"{self.target.data} has {len(self.results)} results: without `unpack` it has one")
        if any(not isinstance(region.block.last_op, YieldOp) for region in self.regions):
            raise VerifyException(f"every function given to {self.target.data} ends in aten.yield")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        if self.effects is not None:
            printer.print_string(f"{self.effects.data.value} ")
        printer.print_string_literal(self.target.data)
        print_call(printer, self.template.data, self.operands)
        if self.unpack is not None:
            printer.print_string(" unpack")
        for region in self.regions:
            printer.print_string(" ")
            printer.print_region(region)
        if self.attributes:
            printer.print_string(" attributes")
            printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_function_type(types_once(self.operands), self.result_types)

    @classmethod
    def parse(cls, parser: Parser) -> "CallOp":
        effects = parser.parse_optional_keyword_in([str(effect) for effect in Effects])
        target = parser.parse_str_literal()
        position = parser.pos
        template, operands = parse_call(parser)
        unpack = parser.parse_optional_keyword("unpack") is not None
        regions: list[Region] = []
        while (region := parser.parse_optional_region()) is not None:
            regions.append(region)
        attributes = parser.parse_optional_attr_dict() if parser.parse_optional_keyword("attributes") else {}
        parser.parse_punctuation(":")
        signature = parser.parse_function_type()
        op = cls(
            target,
            template,
            parser.resolve_operands(operands, signature.inputs.data, position),
            signature.outputs.data,
            regions=regions,
            effects=Effects(effects) if effects else None,
            unpack=unpack,
        )
        op.attributes |= attributes
        return op


@irdl_op_definition
class YieldOp(IRDLOperation):
    """Ends a function given to a higher-order op; literals may stand among what it gives back."""

    name = "aten.yield"
    template = prop_def(TemplateAttr)
    arguments = var_operand_def()
    traits = traits_def(IsTerminator(), Pure())

    def __init__(self, template: Template, operands: Sequence[SSAValue]):
        super().__init__(operands=[operands], properties={"template": TemplateAttr(template)})

    def verify_(self) -> None:
        verify_template(self.template.data, len(self.operands))

    def print(self, printer: Printer) -> None:
        print_call(printer, self.template.data, self.operands)
        if self.operands:
            printer.print_string(" : ")
            printer.print_list(types_once(self.operands), printer.print_attribute)

    @classmethod
    def parse(cls, parser: Parser) -> "YieldOp":
        position = parser.pos
        template, operands = parse_call(parser)
        types: list[Attribute] = []
        if operands:
            parser.parse_punctuation(":")
            types = parser.parse_comma_separated_list(parser.Delimiter.NONE, parser.parse_type)
        return cls(template, parser.resolve_operands(operands, types, position))


class WeightKind(StrEnum):
    PARAMETER = auto()
    BUFFER = auto()
    CONSTANT = auto()


@irdl_attr_definition
class WeightKindAttr(EnumAttribute[WeightKind], SpacedOpaqueSyntaxAttribute):
    """What a weight is to the model: trained, state, or a constant of the code."""

    name = "aten.weight_kind"


@irdl_op_definition
class WeightOp(IRDLOperation):
    """A tensor of the model, by name. Its bytes lie in the sidecar file under the same name.

    `digest` is the SHA-256 of its bytes in row-major order; `aliases` are further names of the same tensor (tied
    weights).
    """

    name = "aten.weight"
    sym_name = prop_def(SymbolNameConstraint())
    kind = prop_def(WeightKindAttr)
    type = prop_def(TypeAttribute)
    digest = prop_def(StringAttr)
    aliases = opt_prop_def(ArrayAttr[StringAttr])
    irdl_options = (ParsePropInAttrDict(),)
    traits = traits_def(SymbolOpInterface())
    assembly_format = "$kind $sym_name `:` $type `digest` $digest (`aliases` $aliases^)? attr-dict"

    def __init__(self, name: str, kind: WeightKind, type: TypeAttribute, digest: str, aliases: Sequence[str] = ()):
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "kind": WeightKindAttr(kind),
                "type": type,
                "digest": StringAttr(digest),
                "aliases": ArrayAttr(StringAttr(a) for a in aliases) if aliases else None,
            }
        )


class NamesWeight(SymbolUserOpInterface):
    """The symbol of a parameter or update is a declared weight, of the value's type."""

    def verify(self, op: Operation) -> None:
        assert isinstance(op, ParameterOp | UpdateOp)
        name = op.weight.root_reference.data
        declared = SymbolTable.lookup_symbol(op, op.weight)
        if not isinstance(declared, WeightOp):
            raise VerifyException(f"no weight @{name} is declared")
        if isinstance(op, ParameterOp) and declared.type != op.value.type:
            raise VerifyException(f"weight @{name} is {declared.type}, the value is {op.value.type}")


@irdl_op_definition
class ParameterOp(IRDLOperation):
    """The weight `name` as a value."""

    name = "aten.parameter"
    weight = prop_def(SymbolRefAttr)
    value = result_def()
    traits = traits_def(Pure(), NamesWeight())
    assembly_format = "$weight attr-dict `:` type($value)"

    def __init__(self, weight: str, type: Attribute):
        super().__init__(properties={"weight": SymbolRefAttr(weight)}, result_types=[type])


@irdl_op_definition
class UpdateOp(IRDLOperation):
    """buffer <- value, once the function is done with the old one."""

    name = "aten.update"
    weight = prop_def(SymbolRefAttr)
    value = operand_def()
    traits = traits_def(NamesWeight())
    assembly_format = "$weight `,` $value attr-dict `:` type($value)"

    def __init__(self, weight: str, value: SSAValue):
        super().__init__(operands=[value], properties={"weight": SymbolRefAttr(weight)})


@irdl_op_definition
class AssignOp(IRDLOperation):
    """target <- value in place: the caller sees its own tensor changed."""

    name = "aten.assign"
    target = operand_def()
    value = operand_def()
    assembly_format = "$target `,` $value attr-dict `:` type($target) `,` type($value)"

    def __init__(self, target: SSAValue, value: SSAValue):
        super().__init__(operands=[target, value])


def tensor_of(value: SSAValue) -> TensorType:
    """The tensor type of `value`. Raises VerifyException when it is no tensor."""
    if not isinstance(value.type, TensorType):
        raise VerifyException(f"expected a tensor, got {value.type}")
    return value.type


def dims(type: Attribute) -> tuple[int | str, ...]:
    """Sizes of a tensor type, symbols by name; `?` where nothing is known."""
    assert isinstance(type, TensorType)
    if isinstance(type.encoding, DimsAttr):
        return tuple(s.data for s in type.encoding.sizes)
    return tuple("?" if s == DYNAMIC_INDEX else s for s in type.get_shape())


def tensor_type(element: Attribute, sizes: Sequence[int | str]) -> TensorType:
    """A tensor type; symbols become `?` with their expression in the encoding."""
    shape = [s if isinstance(s, int) else DYNAMIC_INDEX for s in sizes]
    if all(isinstance(s, int) or s == "?" for s in sizes):
        return TensorType(element, shape)
    return TensorType(element, shape, DimsAttr.of(sizes))


Aten = Dialect(
    "aten",
    [CallOp, YieldOp, WeightOp, ParameterOp, UpdateOp, AssignOp],
    [DimsAttr, ScalarType, ObjectType, TemplateAttr, EffectsAttr, WeightKindAttr],
)
