"""`snn`: spiking networks, by symbol.

| op               | reads as                                                                              |
|------------------|---------------------------------------------------------------------------------------|
| `snn.network`    | populations and what joins them; a step lasts `dt` seconds                            |
| `snn.input`      | a population whose spikes, or currents if `analog`, are given                         |
| `snn.population` | neurons of one model (see `neurons.py` for its equations)                             |
| `snn.projection` | what fired at the source, through the maps of its region, is input to the target      |
| `snn.run`        | the network over the steps of its inputs, from the initial state; what is recorded    |

    snn.network @digits dt 1.000000e-03 {
      snn.input @in <784>
      snn.population @out <10> : f32 lif exponential {decay = 0.9 : f32, leak = 0.0 : f32, gain = 1.0 : f32,
                                                      threshold = 1.0 : f32} fires gt reset subtract next
      snn.projection @in to @out { snn.dense @w  snn.bias @b }
      snn.projection @out to @out delay 1 { snn.dense @recurrent }
    }
    func.func @forward(%x: tensor<?x1x784xf32>) -> tensor<?x1x10xf32> {
      %z = snn.run @digits(%x) records ["out"] : (tensor<?x1x784xf32>) -> tensor<?x1x10xf32>
    }

A spike of step t acts on the target in step t + delay. With delay 0 a step runs one layer after the other, which a
cycle of such projections forbids. Tensors of a run are [steps, batch, *shape of the population].
"""

from collections.abc import Iterator, Mapping, Sequence

from xdsl.dialects.builtin import (
    I64,
    ArrayAttr,
    DictionaryAttr,
    Float64Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    StringAttr,
    SymbolNameConstraint,
    SymbolRefAttr,
    TensorType,
    f64,
    i64,
)
from xdsl.ir import Attribute, Dialect, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.traits import IsolatedFromAbove, NoTerminator, Pure, SymbolOpInterface, SymbolTable, SymbolUserOpInterface
from xdsl.utils.exceptions import VerifyException

from .snn_maps import DELAYED, MAPS, BiasOp, MapOp, Pooling, PoolingAttr, PoolOp, ReshapeOp, ShapeAttr, symbol_of
from .snn_populations import CompareAttr, DiscretisationAttr, InputOp, ModelAttr, PopulationOp, ResetAttr, WhenAttr


@irdl_op_definition
class NetworkOp(IRDLOperation):
    """A network: a symbol table of inputs and populations, and projections between them, in order.

    `dt` is the length of a step in seconds; the equations do not read it, times of a file or a machine do.
    """

    name = "snn.network"
    sym_name = prop_def(SymbolNameConstraint())
    dt = prop_def(FloatAttr[Float64Type])
    body = region_def("single_block")
    traits = traits_def(SymbolOpInterface(), SymbolTable(), IsolatedFromAbove(), NoTerminator())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$sym_name `dt` $dt $body attr-dict"

    def __init__(self, name: str, dt: float, body: Region):
        super().__init__(properties={"sym_name": StringAttr(name), "dt": FloatAttr(dt, f64)}, regions=[body])

    def verify_(self) -> None:
        names = {op.sym_name.data for op in self.populations()}
        for op in self.projections():
            for end in (op.source, op.target):
                if end.root_reference.data not in names:
                    raise VerifyException(f"no population {end} for the projection {op.title}")
        if cycle := zero_delay_cycle([(p.ends, p.least_delay) for p in self.projections()]):
            raise VerifyException(
                f"a cycle of projections without delay: {' -> '.join(f'@{name}' for name in cycle)}; "
                "each needs the others' spikes of the same step: one of them needs a delay of 1 or more"
            )

    def populations(self) -> "Iterator[InputOp | PopulationOp]":
        """Inputs and populations, in order."""
        return (op for op in self.body.block.ops if isinstance(op, InputOp | PopulationOp))

    def projections(self) -> "Iterator[ProjectionOp]":
        """Projections, in order."""
        return (op for op in self.body.block.ops if isinstance(op, ProjectionOp))

    def weights(self) -> list[str]:
        """The names of the weights that it reads, each once, in order."""
        found: dict[str, None] = {}
        for op in self.walk():
            for name, value in op.properties.items():
                values = value.data.values() if isinstance(value, DictionaryAttr) else (value,)
                if name not in ("source", "target", "kernel"):
                    found |= {v.root_reference.data: None for v in values if isinstance(v, SymbolRefAttr)}
        return list(found)


