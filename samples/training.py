"""A training step within a memory budget: the last part of `make demo`.

    step = gossamer.compile_training(model, loss_fn, (ids,), memory_budget="60%")
    loss = step(ids)        # forward and backward in one program; gradients are in .grad

GPT-2 with random weights and dropout, at budgets from all that eager keeps down to the least that can be met. Loss and
gradients are compared with eager's, bit for bit, and the predicted peak with what torch's allocator gave out.
"""

import argparse

import gossamer
import torch
from gossamer.dialects.diagnostics import UserError
from rich.console import Console
from rich.table import Table
from transformers import GPT2Config, GPT2LMHeadModel

MIB = 2**20


def main() -> None:
    known = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known.add_argument("--quick", action="store_true", help="a small model, two budgets")
    arguments = known.parse_args()
    layers, width, tokens = (2, 32, 16) if arguments.quick else (6, 128, 64)
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=layers,
        n_embd=width,
        n_head=4,
        vocab_size=1000,
        n_positions=tokens,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config).train()
    ids = torch.randint(1000, (8, tokens))

    def loss_fn(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
        return model(ids, labels=ids).loss

    wanted = eager(model, loss_fn, ids)
    table = Table(title=f"GPT-2, {layers} layers of {width}, 8 x {tokens} tokens: one training step")
    for name in ("budget", "MiB", "predicted", "measured", "computed again", "loss, gradients"):
        table.add_column(name, justify="right")
    step = gossamer.compile_training(model, loss_fn, (ids,))
    for budget in ("100%", "90%") if arguments.quick else ("100%", "80%", "60%", "50%", "40%", "30%"):
        try:
            step.fit((ids,), budget)
        except UserError as error:
            print(f"{budget}: {error.message}; {error.details[0]}")
            continue
        assert all(map(torch.equal, compiled(model, step, ids), wanted)), f"{budget}: other gradients than eager"
        found = step.memory
        sizes = (f"{(count or 0) / MIB:.2f}" for count in (found.budget, found.predicted, found.measured))
        table.add_row(budget, *sizes, f"{found.recomputed / found.seconds:.1%}", "eager's bits")
    Console().print(table)
    print(step.explain())


def eager(model: torch.nn.Module, loss_fn, ids: torch.Tensor) -> list[torch.Tensor]:
    """The loss and all gradients of torch."""
    model.zero_grad()
    torch.manual_seed(1)
    loss = loss_fn(model, ids)
    loss.backward()
    return [loss.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def compiled(model: torch.nn.Module, step, ids: torch.Tensor) -> list[torch.Tensor]:
    """The loss and all gradients of a compiled step."""
    model.zero_grad()
    torch.manual_seed(1)
    return [step(ids), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


if __name__ == "__main__":
    main()
