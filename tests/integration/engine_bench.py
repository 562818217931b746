"""Runs rounds on one engine until they are finished; for the tests of engines."""

import time
from collections.abc import Sequence

from smokemesh.model.probe import Probe
from smokemesh.model.rounds import RoundBatch
from smokemesh.probes.engine import Engine, RoundRequest


def measure(
    engine: Engine, probes: Probe | Sequence[Probe], *, address: str = "127.0.0.1", host: str = ""
) -> RoundBatch:
    """A round of each probe; task `i` is probe `i`. Fails when they do not end in ten seconds beyond their time."""
    probes = [probes] if isinstance(probes, Probe) else probes
    now = time.monotonic()
    engine.start([RoundRequest(i, i, now, address, probe, host) for i, probe in enumerate(probes)])
    return collect(engine, len(probes), 10.0 + max(probe.duration for probe in probes))


def collect(engine: Engine, rounds: int, patience: float = 20.0) -> RoundBatch:
    """The next so many finished rounds, by task."""
    until = time.monotonic() + patience
    batches = []
    while sum(map(len, batches)) < rounds:
        assert time.monotonic() < until, f"{engine.busy} rounds did not end"
        engine.run(time.monotonic() + 0.05)
        batches.append(engine.take())
    return RoundBatch.concatenate(batches)
