"""Networks as text, with random weights, for tests of what runs them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from gossamer.compiler.context import make_context, parse_text
from gossamer.dialects.snn import InputOp, NetworkOp
from gossamer.passes.lower_kernels import LowerKernels
from gossamer.passes.lower_networks import LowerNetworks
from gossamer.runtime.spiking.engine import Engine
from gossamer.runtime.spiking.network import Network, read_network
from xdsl.dialects.builtin import ModuleOp

ELEMENTS = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64", "int16": "i16", "uint16": "i16"}

PARAMETERS = {
    "threshold euler": "",
    "i euler": "r = 0.9",
    "if euler": "r = 0.9",
    "if shift": "floor = -7",
    "li euler": "rate = 0.3, leak = 0.1, r = 1.5",
    "li exponential": "decay = 0.8, leak = 0.1, gain = 0.5",
    "li quotient": "tau = 3.0, leak = 0.1",
    "li shift": "shift = 2, floor = -7",
    "lif euler": "rate = 0.3, leak = -0.1, r = 1.5",
    "lif exponential": "decay = 0.8, leak = 0.1, gain = 0.7",
    "lif quotient": "tau = 2.0, leak = 0.1",
    "lif shift": "shift = 2, floor = -7",
    "cuba_li euler": "rate = 0.3, rate_syn = 0.4, leak = 0.1, r = 1.5, w_in = 0.8",
    "cuba_li exponential": "decay = 0.8, decay_syn = 0.7, leak = 0.1, gain = 0.4, w_in = 0.8",
    "cuba_lif euler": "rate = 0.3, rate_syn = 0.4, leak = 0.1, r = 1.5, w_in = 0.8",
    "cuba_lif exponential": "decay = 0.8, decay_syn = 0.7, leak = 0.1, gain = 0.4, w_in = 0.8",
    "alif exponential": "decay = 0.8, decay_adapt = 0.9, leak = 0.1, gain = 0.7, beta = 0.3, step = 1.0",
    "izhikevich euler": "dt = 0.5, a = 0.02, b = 0.2, d = 2.0",
}
"""Models and discretisations that plain torch tells here (`plain.py`), with parameters."""
FRAMEWORKS = {
    "li euler_leak": "rate = 0.3, leak = 0.1",
    "li quotient_leak": "tau = 3.0, leak = 0.1",
    "lif euler_leak": "rate = 0.3, leak = 0.1",
    "lif quotient_leak": "tau = 2.0, leak = 0.1",
    "cuba_alif euler": "rate = 0.3, rate_syn = 0.4, rate_adapt = 0.1, leak = 0.1, beta = 0.3",
    "izhikevich euler_rates": "rate = 0.5, rate_u = 0.01, b = 0.2, d = 2.0, square = 0.04, slope = 5.0, bias = 140.0",
}
"""Those that frameworks have, which the tests of their adapters hold them against."""
EVERY = PARAMETERS | FRAMEWORKS
SILENT = tuple(name for name in EVERY if name.split()[0] in ("i", "li", "cuba_li"))
"""Those that never fire."""


def population(
    name: str,
    shape: str,
    kind: str,
    *,
    element: str = "f32",
    fires: str = "gt reset zero now",
    threshold: object = 0.5,
    more: str = "",
    **parameters: object,
) -> str:
    """One line of a network; `parameters` stand for those of the table."""
    values: dict[str, object] = {**dict(part.split(" = ") for part in EVERY[kind].split(", ") if part)}
    if kind not in SILENT:
        values["threshold"] = threshold
    values |= parameters
    if "reset value" in fires and kind not in SILENT and "reset" not in values:
        values["reset"] = -0.25 if element.startswith("f") else -2
    texts = [
        f"{key} = {value if str(value).startswith('@') else f'{value} : {element}'}" for key, value in values.items()
    ]
    firing = "" if kind in SILENT else f"fires {fires}"
    return f"snn.population @{name} <{shape}> : {element} {kind} {{{', '.join(texts)}}} {firing} {more}"


@dataclass
class Example:
    """Lines of a network @n and its weights."""

    lines: str
    weights: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def declarations(self) -> str:
        shapes = {name: "".join(f"{size}x" for size in weight.shape) for name, weight in self.weights.items()}
        types = {name: shapes[name] + ELEMENTS[str(weight.dtype)] for name, weight in self.weights.items()}
        return "\n".join(f'aten.weight constant @{name} : tensor<{kind}> digest "0"' for name, kind in types.items())

    def module(self, records: Sequence[str] = ()) -> ModuleOp:
        """The module; with a function @forward that records these, if there are any."""
        text = f"{self.declarations}\nsnn.network @n dt 1.0e-3 {{\n{self.lines}\n}}"
        return parse_text(text + forward(parse_text(text), records)) if records else parse_text(text)

    def network(self) -> Network:
        return network_of(self.module(), self.weights)


def forward(module: ModuleOp, records: Sequence[str]) -> str:
    """A function that runs the network of a module."""
    network = next(op for op in module.ops if isinstance(op, NetworkOp))
    types = {
        op.sym_name.data: f"tensor<?x?x{''.join(f'{n}x' for n in op.sizes)}{getattr(op, 'type', 'f32')}>"
        for op in network.populations()
    }
    inputs = [types[op.sym_name.data] for op in network.populations() if isinstance(op, InputOp)]
    made = [types[record.partition(".")[0]] for record in records]
    names = [f"%x{place}" for place in range(len(inputs))]
    arguments = ", ".join(f"{name}: {kind}" for name, kind in zip(names, inputs, strict=True))
    results = [f"%r#{place}" for place in range(len(made))] if len(made) > 1 else ["%r"]
    recorded = ", ".join(f'"{record}"' for record in records)
    return f"""
    func.func @forward({arguments}) -> ({", ".join(made)}) {{
      %r{f":{len(made)}" if len(made) > 1 else ""} = snn.run @n({", ".join(names)}) records [{recorded}]
        : ({", ".join(inputs)}) -> {", ".join(made)}
      func.return {", ".join(results)} : {", ".join(made)}
    }}"""


def network_of(module: ModuleOp, weights: Mapping[str, np.ndarray]) -> Network:
    """The network of a module."""
    op = next(op for op in module.ops if isinstance(op, NetworkOp))
    op.verify()
    return read_network(op, weights)


def spikes(steps: int, batch: int, *shape: int, rate: float = 0.3, seed: int = 0) -> np.ndarray:
    """Random spikes."""
    return (np.random.default_rng(seed).random((steps, batch, *shape)) < rate).astype(np.float32)


def uniform(*shape: int, low: float = -1.0, high: float = 1.0, seed: int = 1) -> np.ndarray:
    """Random numbers."""
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


def integers(*shape: int, low: int = -4, high: int = 6, seed: int = 1) -> np.ndarray:
    """Random integers."""
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.int32)


def engine_of(example: Example, records: list[str]) -> Engine:
    """The engine of a network whose run records these; the test is skipped where nothing compiles."""
    pytest.importorskip("llvmlite")
    module = example.module(records)
    for step in (LowerNetworks(), LowerKernels()):
        step.apply(make_context(), module)
    module.verify()
    lowered = next(entry for entry in module.ops if isinstance(entry, NetworkOp))
    engine = Engine.build(lowered, read_network(lowered, example.weights))
    assert engine is not None
    return engine
