"""A GPT as its sizes say: parameters, and bytes of its tensors, in closed form.

16-bit activations, masks of one byte (Korthikanti et al., arXiv 2205.05198). Fused attention keeps a 4-byte
logarithm of a sum for each row of scores, and no scores.
"""

from dataclasses import dataclass

VOCABULARY = 50257
BYTES_A_PARAMETER = 18
"""16-bit weight; 32-bit gradient, weight and two moments of Adam."""


@dataclass(frozen=True)
class Transformer:
    """A decoder: so many layers, so wide, with so many heads."""

    layers: int
    hidden: int
    heads: int
    vocabulary: int = VOCABULARY


MODELS = {
    "gpt-1.3b": Transformer(24, 2048, 16),
    "gpt-2.7b": Transformer(32, 2560, 32),
    "gpt-6.7b": Transformer(32, 4096, 32),
    "gpt-13b": Transformer(40, 5120, 40),
    "gpt-20b": Transformer(44, 6144, 48),
}


@dataclass(frozen=True)
class Execution:
    """How a model runs: `sequence` tokens, `batch` sequences in a micro-batch, `ranks` that share every layer.

    `fused` attention keeps no scores. `sequence_parallel` ranks share norms, dropout and residuals too.
    `overlap_weights`: gradients of weights are computed while the gradient of the input is reduced.
    """

    sequence: int = 2048
    batch: int = 1
    ranks: int = 1
    fused: bool = False
    sequence_parallel: bool = False
    dropout: bool = True
    overlap_weights: bool = False


@dataclass(frozen=True)
class Sizes:
    """Bytes of the tensors of one layer on one rank."""

    model: Transformer
    execution: Execution

    @property
    def hidden(self) -> int:
        """A full [sequence, batch, hidden]."""
        return 2 * self.tokens * self.model.hidden

    @property
    def tokens(self) -> int:
        return self.execution.sequence * self.execution.batch

    @property
    def shard(self) -> int:
        """What of it norms, dropout and residuals hold."""
        return self.hidden // self.execution.ranks if self.execution.sequence_parallel else self.hidden

    @property
    def split(self) -> int:
        """Its share where heads or columns are split over ranks."""
        return self.hidden // self.execution.ranks

    @property
    def scores(self) -> int:
        """Attention scores of this rank's heads."""
        rows = self.tokens * self.model.heads // self.execution.ranks
        return 2 * rows * self.execution.sequence

    @property
    def logarithms(self) -> int:
        """What fused attention keeps of the scores."""
        return 4 * self.tokens * self.model.heads // self.execution.ranks

    @property
    def logits(self) -> int:
        """16-bit logits of this rank's part of the vocabulary."""
        return 2 * self.tokens * columns(self.model, self.execution)


def columns(model: Transformer, execution: Execution) -> int:
    """The vocabulary's share of one rank, padded to a multiple of 128 as Megatron does."""
    unit = 128 * execution.ranks
    return -(-model.vocabulary // unit) * 128


def layer_parameters(model: Transformer, ranks: int) -> int:
    """Weights and biases of one layer on one rank."""
    h = model.hidden
    return (12 * h * h + 7 * h) // ranks + 6 * h


def stage_parameters(model: Transformer, execution: Execution, layers: int, *, first: bool, last: bool) -> int:
    """Those of a stage; the embedding stands at both ends."""
    table = columns(model, execution) * model.hidden
    ends = (table + execution.sequence * model.hidden) * first + (table + 2 * model.hidden) * last
    return layers * layer_parameters(model, execution.ranks) + ends
