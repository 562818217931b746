"""What /metrics says: every target as each agent sees it, and how this master and its agents are.

Times are seconds, losses shares. Counters count what this master stored since it started. Cardinality is bounded:
histograms for the first `MOST_HISTOGRAMS` series, other numbers for the first `MOST_SERIES`; how many were left out
is a metric itself.
"""

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from smokemesh.model.rounds import RoundBatch

MOST_SERIES: Final = 10_000
MOST_HISTOGRAMS: Final = 1_000
#: Upper bounds of the RTT buckets: 50 µs to 26 s by powers of two, as smokeping_prober has them.
BUCKETS: Final = tuple(50e-6 * 2**k for k in range(20))
#: Counters of a batch that are kept for each series: column -> help.
_COUNTS: Final = {
    "sent": "Pings sent.",
    "received": "Pings answered, late ones included.",
    "late": "Pings answered after the timeout.",
    "duplicates": "Answers beyond the first to one ping.",
    "reordered": "Answers that were overtaken by a later one.",
    "corrupted": "Answers that came back damaged.",
    "errors": "Pings answered by an ICMP error or refused by the agent's system.",
}
#: Numbers of the newest round: name -> help, as columns of `SeriesTable.newest`.
_NEWEST: Final = {
    "last_round_timestamp_seconds": "Begin of the newest round.",
    "loss_ratio": "Share lost in the newest round.",
    "median_rtt_seconds": "Median RTT of the newest round.",
}
_BOUNDS: Final = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")
_LABELS: Final = ("agent", "target", "probe", "address")


@dataclass(frozen=True, slots=True)
class Label:
    """What a task number means."""

    target: str
    probe: str
    #: Only where a name has several addresses that are measured each.
    address: str = ""


