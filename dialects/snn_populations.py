"""Populations of a spiking network: inputs, and neurons of one model with all that makes it exact.

| op               | reads as                                                              |
|------------------|-----------------------------------------------------------------------|
| `snn.input`      | a population whose spikes, or currents if `analog`, are given         |
| `snn.population` | neurons of one model (see `neurons.py` for its equations)             |
"""

from collections.abc import Mapping, Sequence

from xdsl.dialects.builtin import (
    I64,
    DictionaryAttr,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    UnitAttr,
    i64,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, SpacedOpaqueSyntaxAttribute
from xdsl.irdl import (
    AnyAttr,
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_attr_definition,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    traits_def,
)
from xdsl.traits import SymbolOpInterface
from xdsl.utils.exceptions import VerifyException

from .neurons import DYNAMICS, Compare, Discretisation, Dynamics, Model, Reset, When, discretisations
from .snn_maps import ShapeAttr


@irdl_attr_definition
class ModelAttr(EnumAttribute[Model], SpacedOpaqueSyntaxAttribute):
    name = "snn.model"


@irdl_attr_definition
class DiscretisationAttr(EnumAttribute[Discretisation], SpacedOpaqueSyntaxAttribute):
    name = "snn.discretisation"


@irdl_attr_definition
class CompareAttr(EnumAttribute[Compare], SpacedOpaqueSyntaxAttribute):
    name = "snn.compare"


@irdl_attr_definition
class ResetAttr(EnumAttribute[Reset], SpacedOpaqueSyntaxAttribute):
    name = "snn.reset"


@irdl_attr_definition
class WhenAttr(EnumAttribute[When], SpacedOpaqueSyntaxAttribute):
    name = "snn.when"


@irdl_op_definition
class InputOp(IRDLOperation):
    """A population whose spikes are given; `analog`: whose currents are given, as real numbers.

    `kernel` is a module that lists what is active, see `lower-networks`.
    """

    name = "snn.input"
    sym_name = prop_def(SymbolNameConstraint())
    shape = prop_def(ShapeAttr)
    analog = opt_prop_def(UnitAttr)
    kernel = opt_prop_def(SymbolRefAttr)
    traits = traits_def(SymbolOpInterface())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$sym_name $shape (`analog` $analog^)? (`kernel` $kernel^)? attr-dict"

    def __init__(self, name: str, shape: Sequence[int], *, analog: bool = False):
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "shape": ShapeAttr(tuple(shape)),
                "analog": UnitAttr() if analog else None,
            }
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.shape.data


Parameter = FloatAttr | IntegerAttr | SymbolRefAttr
"""The same for every neuron, or a weight with one for each, of the population's shape or one that spreads over it."""


@irdl_op_definition
class PopulationOp(IRDLOperation):
    """Neurons of one model. `type` is that of the state: a float, or an integer where the discretisation is `shift`.

    `fires`, `reset` and `when` belong to models that fire. `initial` are the states before the first step, 0 unless
    given. `refractory` is a number of steps. `kernel` is a module that computes it, see `lower-networks`.
    """

    name = "snn.population"
    sym_name = prop_def(SymbolNameConstraint())
    shape = prop_def(ShapeAttr)
    type = prop_def(AnyAttr())
    model = prop_def(ModelAttr)
    discretisation = prop_def(DiscretisationAttr)
    parameters = prop_def(DictionaryAttr)
    fires = opt_prop_def(CompareAttr)
    reset = opt_prop_def(ResetAttr)
    when = opt_prop_def(WhenAttr)
    refractory = opt_prop_def(IntegerAttr[I64])
    initial = opt_prop_def(DictionaryAttr)
    kernel = opt_prop_def(SymbolRefAttr)
    traits = traits_def(SymbolOpInterface())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$sym_name $shape `:` $type $model $discretisation $parameters (`fires` $fires^ `reset` $reset $when)? "
        "(`refractory` $refractory^)? (`initial` $initial^)? (`kernel` $kernel^)? attr-dict"
    )

    def __init__(
        self,
        name: str,
        shape: Sequence[int],
        type: Attribute,
        model: Model,
        discretisation: Discretisation,
        parameters: Mapping[str, Attribute],
        *,
        fires: Compare | None = None,
        reset: Reset = Reset.NONE,
        when: When = When.NOW,
        refractory: int = 0,
        initial: Mapping[str, Attribute] | None = None,
    ):
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "shape": ShapeAttr(tuple(shape)),
                "type": type,
                "model": ModelAttr(model),
                "discretisation": DiscretisationAttr(discretisation),
                "parameters": DictionaryAttr(dict(parameters)),
                "fires": CompareAttr(fires) if fires else None,
                "reset": ResetAttr(reset) if fires else None,
                "when": WhenAttr(when) if fires else None,
                "refractory": IntegerAttr(refractory, i64) if refractory else None,
                "initial": DictionaryAttr(dict(initial)) if initial else None,
            }
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.shape.data

    @property
    def dynamics(self) -> Dynamics:
        """The equations."""
        return DYNAMICS[self.model.data, self.discretisation.data]

    def verify_(self) -> None:
        model, way = self.model.data, self.discretisation.data
        if (model, way) not in DYNAMICS:
            known = ", ".join(map(str, discretisations(model)))
            raise VerifyException(f"{model} has no equations for {way}; it has: {known}")
        if model is not Model.THRESHOLD and (way is Discretisation.SHIFT) != isinstance(self.type, IntegerType):
            raise VerifyException(
                f"integers go by {Discretisation.SHIFT}, real numbers by others: {way} of {self.type}"
            )
        if self.refractory is not None and self.refractory.value.data < 0:
            raise VerifyException(f"refractory is a number of steps, got {self.refractory.value.data}")
        if self.when is not None and self.when.data is When.UNDELAYED and self.reset != ResetAttr(Reset.SUBTRACT):
            raise VerifyException(f"undelayed is a way to subtract, the reset is {self.reset and self.reset.data}")
        dynamics = self.dynamics
        if dynamics.fires != (self.fires is not None):
            raise VerifyException(f"{model} {'fires' if dynamics.fires else 'never fires'}: it has {self.fires}")
        resets = ("reset",) if self.reset is not None and self.reset.data is Reset.VALUE else ()
        expected, found = {*dynamics.parameters, *resets}, set(self.parameters.data)
        if expected != found:
            raise VerifyException(f"{model} {way} has the parameters {sorted(expected)}, got {sorted(found)}")
        if odd := {*(self.initial.data if self.initial else {})} - {*dynamics.states}:
            raise VerifyException(f"{model} has the states {list(dynamics.states)}, initial gives {sorted(odd)}")
        for name, value in self.parameters.data.items():
            if not isinstance(value, Parameter):
                raise VerifyException(f"parameter {name} is a number or a weight, got {value}")
