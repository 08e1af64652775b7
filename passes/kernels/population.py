"""A population over some steps: what arrives, the neurons, and the list of those that fired.

    for each sample:
      x[every step] = sums of spikes of other populations      (`spike_rows.py`)
      for each step:
        x[step] += sums of its own earlier spikes
        for each neuron: charge, fire, reset                   (`neurons.py`; in vectors, as LLVM sees fit)
        ids[step] = those that fired, ascending

What others send is summed for all steps at once, so that a block of the weight stays in cache. Where a population has
three projections or more, one of them its own, sums go on in the order of the text, step by step from there.

| argument                     | is                                                                          |
|------------------------------|-----------------------------------------------------------------------------|
| begin, end, batch            | steps to run, and samples; a row is a step and a sample: step * batch + sample |
| splits, together             | parts that columns are cut into; 1 if all threads share each sample         |
| P.ids, P.counts, P.starts    | active neurons of a population: of row r, segment s, `counts[r, s]` from    |
| P.splits, P.stride           | `ids[r * stride + starts[s]]`                                               |
| P.values, P.size             | what they send where that is no spike: [row, size]                          |
| state.v, .., parameter.r, .. | by neuron; states by sample too                                             |
| record.v, ..                 | what is kept, by row                                                        |
| projectionN.rows             | dense, k-major, [sources, width]                                            |
| projectionN.offsets, ..      | sparse: offsets by split, delay and source; targets, weights; delays        |
| projectionN.least, ..        | how many active sources make a tile dense; dense: which tiles are, by step; |
|                              | raster: scratch (`spike_tiles.py`)                                          |
| projectionN.scale0, bias1    | what is done with a sum                                                     |
| x, y, flags                  | scratch of each part                                                        |
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from xdsl.dialects import arith, llvm, memref, vector
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    IntegerAttr,
    MemRefType,
    ModuleOp,
    VectorType,
    i8,
    i32,
    i64,
)
from xdsl.ir import Attribute, SSAValue

from .neurons import Neuron, Numbers
from .signature import named_kernel
from .spike_rows import LANES, Feed, Place, Rows, index, scalar
from .spike_tiles import Tiles, steps_of
from .writing import INDEX, add, each, lesser, loop, number, share, times, whole

STEP = "step"
"""The function's name."""
EIGHT = 8
"""Flags that are looked at together."""


