"""Charts: all targets as all agents see them, ranked by median, loss, highest RTT or deviation over any range.

All charts of a range come from one answer of the store. What has no value is left out: nothing answered has no RTT,
and who lost nothing does not stand in a chart of loss. Seconds and shares.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smokemesh.errors import NotFound
from smokemesh.master.web import ranges, status
from smokemesh.master.web.language import Catalogue
from smokemesh.model.target import Node, Target
from smokemesh.settings.shape import Chart, MasterSettings
from smokemesh.storage.ranking import Standing
from smokemesh.storage.store import RoundStore

#: The charts when the configuration names none: name and sorter; their titles are texts of the page.
DEFAULTS: Final = (("median", "median"), ("loss", "loss"), ("max", "max"), ("stddev", "deviation"))
#: What `from` says for the newest round of each.
NEWEST: Final = "round"
DEFAULT_FROM: Final = "now-1h"
#: Ranges the pages offer; any other may be written.
OFFERED: Final = (NEWEST, "1h", "3h", "24h", "7d", "30d", "1y")
#: Medians are known of so many at least; who asks for more waits for all of them.
FIRST_KNOWN: Final = 200
#: Seconds an answer of the store is used again, for everybody, at least and as a share of its range; how many are kept.
FRESH_FOR: Final = 10.0
_FRESH_SHARE: Final = 1 / 1000
_MOST_KEPT: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a chart."""

    rank: int
    node: Node
    target: Target
    agent: str
    #: Which address of the name, where each is measured.
    address: str
    #: What it is ranked by.
    value: float
    median: float
    loss: float
    greatest: float
    deviation: float
    sent: int
    received: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A chart with its first entries."""

    chart: Chart
    #: How many there are in all.
    count: int
    entries: tuple[Entry, ...]


def charts_of(settings: MasterSettings, texts: Catalogue) -> tuple[Chart, ...]:
    """The charts there are: those of the configuration, else all four."""
    if settings.presentation.charts:
        return settings.presentation.charts
    return tuple(
        Chart(name=name, menu=texts(f"chart_{sorter}"), title=texts(f"chart_{sorter}"), sorter=sorter)
        for name, sorter in DEFAULTS
    )


def chart_named(charts: Sequence[Chart], name: str) -> Chart:
    """The chart of that name, whatever the case; NotFound names those there are."""
    for chart in charts:
        if chart.name.lower() == name.lower():
            return chart
    raise NotFound(f"chart {name}: no such chart; there are {', '.join(chart.name for chart in charts)}")


_VALUES: Final[dict[str, Callable[[Standing], NDArray[np.float64]]]] = {
    "median": lambda all_: all_.median,
    "loss": lambda all_: np.where(all_.loss > 0, all_.loss, np.nan),
    "max": lambda all_: all_.greatest,
    "deviation": lambda all_: all_.deviation,
}


def rank(chart: Chart, all_: Standing, known: Sequence["Known | None"], most: int) -> Ranked:
    """The first `most` of a chart, the highest first; `known` tells for each row what it is, None for nothing we show."""
    values = _VALUES[chart.sorter](all_)
    shown = np.array([one is not None for one in known], bool)
    rows = np.flatnonzero(~np.isnan(values) & shown)
    # Those far behind may lack the median that would rank them: they count all the same.
    count = int(np.count_nonzero((all_.received > 0) & shown)) if chart.sorter == "median" else len(rows)
    # A stable order of equals: that of the tree.
    places = np.array([one.place if one else 0 for one in known], np.int64)
    order = rows[np.lexsort((places[rows], -values[rows]))]
    entries = (_entry(k + 1, all_, int(row), float(values[row]), known[int(row)]) for k, row in enumerate(order[:most]))
    return Ranked(chart=chart, count=count, entries=tuple(entry for entry in entries if entry))


@dataclass(frozen=True, slots=True)
class Known:
    """What a row of the store's answer is."""

    node: Node
    target: Target
    address: str
    #: Its place in the tree.
    place: int


def recognize(now: status.Snapshot, all_: Standing) -> list[Known | None]:
    """What each row is in this configuration: hidden places, and agents that measure a target no more, are left out."""
    known: dict[int, Known] = {}
    for place, node in enumerate(_measured(now.settings.tree)):
        assert node.target is not None
        for task in now.tasks.get(node.target.path, ()):
            known[task.id] = Known(node, node.target, task.address, place)
    found = (known.get(task) for task in all_.task.tolist())
    return [one if one and agent in one.target.agents else None for one, agent in zip(found, all_.agent, strict=True)]


def _measured(node: Node) -> Iterator[Node]:
    return (one for one in status.visible(node) if one.target is not None)


def _entry(rank: int, all_: Standing, row: int, value: float, known: Known | None) -> Entry | None:
    if known is None:
        return None
    return Entry(
        rank=rank,
        node=known.node,
        target=known.target,
        agent=all_.agent[row],
        address=known.address,
        value=value,
        median=float(all_.median[row]),
        loss=float(all_.loss[row]),
        greatest=float(all_.greatest[row]),
        deviation=float(all_.deviation[row]),
        sent=int(all_.sent[row]),
        received=int(all_.received[row]),
    )


@dataclass(frozen=True, slots=True)
class Window:
    """The range of a chart, as written and as read."""

    begin: str
    end: str
    span: ranges.Range

    @property
    def newest(self) -> bool:
        """Only the newest round of each counts."""
        return self.begin == NEWEST

    @property
    def offered(self) -> str:
        """Which of the offered ranges it is, "" for another."""
        if self.newest:
            return NEWEST
        return self.begin.removeprefix("now-") if self.end == "now" and self.begin.startswith("now-") else ""


def window(begin: str, end: str, settings: MasterSettings, now: int) -> Window:
    """The range of a request; the last hour when it says nothing."""
    if begin == NEWEST:
        steps = [status.probe_of(settings, target).step for target in settings.targets]
        lasting = status.LATE_STEPS * max(steps, default=60.0) + status.patience(settings)
        return Window(NEWEST, "now", ranges.Range(now - round(lasting * ranges.NANO), now, True))
    written = begin or DEFAULT_FROM, end or "now"
    return Window(*written, ranges.parse_range(*written, now))


def fresh_for(asked: Window) -> float:
    """Seconds an answer for this range may be used again: a minute and a half for a day."""
    return max(FRESH_FOR, asked.span.seconds * _FRESH_SHARE)


class Rankings:
    """Answers of the store, asked once for everybody who looks at the same range."""

    def __init__(self, store: RoundStore, clock: Callable[[], int]) -> None:
        self._store, self._clock = store, clock
        self._lock = threading.Lock()
        self._held: dict[tuple[str, str, bool], tuple[int, Standing]] = {}

    def over(self, asked: Window, most: int) -> Standing:
        """Every series over a range; the first `most` by any figure have a median."""
        every = most > FIRST_KNOWN
        key, now = (asked.begin, asked.end, every), self._clock()
        with self._lock:
            when, held = self._held.get(key, (0, None))
            if held is not None and 0 <= now - when <= fresh_for(asked) * ranges.NANO:
                return held
            found = self._store.ranking(
                asked.span.begin, asked.span.end, newest=asked.newest, most=0 if every else FIRST_KNOWN
            )
            self._held.pop(key, None)
            while len(self._held) >= _MOST_KEPT:
                self._held.pop(next(iter(self._held)))
            self._held[key] = (now, found)
            return found
