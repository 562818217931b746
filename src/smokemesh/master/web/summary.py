"""The figures under a graph, from counts and not from averages of averages.

Average loss is pings lost over pings sent in the whole range; mean and deviation are those of all answered pings,
pooled over the points. Seconds and shares; NaN where nothing was answered or sent.
"""

import math

import msgspec
import numpy as np

from smokemesh.master.web.status import GRACE, LATE_STEPS, in_doubt
from smokemesh.model.series import Series


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A range in a few numbers. "most" and "least" are over the points; "now" is the newest, NaN when it is no news."""

    #: Mean of the points' medians, each weighted by its answered pings.
    median_average: float
    median_most: float
    median_least: float
    median_now: float
    #: Pings lost over pings sent, in the whole range.
    loss_average: float
    loss_most: float
    loss_least: float
    loss_now: float
    #: Of all answered pings of the range.
    mean: float
    #: Population standard deviation of all answered pings of the range.
    deviation: float
    #: Smallest and largest RTT of the range.
    rtt_least: float
    rtt_most: float
    jitter: float
    sent: int
    received: int
    late: int
    duplicates: int
    reordered: int
    errors: int
    rounds: int
    #: Lost pings of points with a round whose agent may have lost them itself; the network lost at least the others.
    doubtful: int


def summarize(series: Series, end: int, grace: float = GRACE) -> Summary:
    """The figures of a series that was asked up to `end` (or now, if that is earlier), nanoseconds UTC.

    `grace` are the seconds a round may be on its way: an older newest point says nothing of the end of the range.
    """
    limit = round((LATE_STEPS * series.step + grace) * 1e9)
    current = len(series) > 0 and end - int(series.time[-1]) <= limit
    received = series.received.astype(np.float64)
    median, loss = series.median, series.loss
    mean, deviation = _pooled(received, series.mean, series.deviation)
    sent, answered = int(series.sent.sum()), int(series.received.sum())
    return Summary(
        median_average=_weighted(median, received),
        median_most=_most(median),
        median_least=_least(median),
        median_now=float(median[-1]) if current else math.nan,
        loss_average=(sent - answered) / sent if sent else math.nan,
        loss_most=_most(loss),
        loss_least=_least(loss),
        loss_now=float(loss[-1]) if current else math.nan,
        mean=mean,
        deviation=deviation,
        rtt_least=_least(series.bands[:, 0]),
        rtt_most=_most(series.bands[:, -1]),
        jitter=_weighted(series.jitter, series.pairs.astype(np.float64)),
        sent=sent,
        received=answered,
        late=int(series.late.sum()),
        duplicates=int(series.duplicates.sum()),
        reordered=int(series.reordered.sum()),
        errors=int(series.errors.sum()),
        rounds=int(series.rounds.sum()),
        doubtful=int((series.sent - series.received)[in_doubt(series.flags)].sum()),
    )


def _weighted(values: np.ndarray, weights: np.ndarray) -> float:
    known = ~np.isnan(values) & (weights > 0)
    return float(np.average(values[known], weights=weights[known])) if known.any() else math.nan


def _pooled(n: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> tuple[float, float]:
    """Mean and population deviation of all pings, from each point's (law of total variance)."""
    known = (n > 0) & ~np.isnan(mean)
    if not known.any():
        return math.nan, math.nan
    weights, means, spread = n[known], mean[known], deviation[known]
    whole = float(np.average(means, weights=weights))
    variance = float(np.average(np.nan_to_num(spread) ** 2 + (means - whole) ** 2, weights=weights))
    return whole, math.sqrt(variance)


def _most(values: np.ndarray) -> float:
    return float(np.nanmax(values)) if len(values) and not np.isnan(values).all() else math.nan


def _least(values: np.ndarray) -> float:
    return float(np.nanmin(values)) if len(values) and not np.isnan(values).all() else math.nan
