"""Recognise a spiking network in a scan of neuron steps.

    %full = aten.call "aten.full.default"([%b, 10], 0.0)          snn.network @network dt 1.0 {
    %v, %z = aten.call "scan"(region<0>, [%full], [%x], [%w]) {     snn.input @input <784>
    ^bb0(%v, %x, %w):                                               snn.population @neurons_0 <10> : f32 lif ..
      %i = aten.call "aten.linear.default"(%x, %w)          ->      snn.projection @input to @neurons_0 { snn.dense @w }
      %z, %n = aten.call "gossamer.neuron_step.default"           }
                        ([%i], [%v], ..)                          %z = snn.run @network(%x) records ["neurons_0"]
      aten.yield(%n, %z)
    }

Spikes of the same step come without delay, spikes that the scan carries come a step later. What is recorded is what
the scan gives: spikes, or states of neurons. Where a neuron adds several inputs one after another, their sum is made
first: equal but for the rounding of that sum; such populations carry `snn.reordered`. Where it maps a sum, the parts
are mapped (`snn.distributed`). Max pooling of spikes is neurons (`analysis/spike_pools.py`). A scan without neurons
stays as it is; one that has any and is no network is an error at the call that is at fault. Linear in the number of
ops.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from xdsl.context import Context
from xdsl.dialects.builtin import AnyFloat, FloatAttr, ModuleOp, SymbolRefAttr, UnitAttr
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter
from xdsl.transforms.dead_code_elimination import region_dce

from ..dialects.aten import CallOp, ParameterOp, WeightOp, YieldOp, tensor_of
from ..dialects.diagnostics import UserError, place_of
from ..dialects.neurons import DYNAMICS, Compare, Discretisation, Model, Reset, When
from ..dialects.snn import InputOp, NetworkOp, PopulationOp, ProjectionOp, RunOp
from ..dialects.snn_maps import ReshapeOp
from .analysis.calls import argument, shape, target
from .analysis.linear_maps import paths, sizes
from .analysis.repetition import STEP, copied, states
from .analysis.spike_pools import MAX_POOLS, spike_or, spike_pool
from .analysis.starts import start_number

REORDERED = "snn.reordered"
"""On a population whose several inputs the source adds one after another."""
DISTRIBUTED = "snn.distributed"
"""On a projection that is a part of a sum which the source makes before it maps it, or before it adds others."""


def float_type(value: SSAValue) -> AnyFloat:
    """The type of the numbers of a tensor."""
    return cast(AnyFloat, tensor_of(value).element_type)


def fires(neuron: CallOp) -> bool:
    """Do these neurons ever fire?"""
    return len(str(argument(neuron, 4, "neuron")).split()) > 2


@dataclass
class Scan:
    """A scan of neuron steps: its parts by role."""

    op: CallOp
    analog: bool
    names: Sequence[str]
    neurons: list[CallOp] = field(init=False)

    def __post_init__(self) -> None:
        self.block: Block = self.op.regions[0].block
        self.starts, self.inputs, self.more = (
            cast("tuple[SSAValue, ...]", argument(self.op, position, "") or ()) for position in (1, 2, 3)
        )
        calls = [op for op in self.block.ops if isinstance(op, CallOp)]
        self.neurons = [op for op in calls if target(op) == STEP]
        self.pools = [op for op in calls if target(op) in MAX_POOLS]
        last = self.block.last_op
        assert isinstance(last, YieldOp)
        given = [last.operands[leaf.index] if hasattr(leaf, "index") else None for leaf in last.template.data.args]  # pyright: ignore
        self.kept, self.given = given[: len(self.starts)], given[len(self.starts) :]

    def network(self) -> tuple[NetworkOp, RunOp]:
        """The network and its run. Raises UserError where it is none."""
        if len(self.inputs) != 1:
            raise self.refuse(f"a network is run on one sequence, here are {len(self.inputs)}")
        if any(result.uses for result in self.op.results[: len(self.starts)]):
            raise self.refuse("the states after the last step are read")
        self.verify_states()
        x = self.block.args[len(self.starts)]
        body = Block([InputOp("input", sizes(x), analog=self.analog), *map(self.population, self.neurons)])
        body.add_ops(spike_or(pool, self.name(pool), float_type(pool.results[0])) for pool in self.pools)
        for neuron in self.neurons:
            body.add_ops(self.projections(neuron))
        body.add_ops(map(self.pooling, self.pools))
        network = NetworkOp("network", 1.0, Region(body))
        types = [result.type for result in self.op.results[len(self.starts) :]]
        run = RunOp("network", self.inputs, list(map(self.record, self.given)), types)
        run.location = network.location = self.op.location
        return network, run

    def refuse(self, why: str, op: CallOp | None = None) -> UserError:
        return UserError(f"this is no spiking network: {why}", place=place_of(op or self.op))

    def name(self, neuron: CallOp) -> str:
        if neuron in self.pools:
            return f"max_pool_{self.pools.index(neuron)}"
        index = self.neurons.index(neuron)
        return self.names[index] if index < len(self.names) else f"neurons_{index}"

    def weight_of(self, value: SSAValue) -> str | None:
        """The weight that a value of the body is."""
        if value in self.block.args:
            index = self.block.args.index(value) - len(self.starts) - len(self.inputs)
            value = self.more[index] if index >= 0 else value
        return value.owner.weight.root_reference.data if isinstance(value.owner, ParameterOp) else None

    def spikes_of(self, value: SSAValue) -> tuple[CallOp, int] | None:
        """The neurons whose spikes a value is, and how many steps ago they fired."""
        value = copied(value)
        carried: list[SSAValue] = []
        while value in self.block.args[: len(self.starts)] and value not in carried:
            carried.append(value)
            kept = self.kept[self.block.args.index(value)]
            value = copied(kept) if kept is not None else value
        neuron = value.owner
        if not isinstance(neuron, CallOp) or neuron not in (*self.neurons, *self.pools):
            return None
        if neuron.results[0] is not value:
            return None
        if any(self.start_of(state) != 0 for state in carried):
            raise self.refuse("spikes before the first step are not 0", neuron)
        return neuron, len(carried)

    def start_of(self, value: SSAValue) -> float | None:
        """The number that every element of a carried value has before the first step; None where that is computed."""
        return start_number(self.starts[self.block.args.index(value)])

    def verify_states(self) -> None:
        """Every neuron has its own states of the last step, and they start from a number."""
        for neuron in self.neurons:
            for index, state in enumerate(states(neuron)):
                number = self.block.args.index(state) if state in self.block.args else len(self.starts)
                kept = self.kept[number] if number < len(self.starts) else None
                if kept is None or copied(kept) is not neuron.results[1 + index]:
                    raise self.refuse("a state of these neurons is not what they left in the last step", neuron)
                if self.start_of(state) is None:
                    raise self.refuse("a state of these neurons does not start from a number", neuron)

    def population(self, neuron: CallOp) -> PopulationOp:
        """The population of a neuron step."""
        text, names = str(argument(neuron, 4, "neuron")).split(), str(argument(neuron, 5, "names")).split()
        tensors = cast("tuple[SSAValue, ...]", argument(neuron, 2, "parameters"))
        numbers = cast("tuple[float, ...]", argument(neuron, 3, "constants"))
        type, size = float_type(neuron.results[1]), sizes(neuron.results[1])
        values: list[Attribute] = [self.parameter(neuron, tensor, size) for tensor in tensors]
        values += [FloatAttr(number, type) for number in numbers]
        dynamics = DYNAMICS[Model(text[0]), Discretisation(text[1])]
        starts = dict(zip(dynamics.states, map(self.start_of, states(neuron)), strict=True))
        fires, reset, when = text[2:] or (None, Reset.NONE, When.NOW)
        found = PopulationOp(
            self.name(neuron),
            size,
            type,
            Model(text[0]),
            Discretisation(text[1]),
            dict(zip(names, values, strict=True)),
            initial={name: FloatAttr(value, type) for name, value in starts.items() if value},
            fires=Compare(fires) if fires else None,
            reset=Reset(reset),
            when=When(when),
        )
        found.location = neuron.location
        if len(cast(tuple, argument(neuron, 0, "inputs"))) > 1:
            found.attributes[REORDERED] = UnitAttr()
        return found

    def parameter(self, neuron: CallOp, value: SSAValue, size: tuple[int, ...]) -> SymbolRefAttr:
        """A parameter that is a weight: one number, or one for each neuron, or for each channel, [channels, 1, 1]."""
        name, given = self.weight_of(value), shape(value)
        if name is None:
            raise self.refuse("a parameter of these neurons is computed while it runs", neuron)
        wide = (*(1 for _ in given[len(size) :]), *size)
        if any(axis not in (1, width) for axis, width in zip(reversed(given), reversed(wide), strict=False)):
            raise self.refuse(
                f"a parameter is {list(given)}, the neurons are {list(size)}: expected one for each, or sizes that "
                "spread over theirs",
                neuron,
            )
        return SymbolRefAttr(name)

    def projections(self, neuron: CallOp) -> list[ProjectionOp]:
        """What is added up to the inputs of a neuron step, in order."""
        x = self.block.args[len(self.starts)]
        found = []
        for value in cast("tuple[SSAValue, ...]", argument(neuron, 0, "inputs")):
            for path in paths(value, self.weight_of, lambda v: v is x or self.spikes_of(v) is not None):
                spikes = self.spikes_of(path.source)
                source, delay = (self.name(spikes[0]), spikes[1]) if spikes else ("input", 0)
                found.append(ProjectionOp(source, self.name(neuron), Region(Block(path.maps)), delay=delay))
                found[-1].location = neuron.location
                if path.distributed:
                    found[-1].attributes[DISTRIBUTED] = UnitAttr()
        return found

    def pooling(self, pool: CallOp) -> ProjectionOp:
        """What comes in to the windows of a max pooling: spikes as they are."""
        found = paths(pool.operands[0], self.weight_of, lambda v: v in self.block.args or self.spikes_of(v) is not None)
        spikes = self.spikes_of(found[0].source)
        plain = len(found) == 1 and all(isinstance(entry, ReshapeOp) for entry in found[0].maps)
        if not plain or spikes is None or not (spikes[0] in self.pools or fires(spikes[0])):
            raise UserError(
                "a maximum of values that are no spikes of neurons is no linear map",
                place=place_of(pool),
                hint="pool after the neurons: a maximum of their spikes is exact; or average before them",
            )
        maps = [*found[0].maps, spike_pool(pool, MAX_POOLS[target(pool) or ""])]
        made = ProjectionOp(self.name(spikes[0]), self.name(pool), Region(Block(maps)), delay=spikes[1])
        made.location = pool.location
        return made

    def record(self, value: SSAValue | None) -> str:
        """What is recorded for a result of the scan."""
        value = copied(value) if value is not None else None
        neuron = value.owner if value is not None else None
        if isinstance(neuron, CallOp) and neuron in self.pools:
            return self.name(neuron)
        if value is None or not isinstance(neuron, CallOp) or neuron not in self.neurons:
            place = neuron if isinstance(neuron, CallOp) else None
            raise self.refuse(
                "a result is neither spikes nor a state of neurons: a map after the last is not run", place
            )
        index = neuron.results.index(value)  # pyright: ignore[reportArgumentType]
        text = str(argument(neuron, 4, "neuron")).split()
        states = DYNAMICS[Model(text[0]), Discretisation(text[1])].states
        return self.name(neuron) if index == 0 else f"{self.name(neuron)}.{states[index - 1]}"


@dataclass(frozen=True)
class RaiseSnn(ModulePass):
    """`analog`: inputs are currents, real numbers. `names` of the populations, in the order of their steps."""

    name = "raise-snn"

    analog: bool = True
    names: tuple[str, ...] = ()

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for scan in [o for o in op.walk() if isinstance(o, CallOp) and target(o) == "scan"]:
            found = Scan(scan, self.analog, self.names)
            if not found.neurons:
                continue
            network, run = found.network()
            declared = [entry for entry in op.ops if isinstance(entry, WeightOp)]
            op.body.block.insert_op_after(network, declared[-1]) if declared else op.body.block.insert_op_before(
                network,
                op.body.block.first_op,  # pyright: ignore[reportArgumentType]
            )
            unread = len(scan.results) - len(run.results)
            Rewriter.replace_op(scan, run, [None] * unread + list(run.results))
        for entry in op.ops:
            for region in entry.regions if not isinstance(entry, NetworkOp) else ():
                region_dce(region)
