"""Who runs a workload. A peer that cannot run says why, and stands in the table as "not measured".

| peer                     | is                                                                         |
|--------------------------|----------------------------------------------------------------------------|
| eager                    | the model                                                                  |
| torch.compile (inductor) | the model through torch's own compiler, for exactly these sizes            |
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
from transformers import BertModel

from .hand_packed import BY_HAND
from .nested import NestedBert
from .timing import time_limit
from .workloads import Workload

EAGER, INDUCTOR, NESTED, PACKED, GOSSAMER = (
    "eager",
    "torch.compile (inductor)",
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


def of_model(name: str, workload: Workload, model: Callable[..., Any]) -> Peer:
    """A peer that is called as the workload's model is."""
    return Peer(name, lambda: model(**workload.inputs).last_hidden_state)


def eager(workload: Workload) -> Peer:
    return of_model(EAGER, workload, workload.model)


def inductor(workload: Workload, limit: float) -> Peer:
    """torch.compile, if it is done within `limit` seconds; it needs a C++ compiler."""
    if limit <= 0:
        return Peer(INDUCTOR, None, "left out")
    if not shutil.which(os.environ.get("CXX", "g++")) and not shutil.which("clang++"):
        return Peer(INDUCTOR, None, "there is no C++ compiler")
    torch.compiler.reset()
    peer = of_model(INDUCTOR, workload, torch.compile(workload.model, dynamic=False))
    if (problem := trial(peer, limit)) is not None:
        return Peer(INDUCTOR, None, problem)
    return peer


def trial(peer: Peer, limit: float) -> str | None:
    """Run once; what went wrong, if anything did."""
    assert peer.run is not None
    try:
        with time_limit(limit):
            peer.run()
    except TimeoutError as error:
        return str(error)
    except Exception as error:  # whatever a peer's compiler raises, it is told in the table
        found = error.__cause__ or error
        return f"{type(found).__name__}: {str(found).strip().splitlines()[0][:80] if str(found).strip() else ''}"
    return None


def nested(workload: Workload) -> Peer:
    if not isinstance(workload.model, BertModel):
        return Peer(NESTED, None, "nn.TransformerEncoder has no such layer, or needs left-aligned masks")
    model = NestedBert(workload.model).eval()
    return Peer(NESTED, lambda: model(**workload.inputs))


def by_hand(workload: Workload) -> Peer:
    write = BY_HAND[type(workload.model)]
    return Peer(PACKED, lambda: write(workload.model, *workload.inputs.values()))


def compiled(workload: Workload) -> Peer:
    return of_model(GOSSAMER, workload, gossamer.compile(workload.model, (), workload.inputs, **workload.options))
