"""Which classes of modules have another form, and how a model takes it for a while.

    class Halves(nn.Module):                       @gossamer.adapters.register(Halves)
        def forward(self, x):                      def halves(module):
            if x.sum() > 0:                            def forward(x):
                return self.one(x)                         return torch.where(x.sum() > 0, module.one(x), module.two(x))
            return self.two(x)                         return forward

An adapter gets a module and gives the function that stands for its `forward` (on the same weights), or None where this
one is to stay as it is. It is put on the module itself, and taken off again: neither classes nor weights change.
A subclass that inherits `forward` is adapted too; one that has its own is not.
"""

import hashlib
import importlib
import inspect
import io
import token
import tokenize
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from textwrap import dedent
from typing import Any

from torch import nn

Adapter = Callable[[Any], Callable[..., Any] | None]

ADAPTERS: dict[type | str, Adapter | str] = {
    "transformers.models.*Experts": "experts:as_one_op",
    "transformers.models.*.SwitchTransformersTop1Router": "routed:cast_apart",
    "transformers.models.*.SwitchTransformersSparseMLP": "capacity:switch",
    "transformers.models.*.NllbMoeTop2Router": "routed:cast_apart",
    "transformers.models.*.NllbMoeExperts": "capacity:nllb",
    "transformers.models.*.LongformerSelfAttention": "longformer:attention",
    "snntorch._neurons.*": "snntorch:neuron",
    "norse.torch.module.snn.SNN*": "norse:neuron",
    "spikingjelly.activation_based.neuron.*": "spikingjelly:neuron",
}
"""By class, or by pattern of its dotted name: an adapter, or where in this package it is. The latest is asked first."""


def register(which: type | str) -> Callable[[Adapter], Adapter]:
    """Register an adapter for a class, or for all whose dotted name fits a pattern, `"library.models.*Router"`.

        @gossamer.adapters.register("library.routing.Top1Router")
        def top1(module):
            return lambda x: torch.ops.library.route(x, module.weight)

    The class need not have been imported. Raises TypeError for what is neither.
    """
    if not isinstance(which, str) and not (isinstance(which, type) and issubclass(which, nn.Module)):
        raise TypeError(f"adapters are for classes of modules or patterns of their names, not for {which!r}")

    def enter(adapter: Adapter) -> Adapter:
        ADAPTERS.pop(which, None)
        ADAPTERS[which] = adapter
        return adapter

    return enter


def dotted(cls: type) -> str:
    """`library.module.Class`"""
    return f"{cls.__module__}.{cls.__qualname__}"


def kin(module: nn.Module) -> Iterator[type]:
    """The class of `module` and those above it, up to the one whose `forward` it runs."""
    for cls in type(module).__mro__:
        yield cls
        if "forward" in vars(cls):
            return


def adapters_of(module: nn.Module) -> Iterator[Adapter]:
    """Adapters for the class of `module`, the latest first."""
    classes = list(kin(module))
    for which, adapter in reversed(ADAPTERS.items()):
        if any(fnmatchcase(dotted(c), which) if isinstance(which, str) else c is which for c in classes):
            yield load(adapter) if isinstance(adapter, str) else adapter


def load(place: str) -> Adapter:
    """The adapter at `file:function` of this package."""
    file, _, name = place.partition(":")
    return getattr(importlib.import_module(f"{__package__}.{file}"), name)


@contextmanager
def adapted(model: nn.Module) -> Iterator[dict[str, str]]:
    """Let `model` run in its other form; gives what was adapted: `{"layers.0.mlp": "MixtralExperts as moe_experts"}`.

    with gossamer.adapters.adapted(model):
        fast = torch.compile(model, backend="gossamer")
        fast(x)
    """
    given: list[nn.Module] = []
    notes: dict[str, str] = {}
    try:
        for name, module in model.named_modules():
            if "forward" in vars(module):
                continue
            forward = next(filter(None, (adapter(module) for adapter in adapters_of(module))), None)
            if forward is not None:
                vars(module)["forward"] = forward
                given.append(module)
                notes[name or "self"] = f"{type(module).__name__} as {forward.__name__}"
        yield notes
    finally:
        for module in given:
            vars(module).pop("forward", None)


def reads(function: object) -> str:
    """A digest of a function's text but for comments, docstring and layout: the same in every version that reads alike.

    Our own adapters stand for the texts that they were tested against. Empty where there is no text.
    """
    try:
        source = dedent(inspect.getsource(inspect.unwrap(function)))  # pyright: ignore[reportArgumentType]
    except (OSError, TypeError):
        return ""
    skipped = {token.COMMENT, token.NL, token.NEWLINE, token.INDENT, token.DEDENT, token.ENDMARKER}
    tokens = [t.string for t in whole_strings(source) if t.type not in skipped]
    words = [word for word in tokens if word != "," and not word.startswith(('"""', 'r"""'))]
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:12]


def whole_strings(source: str) -> Iterator[tokenize.TokenInfo]:
    """The tokens of a text, an f-string as one: from Python 3.12 on it is told in parts."""
    lines, opened = source.splitlines(keepends=True), list[tokenize.TokenInfo]()
    for part in tokenize.generate_tokens(io.StringIO(source).readline):
        name = token.tok_name[part.type]
        if name == "FSTRING_START":
            opened.append(part)
        elif name == "FSTRING_END":
            start = opened.pop()
            if not opened:
                (top, left), (bottom, right) = start.start, part.end
                text = "".join(lines[top - 1 : bottom])
                text = text[left : len(text) - len(lines[bottom - 1]) + right]
                yield part._replace(type=token.STRING, string=text, start=start.start)
        elif not opened:
            yield part
