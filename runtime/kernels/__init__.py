"""Kernels: what executes an op of our own dialects. Importing this package registers all of them."""

from . import attention, domains, launch, launch_tiles, moves, products, spiking, tiles
from .registry import KERNELS, bind, kernel

__all__ = [
    "KERNELS",
    "attention",
    "bind",
    "domains",
    "kernel",
    "launch",
    "launch_tiles",
    "moves",
    "products",
    "spiking",
    "tiles",
]
