"""Random training steps, and an executor of schedules that holds real bytes."""

import numpy as np
from gossamer.passes.solvers.recompute_graph import INPUT, Graph, Op, Phase, Schedule, Turn, Value, Window, turns


class Builder:
    """Ops one after the other."""

    def __init__(self, inputs: int = 1):
        self.values = [Value(INPUT, 8) for _ in range(inputs)]
        self.ops: list[Op] = []

    def op(self, name, reads, sizes=(1,), phase=Phase.FORWARD, base=None, **more) -> tuple[int, ...]:
        results = tuple(range(len(self.values), len(self.values) + len(sizes)))
        self.values += [Value(len(self.ops), 0 if base is not None else size, base) for size in sizes]
        self.ops.append(Op(name, tuple(reads), results, phase, **more))
        return results

    def graph(self, outputs=(), **more) -> Graph:
        return Graph(tuple(self.ops), tuple(self.values), tuple(outputs), **more)


def chain(layers: int, sizes=(4, 7), times=(1.0, 2.0), **more) -> Graph:
    """`layers` times as many ops in a row as there are sizes, and gradients that read the input of their op."""
    b, value = Builder(), 0
    inputs = []
    for layer in range(layers):
        for part, (size, time) in enumerate(zip(sizes, times, strict=True)):
            inputs.append((layer, part, value, size))
            (value,) = b.op(f"f{layer}.{part}", [value], [size], time=time, layer=layer)
    for layer, part, read, size in reversed(inputs):
        (value,) = b.op(f"b{layer}.{part}", [read, value], [size], Phase.BACKWARD, time=times[part], layer=layer)
    return b.graph([value], **more)


def drawn(rng: np.random.Generator, ops: int = 24) -> Graph:
    """A graph of any shape: views, several results, fixed ops, workspace, communication, batches in flight."""
    b, group = Builder(2), ["tp", ""]
    flying = int(rng.choice([1, 1, 2, 3]))
    windows: list[Window] = []
    half = int(rng.integers(3, ops - 2))

    def operands(among: list[int]) -> list[int]:
        return [int(v) for v in rng.choice(among, size=min(len(among), int(rng.integers(1, 4))), replace=False)]

    readable, waiting = [0, 1], []
    for index in range(ops):
        phase = Phase.FORWARD if index < half else Phase.BACKWARD
        reads = operands(readable)
        late = [v for v in readable if v > 1 and b.ops[b.values[v].producer].phase is Phase.FORWARD]
        if phase is Phase.BACKWARD and late:
            reads = list(dict.fromkeys([*reads, int(rng.choice(late))]))
        time = float(rng.integers(0, 9))
        more = {"time": time, "workspace": int(rng.integers(0, 6)) * int(rng.random() < 0.2)}
        kind = rng.random()
        if waiting and (kind < 0.4 or index in (half - 1, ops - 1)):
            window, result = waiting.pop()
            readable += b.op(f"wait{index}", [result], [int(rng.integers(1, 20))], phase, waits=window)
        elif kind < 0.5 and not waiting and index not in (half - 1, ops - 1):
            windows.append(Window(float(rng.integers(1, 9)), float(rng.choice([1.0, 0.8])), str(rng.choice(group))))
            (result,) = b.op(f"start{index}", reads, [int(rng.integers(0, 9))], phase, starts=len(windows) - 1)
            waiting.append((len(windows) - 1, result))
        elif kind < 0.65:
            readable += b.op(f"view{index}", reads, [0] * int(rng.integers(1, 3)), phase, base=reads[0])
        else:
            fixed = "draws from the global random stream" if rng.random() < 0.1 else ""
            sizes = rng.integers(0, 40, size=int(rng.integers(1, 4))).tolist()
            readable += b.op(f"op{index}", reads, sizes, phase, fixed=fixed, **more)
    outputs = [int(v) for v in rng.choice(readable[2:], size=min(2, len(readable) - 2), replace=False)]
    return b.graph(outputs, windows=tuple(windows), static=int(rng.integers(0, 50)), in_flight=flying)


