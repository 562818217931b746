"""Every task as every agent saw it over one range, in a few numbers each: what charts rank.

A range is put together from the fewest whole bins: days where days fit, hours before and after them, five minutes at
the edges. So it is counted to five minutes, and at most about a hundred rows of each series are read for a month.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from smokemesh.storage import arrows
from smokemesh.storage.schema import BINS

SECOND: Final = 1_000_000_000
#: Ranges up to this, seconds, are counted round by round.
_ROUND_BY_ROUND: Final = 900


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standing:
    """`n` series, in no order. Seconds; NaN where nothing was answered."""

    task: NDArray[np.uint64]
    agent: Sequence[str]
    rounds: NDArray[np.uint64]
    sent: NDArray[np.uint64]
    received: NDArray[np.uint64]
    flags: NDArray[np.uint32]
    #: Of all answered pings of the range.
    median: NDArray[np.float64]
    greatest: NDArray[np.float64]
    #: Population standard deviation of all answered pings.
    deviation: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.task)

    @property
    def loss(self) -> NDArray[np.float64]:
        """Share of pings that got no answer; NaN where nothing was sent."""
        sent = self.sent.astype(np.float64)
        return np.divide(sent - self.received, sent, out=np.full(len(sent), np.nan), where=sent > 0)


def is_short(begin: int, end: int) -> bool:
    """Whether a range (nanoseconds) is counted round by round."""
    return end - begin <= _ROUND_BY_ROUND * SECOND


def pieces(begin: int, end: int, now: int, kept: Mapping[str, float]) -> list[tuple[int, int, int]]:
    """The range (nanoseconds UTC) as (bin, first, last) in seconds, `last` excluded; no two overlap.

    Bins that touch the range are counted whole. `kept` are the seconds each level is kept: what a level holds no more
    is taken from the next coarser one that still does.
    """
    levels = sorted(((step, kept[level]) for level, step in BINS.items()), reverse=True)
    first, last = begin // SECOND, -(-end // SECOND)
    return [piece for piece in _pieces(first, last, now // SECOND, levels) if piece[1] < piece[2]]


def _pieces(first: int, last: int, now: int, levels: list[tuple[int, float]]) -> list[tuple[int, int, int]]:
    (step, _), *finer = levels
    if not finer:
        return [(step, first - first % step, last + -last % step)]
    # The oldest moment anything finer knows of; what is before it only this level can tell, by whole bins.
    known = now - max(age for _, age in finer)
    inner_first = first - first % step if first < known else first + -first % step
    inner_last = last + -last % step if last - last % step < known else last - last % step
    if inner_first >= inner_last:
        return _pieces(first, last, now, finer)
    before = _pieces(first, inner_first, now, finer) if first < inner_first else []
    after = _pieces(inner_last, last, now, finer) if inner_last < last else []
    return [*before, (step, inner_first, inner_last), *after]


def values(parts: Sequence[tuple[int, int, int]]) -> dict[str, Any]:
    """What statement `ranking_rollup` is asked with."""
    bins, firsts, lasts = ([part[k] for part in parts] for k in range(3))
    return {"bins": bins, "firsts": firsts, "lasts": lasts, "first": min(firsts), "last": max(lasts)}


def standing(table: pa.Table, scale: float = 1.0) -> Standing:
    """An answer of a statement `ranking_…`, whose sketches count in `scale` of a second."""
    if table.num_rows == 0:
        none: dict[str, Any] = {name: np.empty(0, np.uint64) for name in ("task", "rounds", "sent", "received")}
        none |= {name: np.empty(0) for name in ("median", "greatest", "deviation")}
        return Standing(agent=(), flags=np.empty(0, np.uint32), **none)
    received = arrows.column(table, "received").astype(np.uint64)
    answered = received > 0

    def known(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.where(answered, values.astype(np.float64), np.nan)

    least, greatest = known(arrows.column(table, "least")), known(arrows.column(table, "greatest"))
    return Standing(
        task=arrows.column(table, "task").astype(np.uint64),
        agent=table["agent"].to_pylist(),
        rounds=arrows.column(table, "rounds").astype(np.uint64),
        sent=arrows.column(table, "sent").astype(np.uint64),
        received=received,
        flags=arrows.column(table, "flags").astype(np.uint32),
        # A sketch is within its accuracy of a true RTT; least and greatest are exact.
        median=np.clip(known(arrows.column(table, "median")) * scale, least, greatest),
        greatest=greatest,
        deviation=known(arrows.column(table, "deviation")),
    )
