"""What a layer of a transformer keeps and does on one rank, in closed form (Korthikanti et al., arXiv 2205.05198).

| activations of one layer and rank                  | bytes                               |
|----------------------------------------------------|-------------------------------------|
| all that the backward pass reads                   | s b h (10 + 24 / t + 5 a s / (h t)) |
| the same, sequence parallel                        | s b h / t (34 + 5 a s / h)          |
| without attention scores                           | the same, without 5 a s             |
| the layer's input alone                            | 2 s b h, sequence parallel 2 s b h / t |
"""

from gossamer.passes.solvers.transformer import Execution, Transformer


def activation_bytes(model: Transformer, execution: Execution) -> int:
    """What the backward pass of one layer reads, in closed form."""
    n, a, t = execution.sequence * execution.batch, model.heads, execution.ranks
    width, mask = n * model.hidden, 1 if execution.dropout else 0
    whole = width * (8 + 2 * mask) // (t if execution.sequence_parallel else 1)
    core = 4 * n * a // t if execution.fused else n * a * execution.sequence * (5 if execution.dropout else 2) // t
    return whole + 24 * width // t + core


def layer_operations(model: Transformer, execution: Execution) -> int:
    """Operations of one layer's forward pass on one rank: 24 n h^2 (1 + s / (6 h)) / t; backward twice as many."""
    n, h = execution.sequence * execution.batch, model.hidden
    return (24 * n * h * h + 4 * n * execution.sequence * h) // execution.ranks
