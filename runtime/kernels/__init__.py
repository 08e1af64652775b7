"""Kernels: what executes an op of our own dialects. Importing this package registers all of them."""

from . import (
    attention,
    collectives,
    cross_entropy,
    dense_products,
    domains,
    elementwise,
    flash_attention,
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
    "flash_attention",
    "kernel",
    "launch",
    "launch_tiles",
    "moves",
    "products",
    "spiking",
    "tiers",
    "tiles",
]
