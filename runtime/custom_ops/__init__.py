"""Our own torch ops: what a program calls as `gossamer.*`. Importing this package registers all of them.

They need torch alone, so that a saved program runs without the library that its model came from.
"""

from .dropout import dropout
from .experts import moe_experts
from .neurons import neuron_step

__all__ = ["dropout", "moe_experts", "neuron_step"]
