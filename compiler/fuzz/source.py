"""The Python file that a model stands for: what runs is what a reproducer shows.

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.m1 = nn.Linear(8, 12)

    def forward(self, x, keep):
        v1 = self.m1(x)
        v3 = v1 * keep[..., None]
        return {"r0": v3}
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from .model import INPUT, Call, Model, Node, Type
from .ops import OPS, types_of
from .values import ARGUMENTS, code

PACK = "insert-gathers,sink-scatters"
GUARD = "guard-density{flops=1.0e6}"
SKIP = "insert-skips{rows=64 weights=1.0e3 start-k=0.0 copy-k=0.1 copy-n=0.1}"
KERNELS = "lower-products,fuse-launches,lower-kernels"
PASSES: dict[str, str] = {
    "packed": f"simplify,detect-sparsity,{PACK}",
    "guarded": f"simplify,detect-sparsity,{PACK},{GUARD}",
    "skipped": f"simplify,detect-sparsity,{SKIP}",
    "kernels": f"simplify,detect-sparsity,{SKIP},{KERNELS}",
    "narrow kernels": f"simplify,detect-sparsity,{SKIP},{KERNELS.replace(',', '{lanes=8 registers=16},')}",
    "all": f"simplify,detect-sparsity,{PACK},{GUARD},{SKIP},{KERNELS}",
}
"""Models as small as these pay on no machine: packed without a guard, or on machines that are very slow."""


def passes(model: Model) -> str:
    """The passes that a model runs through, as text."""
    text = PASSES[model.passes]
    if model.strict_nan:
        text = text.replace("copy-n=0.1}", "copy-n=0.1 strict-nan=true}")
    if model.approximate:
        text = re.sub(r"insert-skips{.*?}", r"threshold-activations{threshold=0.0},\g<0>,restore-activations", text)
    return text


SIZE = re.compile(r"\b[bst]\b")


def source(model: Model, *, clearing: Sequence[int] = (), more: bool = False, head: str = "") -> str:
    """The file of `model`. Nodes of `clearing` clear NaN and Inf where they may, `more` of it where they can."""
    types = types_of(model)
    assert types is not None
    own = ["import gossamer.runtime.custom_ops"] if any(node.op == "experts" for node in model.nodes) else []
    parts = [
        *([head] if head else []),
        "\n".join([*own, "import torch\nfrom torch import nn\nfrom torch.nn import functional"]),
        "\n".join(module(model, types, dict.fromkeys(clearing, more))),
        *("\n".join(call_function(model, call, number)) for number, call in enumerate(model.calls)),
        "\n".join(build(model)),
    ]
    return "\n\n\n".join(parts) + "\n"


def module(model: Model, types: list[Type], clearing: Mapping[int, bool]) -> Iterator[str]:
    """The lines of the class."""
    yield from ("class Model(nn.Module):", "    def __init__(self):", "        super().__init__()")
    for name, text in state(model, types).items():
        buffer = text.removeprefix("buffer ")
        yield f"        self.{name} = {text}" if buffer == text else f'        self.register_buffer("{name}", {buffer})'
    arguments = [name for name in ARGUMENTS if name in model.arguments()]
    body = list(chain.from_iterable(lines(model, types, index, clearing) for index in range(len(model.nodes))))
    yield ""
    yield f"    def forward(self, {', '.join(arguments)}):"
    for line in (*sizes(arguments, "\n".join(body)), *body, f"return {results(model)}"):
        yield f"        {line}"


def state(model: Model, types: list[Type]) -> dict[str, str]:
    """What the module holds, by name."""
    found: dict[str, str] = {}
    for node in model.nodes:
        if node.op != INPUT:
            for suffix, text in OPS[node.op].state.items():
                found.setdefault(f"m{node.slot}{suffix}", written(text, model, types, node))
    return found


def sizes(arguments: list[str], body: str) -> Iterator[str]:
    """The lines that name the sizes which the body needs."""
    for size in sorted({*SIZE.findall(body)}):
        name = next((name for name in arguments if size in ARGUMENTS[name].dims), None)
        if name is not None:
            yield f"{size} = {name}.shape[{ARGUMENTS[name].dims.index(size)}]"


def lines(model: Model, types: list[Type], index: int, clearing: Mapping[int, bool]) -> list[str]:
    """The lines that compute node `index`."""
    node = model.nodes[index]
    if node.op == INPUT:
        return []
    op = OPS[node.op]
    text = op.code if index not in clearing else (clearing[index] and op.clears_more) or op.clears
    if not isinstance(text, str):
        text = text[node.parameter]
    if "{r}" not in text:
        text = "{r} = " + text
    return written(text, model, types, node, index).splitlines()


def written(text: str, model: Model, types: list[Type], node: Node, index: int = 0) -> str:
    """An op's code or state with its braces filled (see `op.py`)."""
    values = [value(model, i) for i in node.inputs]
    found = {"r": f"v{index}", "p": node.parameter, "m": f"self.m{node.slot}", "dtype": f"torch.{model.dtype}"}
    found |= {f"p{k}": word for k, word in enumerate(node.parameter.split())}
    for k, (name, i) in enumerate(zip(values, node.inputs, strict=True)):
        found[f"bool{k}"] = name if types[i].kind == "bool" else f"({name} != 0)"
        found[f"last{k}"] = types[i].dims[-1] if types[i].dims else ""
    if len(values) > 1:
        missing = len(types[node.inputs[0]].dims) - len(types[node.inputs[1]].dims)
        found["rows"] = f"[..., {', '.join(['None'] * missing)}]" if missing > 0 else ""
    return text.format(*values, **found, last=found.get("last0", ""))


