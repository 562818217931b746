"""Rounds as rules see them: a batch of columns in, one `Observation` for each round out.

RTTs travel and are kept as float32, limits are written in decimal. Half of all decimals lie below their float32 and half
above, so an RTT of exactly 100 ms would be above a limit of 100 ms; hence RTTs are taken as the decimals they stand for.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smokemesh.analysis import stats
from smokemesh.analysis.alerts.rules import Observation
from smokemesh.model.rounds import Flag, RoundBatch

#: The agent's own doing, whatever was measured.
_DOUBTFUL: Final = int(Flag.CLOCK_STEPPED | Flag.VANTAGE_DEGRADED)
#: Significant digits a decimal may have that a float32 stands for: six always come back, of seven nearly all (C's FLT_DIG).
_DIGITS: Final = (6, 7)


def observe(batch: RoundBatch, *, compat: bool = False) -> list[Observation]:
    """What is judged of each round. `compat`: medians as SmokePing takes them."""
    if not len(batch):
        return []
    rtts = decimals(batch.matrix())
    middle = stats.median(rtts)
    columns = (
        batch.time,
        batch.step,
        _loss(batch),
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
    """Rounds whose fault may be the agent's own: the target is not to be blamed for them.

    Where an agent was too busy to send every ping, what it sent is judged; where it sent none, it says nothing.
    """
    doubts: NDArray[np.bool_] = _is_doubtful(batch.sent, batch.received, batch.flags)
    return doubts


def is_down(sent: int, received: int, flags: int) -> bool:
    """All of a round was lost, and the target is to be blamed."""
    return received == 0 and not _is_doubtful(sent, received, flags)


def _is_doubtful(sent: Any, received: Any, flags: Any) -> Any:
    """Of one round or of columns."""
    own_drops = (flags & int(Flag.OWN_DROPS)) != 0
    unsent = (sent == 0) & ((flags & int(Flag.UNRESOLVED)) == 0)
    return ((flags & _DOUBTFUL) != 0) | (own_drops & (received < sent)) | unsent


def decimals(rtts: NDArray[np.float32]) -> NDArray[np.float64]:
    """The shortest decimal each float32 stands for, where it has few digits; else the float32 as it is."""
    exact = rtts.astype(np.float64)
    found = exact.copy()
    rest = np.isfinite(exact) & (exact != 0)
    for digits in _DIGITS:
        values = exact[rest]
        # A whole number divided by a power of ten is the double nearest to that decimal, as a limit read from text is.
        places = digits - 1 - np.floor(np.log10(np.abs(values)))
        scale = 10.0 ** np.abs(places)
        near = np.where(places < 0, np.rint(values / scale) * scale, np.rint(values * scale) / scale)
        fits = near.astype(np.float32) == rtts[rest]
        found[rest] = np.where(fits, near, values)
        rest[rest] = ~fits
    return found


def _loss(batch: RoundBatch) -> stats.Column:
    """A name that does not resolve is a host that cannot be reached."""
    loss = stats.loss(batch.sent, batch.received)
    loss[(batch.flags & int(Flag.UNRESOLVED)) != 0] = 1.0
    return loss


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
