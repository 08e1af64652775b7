"""Kernels: what executes an op of our own dialects. Importing this package registers all of them."""

from . import (
    attention,
    collectives,
    cross_entropy,
    dense_products,
    domains,
    elementwise,
    launch,
    launch_tiles,
    moves,
    products,
    spiking,
    tiers,
    tiles,
)
from .registry import KERNELS, bind, kernel

__all__ = [
    "KERNELS",
    "attention",
    "bind",
    "collectives",
    "cross_entropy",
    "dense_products",
    "domains",
    "elementwise",
    "kernel",
    "launch",
    "launch_tiles",
    "moves",
    "products",
    "spiking",
    "tiers",
    "tiles",
]
