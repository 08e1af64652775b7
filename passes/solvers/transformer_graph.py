"""A stage of a transformer as a `Graph`: what each op of its forward and backward pass reads, makes, takes.

    stage_graph(model, execution, rates, Part(8, first=True))

    0.norm1  0.qkv  0.scores  0.softmax  0.attention  0.projection  0.reduce1.start  0.reduce1.wait  0.residual1
    0.norm2  0.fc1  0.gelu  0.fc2  0.reduce2.start  0.reduce2.wait  0.residual2    1.norm1 ..
    .. 0.gelu.gradient  0.fc1.gradient  0.fc1.weight  0.reduce3.start  0.reduce3.wait  0.norm2.gradient ..

Products take as long as their operations or the bytes they move, whichever is longer; all else the bytes it moves.
Collectives are windows; what one reads stays until it is over. Masks of dropout are ops of their own,
drawn from a key, so that they can be drawn again.
"""

from dataclasses import dataclass

from .recompute_graph import Graph, Phase
from .transformer import Execution, Sizes, Transformer, columns
from .transformer_ops import ADDS, Builder, Rates

SENDS = "sends to another stage"


@dataclass(frozen=True)
class Part:
    """Which part of the model a stage is: so many layers, with the embedding, with the head."""

    layers: int
    first: bool = False
    last: bool = False


@dataclass(frozen=True)
class Saved:
    """What the backward pass of a layer may read."""

    x: int
    norm1: int
    qkv: int
    core: tuple[int, ...]
    attention: int
    mask1: list[int]
    residual1: int
    norm2: int
    fc1: int
    gelu: int
    mask2: list[int]


def stage_graph(
    model: Transformer, execution: Execution, rates: Rates, part: Part, *, static: int = 0, in_flight: int = 1
) -> Graph:
    """The forward and backward pass of one micro-batch through a stage, on one rank."""
    b = Builder(Sizes(model, execution), rates)
    x, masks = embed(b) if part.first else (receive(b, "receive"), [])
    saved: list[Saved] = []
    for b.layer in range(part.layers):
        kept, x = forward_layer(b, x)
        saved.append(kept)
    b.layer = None
    head = forward_head(b, x) if part.last else []
    if not part.last:
        b.add("send", (x,), (), 0.0, fixed=SENDS)
    b.phase = Phase.BACKWARD
    gradient = backward_head(b, head) if part.last else receive(b, "receive gradient")
    for b.layer in reversed(range(part.layers)):
        gradient = backward_layer(b, saved[b.layer], gradient)
    b.layer = None
    finish(b, gradient, masks, first=part.first)
    return Graph(tuple(b.ops), tuple(b.values), (), tuple(b.windows), static, in_flight)


def receive(b: Builder, name: str) -> int:
    """A tensor from the stage before, or after."""
    return b.stream(name, (), b.sizes.shard, moved=0.0, fixed="comes from another stage")