@dataclass(frozen=True)
class Layout:
    """A population as its kernel sees it. `arrays` are the parameters that differ from neuron to neuron, `values` the
    others; `records` are names of states, and "spikes"; `listed`: is anybody told who was active?"""

    name: str
    size: int
    neuron: Neuron
    values: dict[str, float]
    arrays: tuple[str, ...]
    feeds: tuple[Feed, ...]
    records: tuple[str, ...]
    listed: bool
    unit: int = field(default=LANES)

    @property
    def width(self) -> int:
        """Its size, up to whole blocks."""
        return -(-self.size // self.unit) * self.unit

    @property
    def states(self) -> dict[str, Attribute]:
        """Every state and its type."""
        found: dict[str, Attribute] = dict.fromkeys(self.neuron.dynamics.states, self.neuron.numbers.element)
        found |= {"fired": i8} if self.neuron.late else {}
        return found | ({"rest": i32} if self.neuron.refractory else {})

    def is_tiled(self, feed: Feed) -> bool:
        """May a projection be summed in tiles: are all steps known before the first, and columns enough?"""
        return feed.form == "rows" and self.unit > LANES and feed in schedule(self.feeds)[0]

    def arguments(self) -> dict[str, Attribute]:
        """Every argument and its type, but for part and parts."""
        element = self.neuron.numbers.element

        def buffers(kind: Attribute, *names: str) -> dict[str, Attribute]:
            return {name: MemRefType(kind, (DYNAMIC_INDEX,)) for name in names}

        found: dict[str, Attribute] = dict.fromkeys(("begin", "end", "batch", "splits", "together"), INDEX)
        for name in dict.fromkeys((*(feed.source for feed in self.feeds if feed.form != "given"), self.name)):
            found |= buffers(i32, f"{name}.ids") | buffers(i64, f"{name}.counts", f"{name}.starts")
            found |= dict.fromkeys((f"{name}.splits", f"{name}.stride"), INDEX)
        graded = dict.fromkeys(feed.source for feed in self.feeds if feed.graded)
        found |= buffers(element, *(f"{name}.values" for name in graded))
        found |= dict.fromkeys((f"{name}.size" for name in graded), INDEX)
        for feed in self.feeds:
            found |= feed_arguments(feed, element, tiled=self.is_tiled(feed))
        found |= buffers(element, *(f"parameter.{name}" for name in self.arrays), "x", "y")
        for name, kind in self.states.items():
            found |= buffers(kind, f"state.{name}")
        return found | buffers(element, *(f"record.{name}" for name in self.records)) | buffers(i8, "flags")


def feed_arguments(feed: Feed, element: Attribute, *, tiled: bool) -> dict[str, Attribute]:
    """The arguments of one projection."""

    def buffers(kind: Attribute, *names: str) -> dict[str, Attribute]:
        return {feed.name(name): MemRefType(kind, (DYNAMIC_INDEX,)) for name in names}

    after = buffers(element, *(f"{kind}{place}" for place, kind in enumerate(feed.after)))
    match feed.form:
        case "rows":
            tiles = buffers(i64, "dense") | buffers(element, "raster") | {feed.name("least"): INDEX} if tiled else {}
            return buffers(element, "rows") | buffers(i64, "delays") | tiles | after
        case "sparse":
            found = buffers(i64, "offsets", "delays") | buffers(i32, "targets") | buffers(element, "weights")
            return found | {feed.name("classes"): INDEX} | after
        case _:
            return buffers(element, "given")


def population_kernel(layout: Layout) -> ModuleOp:
    """The kernel of a population, as a module without a name."""
    sizes = {"width": layout.width, "unit": layout.unit, "tile": steps_of(layout.unit), "line": LANES}
    shape = {f"kernel.{name}": IntegerAttr(value, i64) for name, value in sizes.items()}
    return named_kernel(STEP, layout.arguments(), lambda given: Writer(layout, given).write(), attributes=shape)


@dataclass(frozen=True)
class Writer:
    """Writes the body; `of` are the arguments by name."""

    layout: Layout
    of: dict[str, SSAValue]

    @property
    def numbers(self) -> Numbers:
        return self.layout.neuron.numbers

    def write(self) -> None:
        of, one, width = self.of, number(1), number(self.layout.width)
        apart = arith.CmpiOp(of["together"], one, "ne").result
        groups = arith.SelectOp(apart, one, of["parts"]).result
        team, member = (arith.DivUIOp(of[name], groups).result for name in ("parts", "part"))
        group = arith.RemUIOp(of["part"], groups).result
        x = times(times(of["part"], arith.SubiOp(of["end"], of["begin"]).result), width)
        y = times(of["part"], width)

        def splits(sample: SSAValue, body: Callable[[Place], None]) -> None:
            def split(s: SSAValue) -> None:
                starts = of[f"{self.layout.name}.starts"]
                body(Place(sample, s, index(starts, s), index(starts, add(s, one)), x, y))

            first, end = (share(of["splits"], at, groups) for at in (group, add(group, one)))
            each(first, end, one, split)

        def sample(b: SSAValue) -> None:
            early, late = schedule(self.layout.feeds)
            if early:
                splits(b, lambda place: self.arrive(early, place, of["begin"], of["end"], fresh=True))

            def step(t: SSAValue) -> None:
                def there(place: Place) -> None:
                    self.arrive(late, place, t, add(t, one), fresh=not early)
                    self.neurons(place, t)
                    if self.layout.listed:
                        self.compact(place, t)

                splits(b, there)

            each(of["begin"], of["end"], one, step)

        first, end = (share(of["batch"], at, team) for at in (member, add(member, one)))
        each(first, end, one, sample)

    def arrive(self, feeds: Sequence[Feed], place: Place, begin: SSAValue, end: SSAValue, *, fresh: bool) -> None:
        """x of some steps."""
        rows = Rows(self.numbers, self.of, self.layout.width, self.layout.unit)
        for feed in feeds:
            if self.layout.is_tiled(feed):
                Tiles(rows, feed, place, begin, end, fresh).sums()
            else:
                rows.sums(feed, place, begin, end, first=fresh)
            fresh = False

    def neurons(self, place: Place, t: SSAValue) -> None:
        """One step of each neuron, and a flag where it fired."""
        layout, of = self.layout, self.of
        since = arith.SubiOp(t, of["begin"]).result
        arrived = add(place.x, times(since, number(layout.width)))
        own = times(place.sample, number(layout.size))
        row = times(add(times(t, of["batch"]), place.sample), number(layout.size))
        flags = times(of["part"], number(layout.width))
        constants = {name: self.numbers.constant(value) for name, value in layout.values.items()}

        def neuron(n: SSAValue) -> None:
            at = add(own, n)
            names = constants | {name: scalar(of[f"parameter.{name}"], n) for name in layout.arrays}
            found = {name: scalar(of[f"state.{name}"], at) for name in layout.states}
            late = arith.CmpiOp(found.pop("fired"), byte(0), "ne").result if "fired" in found else None
            rest = found.pop("rest", None)
            x = scalar(of["x"], add(arrived, n)) if layout.feeds else self.numbers.constant(0)
            names |= {**found, "x": x}
            spike, rest = layout.neuron.step(names, late, rest)
            active = self.numbers.nonzero(names["v"]) if spike is None else spike
            flag = arith.ExtUIOp(active, i8).result
            after = {**names, "fired": flag, "rest": rest}
            for name in layout.states:
                value = after[name]
                assert value is not None
                memref.StoreOp.get(value, of[f"state.{name}"], [at])
            for name in layout.records:
                zero, one = self.numbers.constant(0), self.numbers.constant(1)
                value = arith.SelectOp(active, one, zero).result if name == "spikes" else names[name]
                memref.StoreOp.get(value, of[f"record.{name}"], [add(row, n)])
            if layout.listed:
                memref.StoreOp.get(flag, of["flags"], [add(flags, n)])

        each(place.low, lesser(place.high, number(layout.size)), number(1), neuron)

    def compact(self, place: Place, t: SSAValue) -> None:
        """The list of flags that are set: eight at a time are looked at, as most are not."""
        of, name, one = self.of, self.layout.name, number(1)
        row = add(times(t, of["batch"]), place.sample)
        base = add(times(row, of[f"{name}.stride"]), place.low)
        first = times(of["part"], number(self.layout.width))

        def eight(n: SSAValue, count: Sequence[SSAValue]) -> Sequence[SSAValue]:
            at = add(first, n)
            together = vector.LoadOp(of["flags"], [at], VectorType(i8, [EIGHT])).result
            bits = llvm.BitcastOp(together, i64).result
            some = arith.CmpiOp(bits, whole(0), "ne").result
            last = arith.SelectOp(some, number(EIGHT), number(0)).result

            def flag(k: SSAValue, count: Sequence[SSAValue]) -> Sequence[SSAValue]:
                memref.StoreOp.get(arith.IndexCastOp(add(n, k), i32).result, of[f"{name}.ids"], [add(base, count[0])])
                return [add(count[0], index(of["flags"], add(at, k)))]

            return loop(number(0), last, one, count, flag)

        (count,) = loop(place.low, place.high, number(EIGHT), [number(0)], eight)
        counts = add(times(row, of[f"{name}.splits"]), place.split)
        memref.StoreOp.get(arith.IndexCastOp(count, i64).result, of[f"{name}.counts"], [counts])


def byte(value: int) -> SSAValue:
    """A number of 8 bits."""
    return arith.ConstantOp(IntegerAttr(value, i8)).result


def schedule(feeds: Sequence[Feed]) -> tuple[list[Feed], list[Feed]]:
    """Those that are summed for all steps at once, and those that are summed step by step, in the order of the sum.

    The sum of two is that of the two turned round, bit by bit."""
    if len(feeds) == 2 and feeds[0].own:
        feeds = feeds[::-1]
    early = next((place for place, feed in enumerate(feeds) if feed.own), len(feeds))
    return list(feeds[:early]), list(feeds[early:])
