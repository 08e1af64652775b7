"""Products of which only listed outputs are read, against eager: candidates of a vocabulary, and top-k gates."""

from collections.abc import Callable
from typing import Any

import gossamer
import pytest
import torch
import transformers
from gossamer.compiler.explain import explain
from gossamer.dialects.diagnostics import UserError
from gossamer.dialects.sparse import ListedOp
from gossamer.tests.passes.test_skip_models import BEFORE, FREE, PIPELINE, skips
from torch import Tensor, nn
from torch.nn import functional
from xdsl.dialects.builtin import ModuleOp

WIDTH, WORDS = 16, 40
Read = Callable[..., Tensor]


class Head(nn.Module):
    """`read` of the scores of all words."""

    def __init__(self, read: Read, bias: bool = True):
        super().__init__()
        self.scores, self.read = nn.Linear(WIDTH, WORDS, bias), read

    def forward(self, x: Tensor, i: Tensor) -> Tensor:
        return self.read(self.scores(x), i)


def fixed(scores: Tensor, _: Tensor) -> Tensor:
    return (scores[:, 5] - scores[:, -1]).tanh()


READS: dict[str, Read] = {
    "index": lambda scores, i: scores[..., i],
    "index_select": lambda scores, i: scores.index_select(-1, i),
    "gather": lambda scores, i: scores.gather(-1, i.expand(len(scores), -1)),
    "take_along_dim": lambda scores, i: scores.take_along_dim(i[None], -1),
    "embedding": lambda scores, i: functional.embedding(i, scores.t()),
    "a word of each row": lambda scores, i: scores[torch.arange(len(scores)), i[: len(scores)]],
    "after row-wise work": lambda scores, i: (scores.double() / 0.7).tanh()[:, i].log_softmax(-1),
    "two lists": lambda scores, i: scores[:, i].logsumexp(-1) - scores[:, (i + 1) % WORDS].logsumexp(-1),
    "a list and a word": lambda scores, i: scores[:, i] - scores[:, 3].sum(),
    "single words": fixed,
    "a list in the model": lambda scores, i: scores[:, [7, 7, -2]].softmax(-1),
    "the best of others": lambda scores, i: scores.gather(-1, scores.detach().sin()[:, :5].topk(2).indices),
}


def compiled(net: nn.Module, *args: Tensor, **options: Any) -> gossamer.CompiledModel:
    return gossamer.compile(net.eval(), args, pipeline=PIPELINE, **options)


def lists(module: ModuleOp) -> int:
    return sum(isinstance(op, ListedOp) for op in module.walk())


def same(fast: nn.Module, net: nn.Module, *args: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(fast(*args), net(*args), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in READS if name != "the best of others"])
def test_scores_that_nobody_reads_are_not_computed(name: str):
    torch.manual_seed(0)
    rows = 1 if name in ("gather", "two lists") else 3
    net, x = Head(READS[name], bias=rows == 1), torch.randn(rows, WIDTH)
    fast = compiled(net, x, torch.tensor([4, 9, 9, 31]), check=True)
    assert skips(fast) == ["n"]
    assert lists(fast.module) == 1
    for drawn in ([0, 0, 0, 0], [39, 38, 1, 0], *torch.randint(0, WORDS, (3, 4)).tolist()):
        same(fast, net, torch.randn(rows, WIDTH), torch.tensor(drawn))


def test_scores_that_say_what_is_read_are_computed():
    """Some are read to find the list."""
    net = Head(READS["the best of others"])
    fast = compiled(net, torch.randn(2, WIDTH), torch.zeros(1, dtype=torch.int64))
    assert skips(fast) == []


def test_entries_from_the_end_and_outside():
    net, x = Head(READS["index"]), torch.randn(2, WIDTH)
    fast = compiled(net, x, torch.tensor([1, 2]))
    same(fast, net, x, torch.tensor([-1, -WORDS]))
    for outside in (WORDS, -WORDS - 1):
        given = torch.tensor([0, outside])
        with pytest.raises(IndexError):
            net(x, given)
        with pytest.raises(UserError, match="out of bounds"):
            fast(x, given)


def test_gather_has_no_entries_from_the_end():
    net, x = Head(READS["gather"]), torch.randn(2, WIDTH)
    fast, given = compiled(net, x, torch.tensor([1, 2])), torch.tensor([0, -1])
    with pytest.raises(RuntimeError):
        net(x, given)
    with pytest.raises(UserError, match="out of bounds"):
        fast(x, given)


def test_any_number_of_rows_and_candidates():
    net = Head(lambda scores, i: scores.gather(-1, i))
    fast = compiled(net, torch.randn(2, WIDTH), torch.randint(0, WORDS, (2, 3)), dynamic_shapes="auto")
    assert skips(fast) == ["n"]
    for rows, count in ((2, 3), (1, 1), (5, 0), (0, 4), (40, 2), (3, 200)):
        same(fast, net, torch.randn(rows, WIDTH), torch.randint(0, WORDS, (rows, count)))


def test_numbers_that_are_not_finite_stay_where_they_are_read():
    """A score that nobody reads may be anything: its weight need not be finite, and nothing is trusted."""
    net, x = Head(READS["index"]), torch.randn(1, WIDTH)
    with torch.no_grad():
        net.scores.weight[3] = torch.nan
        net.scores.weight[4, 1] = torch.inf
    fast = compiled(net, x, torch.tensor([1, 2]), strict_nan=True)
    assert skips(fast) == ["n"]
    for given in (torch.tensor([1, 2]), torch.tensor([3, 4]), torch.tensor([4, 1])):
        with torch.no_grad():
            torch.testing.assert_close(fast(x, given), net(x, given), equal_nan=True)