def zero_delay_cycle(edges: Sequence[tuple[tuple[str, str], int]]) -> list[str]:
    """A cycle of edges of delay 0, as the names on it with the first again at the end; empty if there is none."""
    after: dict[str, list[str]] = {}
    for (source, target), delay in edges:
        if delay == 0:
            after.setdefault(source, []).append(target)
    done: set[str] = set()
    for start in after:
        path: list[str] = []
        ahead = [iter([start])]
        while ahead:
            name = next(ahead[-1], None)
            if name is None:
                ahead.pop()
                done.update(path[-1:])
                path = path[:-1]
            elif name in path:
                return [*path[path.index(name) :], name]
            elif name not in done:
                path.append(name)
                ahead.append(iter(after.get(name, ())))
    return []


LONGEST = (1 << 16) - 1
"""The longest delay, in steps."""


@irdl_op_definition
class ProjectionOp(IRDLOperation):
    """Spikes of `source`, `delay` steps later, through linear maps one after another, are input to `target`.

    `delay` is a number of steps, or a weight with one for each synapse, of the shape of the only map's weight.
    `longest` is the greatest of those, and `least` the lowest.
    """

    name = "snn.projection"
    source = prop_def(SymbolRefAttr)
    target = prop_def(SymbolRefAttr)
    delay = opt_prop_def(IntegerAttr[I64])
    delays = opt_prop_def(SymbolRefAttr)
    least = opt_prop_def(IntegerAttr[I64])
    longest = opt_prop_def(IntegerAttr[I64])
    maps = region_def()
    traits = traits_def(NoTerminator())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$source `to` $target (`delay` $delay^)? (`delays` $delays^ `from` $least `to` $longest)? $maps attr-dict"
    )

    def __init__(
        self,
        source: str,
        target: str,
        maps: Region,
        *,
        delay: int = 0,
        delays: tuple[str, int, int] | None = None,
    ):
        super().__init__(
            properties={
                "source": SymbolRefAttr(source),
                "target": SymbolRefAttr(target),
                "delay": IntegerAttr(delay, i64) if delay else None,
                "delays": SymbolRefAttr(delays[0]) if delays else None,
                "least": IntegerAttr(delays[1], i64) if delays else None,
                "longest": IntegerAttr(delays[2], i64) if delays else None,
            },
            regions=[maps],
        )

    @property
    def ends(self) -> tuple[str, str]:
        """The names of source and target."""
        return self.source.root_reference.data, self.target.root_reference.data

    @property
    def title(self) -> str:
        return "@{} to @{}".format(*self.ends)

    @property
    def least_delay(self) -> int:
        """The shortest delay, in steps."""
        given = self.least or self.delay
        return given.value.data if given else 0

    @property
    def longest_delay(self) -> int:
        """The longest delay, in steps."""
        given = self.longest or self.delay
        return given.value.data if given else 0

    def map_ops(self) -> Sequence[MapOp]:
        """The maps, first to last; none where neurons meet one to one."""
        return [op for block in self.maps.blocks for op in block.ops if isinstance(op, MapOp)]

    def verify_(self) -> None:
        if self.least_delay < 0 or self.longest_delay < self.least_delay:
            raise VerifyException(f"delays are 0 or more, the least first: {self.least_delay}, {self.longest_delay}")
        if foreign := [op.name for op in self.maps.walk() if not isinstance(op, MapOp)]:
            raise VerifyException(f"a projection holds maps only, got {foreign[0]}")
        if self.longest_delay > LONGEST:
            raise VerifyException(f"a delay is {LONGEST} steps at most, got {self.longest_delay}")
        network = self.parent_op()
        if isinstance(network, NetworkOp):
            self.verify_shapes({op.sym_name.data: op.sizes for op in network.populations()})
            self.verify_delays()
            types = {op.sym_name.data: op.type for op in network.populations() if isinstance(op, PopulationOp)}
            averages = any(isinstance(op, PoolOp) and op.kind.data is Pooling.AVERAGE for op in self.map_ops())
            if averages and isinstance(types.get(self.ends[1]), IntegerType):
                raise VerifyException(f"an average is no integer: {self.title} needs a sum, and a shift")
        if self.ends[1] in self.input_names():
            raise VerifyException(f"what is input to the network has no other source: {self.title}")

    def input_names(self) -> set[str]:
        """The inputs of its network."""
        network = self.parent_op()
        found = network.populations() if isinstance(network, NetworkOp) else ()
        return {op.sym_name.data for op in found if isinstance(op, InputOp)}

    def verify_delays(self) -> None:
        """Delays of synapses are of the shape of the weight of the only map, but for a bias."""
        if self.delays is None:
            return
        maps = [op for op in self.map_ops() if not isinstance(op, ReshapeOp)]
        if not maps or not isinstance(maps[0], DELAYED) or any(not isinstance(op, BiasOp) for op in maps[1:]):
            raise VerifyException(f"delays are those of the synapses of one map, a bias at most after it: {self.title}")
        shape, expected = (maps[0].weight_shape(name) for name in (self.delays, maps[0].weight))
        if shape != expected:
            raise VerifyException(f"delays are one for each weight, {list(expected)}: got {list(shape)}")

    def verify_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """What comes out of the last map is of the target's shape."""
        source, target = self.ends
        if source not in shapes or target not in shapes:
            return
        shape = shapes[source]
        for op in self.map_ops():
            shape = op.output_shape(shape)
        if shape != shapes[target]:
            raise VerifyException(f"the maps of {self.title} give {list(shape)}, @{target} is {list(shapes[target])}")


