"""Rounds as rules see them: a batch of columns in, one `Observation` for each round out."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from smokemesh.analysis import stats
from smokemesh.analysis.alerts.rules import Observation
from smokemesh.model.rounds import Flag, RoundBatch

#: The agent's own doing, whatever was measured.
_DOUBTFUL: Final = int(Flag.CLOCK_STEPPED | Flag.VANTAGE_DEGRADED)


def observe(batch: RoundBatch, *, compat: bool = False) -> list[Observation]:
    """What is judged of each round. `compat`: medians as SmokePing takes them, and no loss where nothing was sent."""
    if not len(batch):
        return []
    rtts = batch.matrix().astype(np.float64)
    middle = stats.median(rtts)
    columns = (
        batch.time,
        batch.step,
        _loss(batch, compat),
        middle,
        _most(rtts),
        stats.deviation(rtts),
        np.where(batch.flags & int(Flag.SORTED), np.nan, stats.jitter(rtts)),
        _upper_median(rtts) if compat else middle,
    )
    names = ("time", "step", "loss", "median", "max", "deviation", "jitter", "rtt")
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [Observation(**dict(zip(names, row, strict=True))) for row in rows]


def doubtful(batch: RoundBatch) -> NDArray[np.bool_]:
    """Rounds whose fault may be the agent's own: the target is not to be blamed for them."""
    own_drops = (batch.flags & int(Flag.OWN_DROPS)) != 0
    return ((batch.flags & _DOUBTFUL) != 0) | (own_drops & (batch.received < batch.sent))


def _loss(batch: RoundBatch, compat: bool) -> stats.Column:
    """A name that does not resolve is a host that cannot be reached. To SmokePing an unknown loss is none."""
    loss = stats.loss(batch.sent, batch.received)
    loss[(batch.flags & int(Flag.UNRESOLVED)) != 0] = 1.0
    return np.nan_to_num(loss, nan=0.0) if compat else loss


def _most(rtts: stats.RTTs) -> stats.Column:
    """The greatest RTT, NaN without any."""
    return np.fmax.reduce(rtts, axis=1, initial=np.nan)


def _upper_median(rtts: stats.RTTs) -> stats.Column:
    """Element int(n / 2) of the n sorted RTTs: of an even number the upper of the two in the middle."""
    if rtts.shape[1] == 0:
        return np.full(len(rtts), np.nan)
    place = np.minimum(stats.answered(rtts) // 2, rtts.shape[1] - 1)
    ordered = np.sort(rtts.astype(np.float64), axis=1)
    return np.take_along_axis(ordered, place[:, None], axis=1)[:, 0]