def embed(b: Builder) -> tuple[int, list[int]]:
    """Rows of the table and of positions, summed over ranks, dropped."""
    whole, shard = b.sizes.hidden, b.sizes.shard
    rows = b.reduce("reduce", b.stream("embedding", (), whole, moved=3 * whole))
    masks = b.mask("mask", shard // 2)
    return (b.stream("dropped", [rows, *masks], shard, moved=2.5 * shard) if masks else rows), masks


def finish(b: Builder, gradient: int, masks: list[int], *, first: bool) -> None:
    """The gradient goes to the stage before, or into the embedding."""
    if not first:
        b.add("send gradient", (gradient,), (), 0.0, fixed=SENDS)
        return
    shard, whole = b.sizes.shard, b.sizes.hidden
    if masks:
        gradient = b.stream("dropped.gradient", [gradient, *masks], shard, moved=2.5 * shard)
    gradient = b.gather("gather", gradient)
    b.add("embedding.weight", (gradient,), (), 3 * whole / b.rates.memory, fixed=ADDS)


def forward_layer(b: Builder, x: int) -> tuple[Saved, int]:
    """Attention, then two linears, each with norm, residual and dropout."""
    n, h, t = b.sizes.tokens, b.sizes.model.hidden, b.sizes.execution.ranks
    whole, shard, split = b.sizes.hidden, b.sizes.shard, b.sizes.split
    norm1 = b.stream("norm1", (x,), shard, moved=2 * shard)
    gathered = b.gather("gather1", norm1)
    qkv = b.product("qkv", (gathered,), 3 * split, 6 * n * h * h / t, whole + 3 * split + 6 * h * h / t)
    core, attention = forward_attention(b, qkv)
    partial = b.product("projection", (attention,), whole, 2 * n * h * h / t, split + whole + 2 * h * h / t)
    mask1, residual1 = drop(b, "1", b.reduce("reduce1", partial), x)
    norm2 = b.stream("norm2", (residual1,), shard, moved=2 * shard)
    gathered = b.gather("gather2", norm2)
    fc1 = b.product("fc1", (gathered,), 4 * split, 8 * n * h * h / t, whole + 4 * split + 8 * h * h / t)
    gelu = b.stream("gelu", (fc1,), 4 * split, moved=8 * split)
    partial = b.product("fc2", (gelu,), whole, 8 * n * h * h / t, 4 * split + whole + 8 * h * h / t)
    mask2, residual2 = drop(b, "2", b.reduce("reduce2", partial), residual1)
    return Saved(x, norm1, qkv, core, attention, mask1, residual1, norm2, fc1, gelu, mask2), residual2


def drop(b: Builder, which: str, reduced: int, residual: int) -> tuple[list[int], int]:
    """residual + dropout(reduced), and the mask."""
    shard = b.sizes.shard
    mask = b.mask(f"mask{which}", shard // 2)
    moved = 3 * shard + shard // 2 * len(mask)
    return mask, b.stream(f"residual{which}", [reduced, residual, *mask], shard, moved=moved)


def forward_attention(b: Builder, qkv: int) -> tuple[tuple[int, ...], int]:
    """What lies between qkv and the projection: values that the backward pass reads, and the result."""
    n, h, s, t = b.sizes.tokens, b.sizes.model.hidden, b.sizes.execution.sequence, b.sizes.execution.ranks
    split, scores = b.sizes.split, b.sizes.scores
    if b.sizes.execution.fused:
        time = max(4 * n * s * h / t / b.rates.attention, 4 * split / b.rates.memory)
        attention, logarithms = b.add("attention", (qkv,), b.new(split, b.sizes.logarithms), time)
        return (attention, logarithms), attention
    raw = b.product("scores", (qkv,), scores, 2 * n * s * h / t, 2 * split + scores)
    softmax = b.stream("softmax", (raw,), scores, moved=2 * scores)
    mask = b.mask("mask", scores // 2)
    dropped = b.stream("dropped", [softmax, *mask], scores, moved=2.5 * scores) if mask else softmax
    attention = b.product("attention", (dropped, qkv), split, 2 * n * s * h / t, scores + 2 * split)
    return (softmax, dropped, *mask), attention


def backward_layer(b: Builder, saved: Saved, gradient: int) -> int:
    """The gradient of the layer's input from that of its result."""
    h, t, n = b.sizes.model.hidden, b.sizes.execution.ranks, b.sizes.tokens
    whole, shard, split = b.sizes.hidden, b.sizes.shard, b.sizes.split
    inner = undrop(b, "2", gradient, saved.mask2)
    linear = (8 * n * h * h / t, 4 * split + whole + 8 * h * h / t)
    wide = b.product("fc2.gradient", (inner,), 4 * split, *linear)
    b.weight("fc2.weight", (inner, saved.gelu), *linear)
    wide = b.stream("gelu.gradient", (wide, saved.fc1), 4 * split, moved=12 * split)
    inner = input_gradient(b, "fc1", "3", wide, saved.norm2, linear)
    middle = b.stream("norm2.gradient", (inner, saved.residual1, gradient), shard, moved=4 * shard)
    inner = undrop(b, "1", middle, saved.mask1)
    linear = (2 * n * h * h / t, split + whole + 2 * h * h / t)
    narrow = b.product("projection.gradient", (inner,), split, *linear)
    b.weight("projection.weight", (inner, saved.attention), *linear)
    wide = backward_attention(b, saved, narrow)
    linear = (6 * n * h * h / t, whole + 3 * split + 6 * h * h / t)
    inner = input_gradient(b, "qkv", "4", wide, saved.norm1, linear)
    return b.stream("norm1.gradient", (inner, saved.x, middle), shard, moved=4 * shard)


def undrop(b: Builder, which: str, gradient: int, mask: list[int]) -> int:
    """The gradient of what was dropped, whole on every rank."""
    shard = b.sizes.shard
    if mask:
        gradient = b.stream(f"residual{which}.gradient", [gradient, *mask], shard, moved=2.5 * shard)
    return b.gather(f"gather{int(which) + 4}", gradient)


def input_gradient(b: Builder, name: str, which: str, wide: int, norm: int, linear: tuple[float, float]) -> int:
    """The gradient of a linear's input, summed over ranks, and that of its weight before or meanwhile."""
    whole, execution = b.sizes.hidden, b.sizes.execution
    gathered = b.gather(f"gather{which}", norm)
    partial = b.product(f"{name}.gradient", (wide,), whole, *linear)
    if not execution.overlap_weights or execution.ranks == 1:
        b.weight(f"{name}.weight", (wide, gathered), *linear)
        return b.reduce(f"reduce{which}", partial)
    pending = b.start_reduce(f"reduce{which}", partial)
    b.weight(f"{name}.weight", (wide, gathered), *linear)
    return b.wait(pending, b.sizes.shard)


def backward_attention(b: Builder, saved: Saved, gradient: int) -> int:
    """The gradient of qkv."""
    n, h, s, t = b.sizes.tokens, b.sizes.model.hidden, b.sizes.execution.sequence, b.sizes.execution.ranks
    split, scores = b.sizes.split, b.sizes.scores
    if b.sizes.execution.fused:
        time = max(10 * n * s * h / t / b.rates.attention, 8 * split / b.rates.memory)
        return b.add("attention.gradient", (gradient, saved.qkv, *saved.core), b.new(3 * split), time)[0]
    softmax, dropped, *mask = saved.core
    product = (4 * n * s * h / t, 2 * scores + 3 * split)
    inner, values = b.add(
        "attention.gradient", (gradient, dropped, saved.qkv), b.new(scores, split), b.product_time(*product)
    )
    if mask:
        inner = b.stream("dropped.gradient", (inner, *mask), scores, moved=2.5 * scores)
    inner = b.stream("softmax.gradient", (inner, softmax), scores, moved=3 * scores)
    return b.product("scores.gradient", (inner, values, saved.qkv), 3 * split, product[0], scores + 6 * split)


def forward_head(b: Builder, x: int) -> list[int]:
    """Norm, logits, and the loss: its values that the backward pass reads."""
    n, h, own = b.sizes.tokens, b.sizes.model.hidden, columns(b.sizes.model, b.sizes.execution)
    shard, whole, logits = b.sizes.shard, b.sizes.hidden, b.sizes.logits
    norm = b.stream("norm", (x,), shard, moved=2 * shard)
    made = b.product("logits", (b.gather("gather", norm),), logits, 2 * n * h * own, whole + logits + 2 * h * own)
    return [x, norm, b.stream("loss", (made,), 2 * logits, moved=5 * logits)]


def backward_head(b: Builder, head: list[int]) -> int:
    """The gradient of the last layer's result."""
    n, h, own = b.sizes.tokens, b.sizes.model.hidden, columns(b.sizes.model, b.sizes.execution)
    shard, whole, logits = b.sizes.shard, b.sizes.hidden, b.sizes.logits
    x, norm, softmax = head
    made = b.stream("loss.gradient", (softmax,), logits, moved=3 * logits)
    inner = input_gradient(b, "logits", "", made, norm, (2 * n * h * own, whole + logits + 2 * h * own))
    return b.stream("norm.gradient", (inner, x), shard, moved=3 * shard)
