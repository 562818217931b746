"""Benchmarks: each prints one JSON line with our figure, the peer's measured in the same run, and the ratio."""
