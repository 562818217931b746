"""Thousands of targets through the whole path, for minutes: is a round missed, late or doubled, and what does it cost?

    python -m benchmarks.rounds [--targets 10000] [--minutes 10] [--peer-targets 2000] [--peer-rounds 3]

Beside it SmokePing measures as many loopback addresses as it can in the same step, by its own fping.
"""