def execute(graph: Graph, schedule: Schedule) -> tuple[int, list[bytes]]:
    """Run a schedule on real bytes: the most held at any time, and the outputs of the last micro-batch.

    Every op hashes what it reads. Micro-batches go through the pipeline as they would: as many forward passes as are
    in flight, then rounds, then the backward passes that are left. What comes back is there at the end of its way.
    """
    heap: dict[tuple[int, int, int], np.ndarray] = {}
    views: dict[tuple[int, int, int], tuple[tuple[int, int, int], int]] = {}
    away: dict[tuple[int, int], np.ndarray] = {}
    most = 0
    steps, acts = schedule.steps, turns(schedule.moves)
    turn = next((i for i, s in enumerate(steps) if graph.ops[s.op].phase is Phase.BACKWARD), len(steps))

    def run(batch: int, step, leaving=()) -> None:
        nonlocal most
        op, told = graph.ops[step.op], 17 + step.op
        places = {}
        for value, life in zip(op.reads, step.reads, strict=True):
            if graph.values[value].producer == INPUT:
                told = hash((told, value, batch))
                continue
            place, salt = views[batch, value, life]
            places[value] = (place, salt)
            told = hash((told, salt, heap[place].tobytes() if place in heap or place[1] >= 0 else b""))
        for number, value in enumerate(op.results):
            base = graph.values[value].base
            if base is None:
                place = (batch, value, step.life)
                heap[place] = np.frombuffer(
                    np.random.default_rng(abs(hash((told, number)))).bytes(graph.values[value].size), np.uint8
                )
                views[place] = (place, 0)
            else:
                place, salt = places.get(base) or ((batch, -1 - base, 0), 0)
                if graph.values[graph.storage[value]].producer == INPUT:
                    place = (batch, -1 - graph.storage[value], 0)
                views[batch, value, step.life] = (place, hash((salt, value)))
        most = max(most, graph.static + op.workspace + sum(array.nbytes for array in heap.values()))
        for move in leaving:
            away[move.value, move.life] = heap[0, move.value, move.life].copy()
        for value, life in step.frees:
            del heap[batch, value, life]

    def act(turn: Turn, move) -> None:
        back = (0, move.value, move.into)
        if turn is Turn.GONE:
            assert (0, move.value, move.life) not in heap
        elif turn is Turn.COME:
            heap[back] = np.full(graph.values[move.value].size, 7, np.uint8)
        elif turn is Turn.THERE:
            heap[back], views[back] = away[move.value, move.life], (back, 0)

    def leave(batch: int) -> list[bytes]:
        found = []
        for output in graph.outputs:
            place, salt = views[batch, output, 0]
            found.append((heap[place].tobytes() if place in heap else b"") + str(salt).encode())
        for key in [key for key in heap if key[0] == batch]:
            assert key in [views[batch, output, 0][0] for output in graph.outputs]
            del heap[key]
        return found

    if graph.in_flight == 1:
        for at, step in enumerate(steps):
            for turn, move in acts.get(at, ()):
                act(turn, move)
            run(0, step, [move for move in schedule.moves if move.leaves == at + 1])
        return most, leave(0)
    behind, told = graph.in_flight - 1, list[bytes]()
    for batch in range(behind):
        for step in steps[:turn]:
            if not step.life:
                run(batch, step)
    for batch in range(behind, behind + 3):
        for at, step in enumerate(steps):
            run(batch - behind if at >= turn or step.life else batch, step)
        told = leave(batch - behind)
    return most, told


def pipeline_stage(layers: int, flying: int = 2, seconds: float = 0.5) -> Graph:
    """Identical layers with a collective in each half of them, in both passes, as tensor parallelism has them."""
    b, windows, value, inputs = Builder(), list[Window](), 0, []

    def collective(name: str, read: int, size: int, phase: Phase, layer: int) -> int:
        windows.append(Window(seconds, 1.0, "tp"))
        (started,) = b.op(f"start_{name}", [read], [0], phase, starts=len(windows) - 1, layer=layer)
        (done,) = b.op(f"wait_{name}", [started], [size], phase, waits=len(windows) - 1, layer=layer)
        return done

    for layer in range(layers):
        (norm,) = b.op(f"norm{layer}", [value], [8], time=0.1, layer=layer)
        (attention,) = b.op(f"attention{layer}", [norm], [30], time=0.4, layer=layer)
        reduced = collective(f"f{layer}", attention, 8, Phase.FORWARD, layer)
        (up,) = b.op(f"up{layer}", [reduced], [20], time=1.0, layer=layer)
        (gelu,) = b.op(f"gelu{layer}", [up], [20], time=0.1, layer=layer)
        inputs.append((layer, value, norm, attention, up, gelu))
        (value,) = b.op(f"down{layer}", [gelu, reduced], [8], time=1.0, layer=layer)
    gradient, backward = value, Phase.BACKWARD
    for layer, read, norm, attention, up, gelu in reversed(inputs):
        (gradient,) = b.op(f"mlp{layer}", [up, gelu, gradient], [2], backward, time=4.0, layer=layer)
        gradient = collective(f"g{layer}", gradient, 2, backward, layer)
        (gradient,) = b.op(f"inner{layer}", [read, norm, attention, gradient], [2], backward, time=1.0, layer=layer)
    return b.graph([gradient], windows=tuple(windows), in_flight=flying)
