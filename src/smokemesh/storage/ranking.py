"""Every task as every agent saw it over one range, in a few numbers each: what charts rank.

A range is put together from the fewest whole bins: days where days fit, hours before and after them, five minutes at
the edges. So it is counted to five minutes, and at most about a hundred rows of each series are read for a month.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from smokemesh.storage import arrows
from smokemesh.storage.schema import BINS

SECOND: Final = 1_000_000_000
_SECONDS: Final = ("mean", "least", "greatest", "deviation")
#: How far bounds are widened for what sketches and sums of floats are off.
_DOUBT: Final = 0.02
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
    #: Of all answered pings of the range; NaN also where it was not asked for.
    median: NDArray[np.float64]
    mean: NDArray[np.float64]
    least: NDArray[np.float64]
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


def exact(table: pa.Table) -> Standing:
    """An answer counted round by round."""
    return _standing(table, arrows.column(table, "median") if table.num_rows else np.empty(0))


def rough(table: pa.Table) -> Standing:
    """An answer from bins: medians are still missing."""
    return _standing(table, np.full(table.num_rows, np.nan))


def with_medians(all_: Standing, table: pa.Table, scale: float) -> Standing:
    """With the medians of an answer of `ranking_medians`, whose sketches count in `scale` of a second."""
    place = {pair: k for k, pair in enumerate(zip(all_.task.tolist(), all_.agent, strict=True))}
    median = np.full(len(all_), np.nan)
    if table.num_rows:
        pairs = zip(table["task"].to_pylist(), table["agent"].to_pylist(), strict=True)
        rows = np.array([place.get(pair, -1) for pair in pairs])
        # A round stored in between may bring a series that was not there before.
        median[rows[rows >= 0]] = arrows.column(table, "median")[rows >= 0] * scale
    median = np.where(all_.received > 0, median, np.nan)
    # A sketch is within its accuracy of a true RTT; least and greatest are exact.
    return replace(all_, median=np.clip(median, all_.least, all_.greatest))


def leaders(all_: Standing, most: int) -> NDArray[np.intp]:
    """Rows that may be among the first `most` by median, and those that are by the other figures.

    A median lies within one standard deviation of the mean. So whoever could not reach the lower bound of `most`
    others is none of the first.
    """
    chosen = np.zeros(len(all_), bool)
    least = np.maximum(all_.mean - all_.deviation, all_.least) * (1 - _DOUBT)
    greatest = np.minimum(all_.mean + all_.deviation, all_.greatest) * (1 + _DOUBT)
    known = np.sort(least[~np.isnan(least)])
    if len(known):
        chosen |= greatest >= known[max(0, len(known) - most)]
    for figure in (all_.loss, all_.greatest, all_.deviation):
        order = np.argsort(np.where(np.isnan(figure), -np.inf, figure))
        chosen[order[max(0, len(order) - most) :]] = True
    return np.flatnonzero(chosen & (all_.received > 0))


def _standing(table: pa.Table, median: NDArray[Any]) -> Standing:
    if table.num_rows == 0:
        none: dict[str, Any] = {name: np.empty(0, np.uint64) for name in ("task", "rounds", "sent", "received")}
        none |= {name: np.empty(0) for name in ("median", *_SECONDS)}
        return Standing(agent=(), flags=np.empty(0, np.uint32), **none)
    counts: dict[str, Any] = {
        name: arrows.column(table, name).astype(np.uint64) for name in ("task", "rounds", "sent", "received")
    }
    answered = counts["received"] > 0
    seconds: dict[str, Any] = {
        name: np.where(answered, arrows.column(table, name).astype(np.float64), np.nan) for name in _SECONDS
    }
    return Standing(
        agent=table["agent"].to_pylist(),
        flags=arrows.column(table, "flags").astype(np.uint32),
        median=np.where(answered, median.astype(np.float64), np.nan),
        **counts,
        **seconds,
    )
