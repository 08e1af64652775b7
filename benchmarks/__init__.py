"""Ratios against peers: `python -m benchmarks`, and what imports: `python -m benchmarks.zoo`."""