class SeriesTable:
    """Running numbers of each (agent, task), a row each. Safe from any thread."""

    def __init__(
        self, most: int = MOST_SERIES, histograms: int = MOST_HISTOGRAMS, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._most, self._clock, self._lock = most, clock, threading.Lock()
        self._rows: dict[tuple[str, int], int] = {}
        self._left_out: set[tuple[str, int]] = set()
        self.rounds = np.zeros(0, np.int64)
        self.counts = np.zeros((0, len(_COUNTS)), np.int64)
        self.total = np.zeros(0)
        self.newest = np.zeros((0, 3))
        self.buckets = np.zeros((histograms, len(BUCKETS) + 1), np.int64)

    def publish(self, agent: str, batch: RoundBatch) -> None:
        """Count stored rounds."""
        if len(batch) == 0:
            return
        with self._lock:
            rows = self._place(agent, batch.task)
            kept = rows >= 0
            np.add.at(self.rounds, rows[kept], 1)
            columns = np.stack([getattr(batch, name) for name in _COUNTS], axis=1).astype(np.int64)
            np.add.at(self.counts, rows[kept], columns[kept])
            self._count_rtts(rows, batch)
            self._keep_newest(rows, batch)

    def snapshot(self) -> tuple[dict[tuple[str, int], int], int]:
        """Row of each (agent, task), and how many were left out."""
        with self._lock:
            return dict(self._rows), len(self._left_out)

    def _place(self, agent: str, tasks: NDArray[np.uint64]) -> NDArray[np.int64]:
        numbers, place = np.unique(tasks, return_inverse=True)
        return np.array([self._row((agent, number)) for number in numbers.tolist()], np.int64)[place]

    def _row(self, key: tuple[str, int]) -> int:
        row = self._rows.get(key)
        if row is not None:
            return row
        if len(self._rows) >= self._most:
            self._left_out.add(key)
            return -1
        row = self._rows[key] = len(self._rows)
        if row >= len(self.rounds):
            self._grow(max(64, 2 * row))
        return row

    def _grow(self, size: int) -> None:
        for name in ("rounds", "counts", "total", "newest"):
            old = getattr(self, name)
            new = np.zeros((size, *old.shape[1:]), old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    def _count_rtts(self, rows: NDArray[np.int64], batch: RoundBatch) -> None:
        of = np.repeat(rows, np.diff(batch.offsets))
        good = ~np.isnan(batch.rtts) & (of >= 0)
        of, rtts = of[good], batch.rtts[good].astype(np.float64)
        np.add.at(self.total, of, rtts)
        fine = of < len(self.buckets)
        np.add.at(self.buckets, (of[fine], np.searchsorted(BUCKETS, rtts[fine])), 1)

    def _keep_newest(self, rows: NDArray[np.int64], batch: RoundBatch) -> None:
        """Time, loss and median RTT of the newest round of each row; one out of the future hides no other."""
        medians = _medians(batch)
        latest = self._clock() / 1e9 + batch.step
        for i in np.argsort(batch.time, kind="stable").tolist():
            row, begin = int(rows[i]), batch.time[i] / 1e9
            if row < 0 or begin > latest[i]:
                continue
            held = self.newest[row, 0]
            if begin >= held or held > latest[i]:
                sent = int(batch.sent[i])
                loss = (sent - int(batch.received[i])) / sent if sent else np.nan
                self.newest[row] = begin, loss, medians[i]


def _medians(batch: RoundBatch) -> NDArray[np.float64]:
    """Median RTT of each round, NaN where nothing was answered."""
    matrix = np.sort(batch.matrix(), axis=1)  # NaN sorts last
    answered = batch.received.astype(np.int64)
    if matrix.shape[1] == 0:
        return np.full(len(batch), np.nan)
    at = np.arange(len(batch))
    low, high = matrix[at, np.maximum(answered - 1, 0) // 2], matrix[at, answered // 2]
    return np.where(answered > 0, (low + high) / 2.0, np.nan)


class Metrics:
    """Everything this master counts."""

    def __init__(self) -> None:
        self.series = SeriesTable()
        #: Requests of agents that were refused, by code of the error.
        self.refusals: Counter[str] = Counter()

    def refused(self, code: str) -> None:
        """A request was refused."""
        self.refusals[code] += 1

    def render(self, gauges: "Gauges", labels: Mapping[int, Label]) -> bytes:
        """The page in Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(_Page(gauges, self.refusals))
        ProcessCollector(registry=registry)
        return generate_latest(registry) + "".join(_series(self.series, labels)).encode()


@dataclass(frozen=True, slots=True)
class Gauges:
    """What /metrics says beside the series: rows of (name, help, labels, value)."""

    rows: tuple[tuple[str, str, dict[str, str], float], ...]

    def families(self) -> Iterator[Metric]:
        """Rows of one name as one metric; a name that ends in `_total` is a counter."""
        families: dict[str, Metric] = {}
        for name, text, labels, value in self.rows:
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = families.setdefault(name, kind(name, text, labels=list(labels)))
            family.add_metric(list(labels.values()), value)  # type: ignore[attr-defined]
        yield from families.values()


class _Page(Collector):
    def __init__(self, gauges: Gauges, refusals: Mapping[str, int]) -> None:
        self._gauges, self._refusals = gauges, dict(refusals)

    def collect(self) -> Iterable[Metric]:
        yield from self._gauges.families()
        refusals = CounterMetricFamily("smokemesh_requests_refused_total", "Agents' requests refused.", labels=["code"])
        for code, count in self._refusals.items():
            refusals.add_metric([code], count)
        yield refusals


def _series(table: SeriesTable, labels: Mapping[int, Label]) -> Iterator[str]:
    """The lines of all series. Written here because the library takes ten times as long for thousands of them."""
    rows, left_out = table.snapshot()
    known = [
        (row, _labels(agent, labels.get(task) or Label(f"task {task}", ""))) for (agent, task), row in rows.items()
    ]
    yield from _family("rounds_total", "counter", "Rounds stored.", known, table.rounds)
    for column, (name, text) in enumerate(_COUNTS.items()):
        yield from _family(f"{name}_total", "counter", text, known, table.counts[:, column])
    lost = table.counts[:, 0] - table.counts[:, 1]
    yield from _family("lost_total", "counter", "Pings without an answer.", known, lost)
    for column, (name, text) in enumerate(_NEWEST.items()):
        yield from _family(name, "gauge", text, known, table.newest[:, column])
    yield from _histograms(table, known)
    yield from _family("series_left_out", "gauge", "Series without metrics of their own.", [(0, "")], [left_out])


def _labels(agent: str, label: Label) -> str:
    pairs = zip(_LABELS, (agent, label.target, label.probe, label.address), strict=True)
    return ",".join(f'{name}="{_escape(value)}"' for name, value in pairs)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _family(
    name: str, kind: str, text: str, known: list[tuple[int, str]], values: NDArray[Any] | list[int]
) -> Iterator[str]:
    yield f"# HELP smokemesh_{name} {text}\n# TYPE smokemesh_{name} {kind}\n"
    numbers = np.asarray(values).tolist()
    for row, labels in known:
        yield f"smokemesh_{name}{{{labels}}} {_number(numbers[row])}\n"


def _histograms(table: SeriesTable, known: list[tuple[int, str]]) -> Iterator[str]:
    yield "# HELP smokemesh_rtt_seconds RTTs of answered pings.\n# TYPE smokemesh_rtt_seconds histogram\n"
    running = np.cumsum(table.buckets, axis=1).tolist()
    for row, labels in known:
        if row < len(running):
            for bound, count in zip(_BOUNDS, running[row], strict=True):
                yield f'smokemesh_rtt_seconds_bucket{{{labels},le="{bound}"}} {count}\n'
            yield f"smokemesh_rtt_seconds_count{{{labels}}} {running[row][-1]}\n"
            yield f"smokemesh_rtt_seconds_sum{{{labels}}} {float(table.total[row])!r}\n"


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else repr(value)