def value(model: Model, index: int) -> str:
    """What the value of a node is called."""
    node = model.nodes[index]
    return node.parameter if node.op == INPUT else f"v{index}"


def results(model: Model) -> str:
    """What `forward` returns."""
    return "{" + ", ".join(f'"r{k}": {value(model, index)}' for k, index in enumerate(model.results)) + "}"


def call_function(model: Model, call: Call, number: int) -> Iterator[str]:
    """The function that gives the arguments of one call."""
    values: Mapping[str, str] = dict(call.values)
    body = [f"{name} = {code(name, values[name], model.dtype)}" for name in ARGUMENTS if name in values]
    known = dict(call.sizes)
    used = [size for size in known if re.search(rf"\b{size}\b", "\n".join(body))]
    yield f"def call_{number}():"
    yield f"    torch.manual_seed({call.seed})"
    if used:
        yield f"    {', '.join(used)} = {', '.join(str(known[size]) for size in used)}"
    yield from (f"    {line}" for line in body)
    yield "    return {" + ", ".join(f'"{name}": {name}' for name in ARGUMENTS if name in values) + "}"


def build(model: Model) -> Iterator[str]:
    """The function that `gossamer run FILE.py:model` calls, and what the fuzzer asks besides."""
    options: dict[str, object] = {"dynamic_shapes": "auto"} if model.dynamic else {}
    if model.dont_care:
        options["dont_care"] = {f"r{result}": name for result, name in model.dont_care}
    mode = "train" if model.training else "eval"
    yield f"OPTIONS = {options!r}".replace("'", '"')
    yield f"CALLS = [{', '.join(f'call_{k}' for k in range(len(model.calls)))}]"
    settings = {"passes": passes(model), "gradients": model.gradients, "also": list(model.also)}
    yield f"SETTINGS = {settings!r}".replace("'", '"')
    yield ""
    yield ""
    yield "def model():"
    yield f"    torch.manual_seed({model.seed})"
    yield f"    return Model().to(torch.{model.dtype}).{mode}(), (), call_0(), OPTIONS"


def clearable(model: Model, *, exact: bool = False) -> list[int]:
    """Nodes that may give something else where there is NaN or Inf: see `Op.clears`."""
    types = types_of(model) or []
    skips = "insert-skips" in passes(model) and not model.strict_nan

    def may(node: Node) -> bool:
        op = OPS[node.op]
        mask = types[node.inputs[-1]].mask
        when = {"mask": mask and not exact, "hidden": True, "gate": skips, "export": True}
        return bool(op.clears) and when[op.when]

    return [index for index, node in enumerate(model.nodes) if node.op != INPUT and may(node)]