def test_gradients_are_those_of_the_dense_model():
    net, x, i = Head(READS["index"]).double(), torch.randn(2, WIDTH, dtype=torch.float64), torch.tensor([4, 4, 30])
    fast, grads = compiled(net, x, i), []
    for model in (net, fast):
        net.zero_grad()
        given = x.clone().requires_grad_()
        model(given, i).square().sum().backward()
        grads.append([given.grad, *(parameter.grad for parameter in net.parameters())])
    torch.testing.assert_close(*grads)


class TopK(nn.Module):
    """down(gate * up(x)), of the gate only the `count` largest numbers."""

    def __init__(self, count: int, mask: bool = False):
        super().__init__()
        self.gate, self.up = nn.Linear(WIDTH, WORDS), nn.Linear(WIDTH, WORDS)
        self.down, self.count, self.mask = nn.Linear(WORDS, WIDTH), count, mask

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(x)
        values, indices = gate.topk(self.count, dim=-1)
        if self.mask:
            return self.down(functional.silu(gate) * torch.zeros_like(gate).scatter(-1, indices, 1.0) * self.up(x))
        return self.down(torch.zeros_like(gate).scatter(-1, indices, functional.silu(values)) * self.up(x))


@pytest.mark.parametrize("mask", [False, True], ids=["values", "mask"])
@pytest.mark.parametrize(("count", "rows"), [(0, 3), (1, 1), (4, 3), (WORDS, 1)])
def test_a_gate_of_the_largest_skips_the_others(mask: bool, count: int, rows: int):
    torch.manual_seed(1)
    net, x = TopK(count, mask), torch.randn(rows, WIDTH)
    fast = compiled(net, x)
    assert skips(fast) == ([] if count == WORDS else ["n", "k"])
    for _ in range(3):
        same(fast, net, torch.randn(rows, WIDTH))


def test_gradients_of_a_gate_reach_what_was_chosen():
    net, x, grads = TopK(4).double().eval(), torch.randn(2, WIDTH, dtype=torch.float64), []
    fast = compiled(net, x)
    for model in (net, fast):
        net.zero_grad()
        given = x.clone().requires_grad_()
        model(given).square().sum().backward()
        grads.append([given.grad, *(parameter.grad for parameter in net.parameters())])
    torch.testing.assert_close(*grads)


def test_the_density_of_a_list_is_measured_and_told():
    """Of eight entries five are different; without a call it is at most eight."""
    net, x = Head(READS["index"]), torch.randn(1, WIDTH)
    given = torch.tensor([1, 1, 1, 2, 3, 4, 5, 5])
    (line,) = explain(compiled(net, x, given)).skips.lines
    assert (line.where, line.axis, line.decision) == ("listed(%i)", "n", "skips")
    assert line.density == 5 / WORDS
    module = compiled(net, x, given, calibrate=[((x, torch.arange(8)), {})])
    assert [line.density for line in explain(module).skips.lines] == [6.5 / WORDS]


def test_a_long_list_is_the_dense_product():
    net, x = Head(READS["index"]), torch.randn(1, WIDTH)
    fast = compiled(net, x, torch.arange(WORDS).repeat(3))
    assert skips(fast) == []
    assert "density 1.000 in the examples" in explain(fast).skips.lines[0].reason


def test_many_rows_may_share_a_short_list():
    """The list is known to be short however many rows there are."""
    net = Head(READS["index"])
    fast = compiled(net, torch.randn(64, WIDTH), torch.tensor([1, 2]))
    assert skips(fast) == ["n"]
    same(fast, net, torch.randn(64, WIDTH), torch.tensor([5, 39]))


class Candidates(nn.Module):
    """How likely each of some words is to come next."""

    def __init__(self, **options: Any):
        super().__init__()
        torch.manual_seed(0)
        sizes = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        config: Any = transformers.LlamaConfig
        self.net = transformers.LlamaForCausalLM(config(vocab_size=WORDS, **sizes))
        self.options = options

    def forward(self, ids: Tensor, candidates: Tensor) -> Tensor:
        scores = self.net(input_ids=ids, use_cache=False, **self.options).logits[:, -1]
        return scores.gather(-1, candidates).log_softmax(-1)


@pytest.mark.parametrize("dynamic", [None, "auto"])
def test_a_language_model_that_scores_candidates(dynamic: str | None):
    net = Candidates(logits_to_keep=1).eval()
    ids, candidates = torch.randint(0, WORDS, (2, 6)), torch.randint(0, WORDS, (2, 3))
    fast = compiled(net, ids, candidates, dynamic_shapes=dynamic)
    assert skips(fast) == ["n"]
    same(fast, net, ids, candidates)
    if dynamic:
        same(fast, net, torch.randint(0, WORDS, (3, 4)), torch.randint(0, WORDS, (3, 7)))


def test_bitwise_keeps_the_whole_product():
    net, x = Head(READS["index"]), torch.randn(2, WIDTH)
    fast = gossamer.compile(net, (x, torch.tensor([1, 2])), exact="bitwise", pipeline=[*BEFORE, FREE])
    assert skips(fast) == []