class NamesNetwork(SymbolUserOpInterface):
    """A run names a network of its module, with its inputs and populations."""

    def verify(self, op: Operation) -> None:
        assert isinstance(op, RunOp)
        network = op.find()
        if network is None:
            raise VerifyException(f"there is no network {op.network}")
        inputs = [p for p in network.populations() if isinstance(p, InputOp)]
        if not inputs:
            raise VerifyException(f"{op.network} has no input to take the number of steps from")
        if len(inputs) != len(op.inputs):
            raise VerifyException(f"{op.network} has {len(inputs)} inputs, the run gives {len(op.inputs)}")
        sizes = {p.sym_name.data: p.sizes for p in network.populations()}
        states = {p.sym_name.data: p.dynamics.states for p in network.populations() if isinstance(p, PopulationOp)}
        given = [(p.sym_name.data, value.type) for p, value in zip(inputs, op.inputs, strict=True)]
        made = [(text.data.partition(".")[0], value.type) for text, value in zip(op.records, op.results_, strict=True)]
        for name, type in (*given, *made):
            if name not in sizes:
                raise VerifyException(f"{op.network} has no population @{name}")
            if not isinstance(type, TensorType) or tuple(type.get_shape()[2:]) != sizes[name]:
                raise VerifyException(f"@{name} is [steps, batch, {', '.join(map(str, sizes[name]))}], got {type}")
        for record in op.records:
            name, _, state = record.data.partition(".")
            if state and state not in states.get(name, ()):
                raise VerifyException(f"@{name} has the states {list(states.get(name, ()))}, no '{state}'")


@irdl_op_definition
class RunOp(IRDLOperation):
    """Runs a network over the steps of its inputs. `records` are `"population"`, its spikes, or `"population.state"`,
    that state after each step."""

    name = "snn.run"
    network = prop_def(SymbolRefAttr)
    inputs = var_operand_def(TensorType)
    records = prop_def(ArrayAttr[StringAttr])
    results_ = var_result_def(TensorType)
    traits = traits_def(Pure(), NamesNetwork())
    assembly_format = (
        "$network `(` $inputs `)` `records` $records attr-dict `:` `(` type($inputs) `)` `->` type($results_)"
    )

    def __init__(self, network: str, inputs: Sequence[SSAValue], records: Sequence[str], types: Sequence[Attribute]):
        super().__init__(
            operands=[inputs],
            properties={"network": SymbolRefAttr(network), "records": ArrayAttr(map(StringAttr, records))},
            result_types=[types],
        )

    def find(self) -> NetworkOp | None:
        """The network it runs."""
        found = symbol_of(self, self.network)
        return found if isinstance(found, NetworkOp) else None

    def verify_(self) -> None:
        if len(self.records) != len(self.results_):
            raise VerifyException(f"{len(self.records)} records give as many results, got {len(self.results_)}")


Snn = Dialect(
    "snn",
    [NetworkOp, InputOp, PopulationOp, ProjectionOp, RunOp, *MAPS],
    [ModelAttr, DiscretisationAttr, CompareAttr, PoolingAttr, ResetAttr, ShapeAttr, WhenAttr],
)
