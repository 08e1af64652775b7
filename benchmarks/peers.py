"""Who runs a workload. A peer that cannot run says why, and stands in the table as "not measured".

| peer                     | is                                                                         |
|--------------------------|----------------------------------------------------------------------------|
| eager                    | the model                                                                  |
| torch.compile            | the model through torch's own compiler (inductor), for exactly these sizes |
| torch.nested             | `nn.TransformerEncoder` on nested tensors (`nested`)                       |
| hand-packed              | padding taken out by hand, in plain torch (`hand_packed`)                  |
| gossamer                 | the model through `gossamer.compile`                                       |
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gossamer
import torch
from torch import Tensor
from transformers import BertModel, T5EncoderModel, ViTModel

from .decode import Decode
from .hand_packed import BY_HAND
from .nested import NestedBert
from .timing import time_limit
from .workloads import Workload

EAGER, INDUCTOR, NESTED, PACKED, GOSSAMER = (
    "eager",
    "torch.compile",
    "torch.nested",
    "hand-packed",
    "gossamer",
)


@dataclass(frozen=True)
class Peer:
    """`run()` gives the result [batch, length, hidden]; None where the peer cannot run, and `note` says why."""

    name: str
    run: Callable[[], Tensor] | None
    note: str = ""


Model = Callable[..., Any]
Measurable = Workload | Decode


def of_model(name: str, workload: Measurable, model: Model) -> Peer:
    """A peer that is called as the workload's model is."""
    return Peer(name, lambda: model(**workload.inputs).last_hidden_state)


def eager(workload: Measurable) -> Peer:
    return of_model(EAGER, workload, workload.model)


def inductor(workload: Measurable, limit: float) -> Peer:
    """torch.compile, if it is done within `limit` seconds; it needs a C++ compiler."""
    if limit <= 0:
        return Peer(INDUCTOR, None, "left out")
    if not shutil.which(os.environ.get("CXX", "g++")) and not shutil.which("clang++"):
        return Peer(INDUCTOR, None, "there is no C++ compiler")
    torch.compiler.reset()
    model = torch.compile(workload.model, dynamic=False)
    if problem := trial(lambda: model(**workload.inputs), limit):
        return Peer(INDUCTOR, None, problem)
    return of_model(INDUCTOR, workload, model)


def trial(run: Callable[[], object], limit: float) -> str:
    """Run once; what went wrong, if anything did."""
    try:
        with time_limit(limit), torch.inference_mode():
            run()
    except TimeoutError as error:
        return str(error)
    except Exception as error:  # whatever a peer's compiler raises, it is told in the table
        found = error.__cause__ or error
        return f"{type(found).__name__}: {found}".splitlines()[0][:100]
    return ""


NOT_NESTED = {
    T5EncoderModel: "nn.TransformerEncoder has no relative positions",
    ViTModel: "its fast path wants masks that are left-aligned",
}
"""Why a kind of model has no form on torch's nested tensors."""


def nested(workload: Workload) -> Peer:
    if not isinstance(workload.model, BertModel):
        return Peer(NESTED, None, NOT_NESTED[type(workload.model)])
    model = NestedBert(workload.model).eval()
    return Peer(NESTED, lambda: model(**workload.inputs))


def by_hand(workload: Workload) -> Peer:
    write = BY_HAND[type(workload.model)]
    return Peer(PACKED, lambda: write(workload.model, *workload.inputs.values()))


def compiled(workload: Measurable) -> gossamer.CompiledModel:
    """The model through gossamer."""
    return gossamer.compile(workload.model, (), workload.inputs, **workload.options)
